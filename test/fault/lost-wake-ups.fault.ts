import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import { type Client, connect } from "../../src/client.ts";
import { type Throughline, throughline } from "../../src/index.ts";
import type { Clock } from "../../src/protocol.ts";
import { check } from "../check/checker.ts";
import {
  BROKERS,
  type Broker,
  type BrokerKind,
  engineAt,
  follow,
  LOBBY,
  NATS,
  type Node,
  Nodes,
  publisherAt,
  REDIS,
  text,
} from "../support/brokers.ts";
import { Chronicle } from "../support/chronicle.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { offsetOf } from "../support/inbox.ts";
import { NaiveNode } from "../support/naive-node.ts";
import { startServer, type TestServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";
import { fates, type WakeUpProxy, wayTo } from "../support/wake-up-proxy.ts";
import { judge } from "./judge.ts";

/* Row B7: what a broker tells its nodes is lost, comes twice, late or out of order, and nobody is told of it. What they ask is answered. */

/** `THROUGHLINE_WAKE_UPS=3000` for a night: messages in each of the channels. */
const MESSAGES = Number(process.env["THROUGHLINE_WAKE_UPS"] ?? 120);
const CHANNELS = 12;
const PARTS = { lost: 0.15, twice: 0.05, late: 0.05, swapped: 0.05 };

/** Channels whose last wake-up is lost, readers of each, and what each may cost: two polls or three, one look, and what was published. */
const LAST = 100;
const READERS = 20;
const ASKED_MAX = 8;
/** Lost before another, or given twice. */
const TIMES = 100;

/** A head is polled every 5 s, give or take a quarter, by a look for what is due each half second. */
const POLLED_MS_MAX = 5_000 * 1.25 + 500;
/** What a busy machine is late by. */
const GRACE_MS = 4_000;
/** A node with it never polls. */
const WITHOUT_POLLS: Clock = { ...systemClock, after: (ms, act) => (ms === 500 ? () => {} : systemClock.after(ms, act)) };

let prefixes = 0;

describe.each(BROKERS)("B7: a wake-up by $name", (kind) => {
  const started = brokerOf(kind);

  test("[D1] [D2] [D3] [D10] is lost, comes twice, late or out of order: readers of two nodes get every message once, in order, without a gap, and have all of it by the next poll", {
    timeout: 60_000 + MESSAGES * CHANNELS * 30,
  }, async () => {
    const broker = started();
    const [startMs, seed] = [performance.now(), Date.now() % 1_000_000];
    const random = seededRandom(seed);
    await using one = await wayTo(broker.address, random);
    await using other = await wayTo(broker.address, random);
    await using third = await wayTo(broker.address, random);
    await using crowd = await Crowd.gather(broker, [one, other], `lossy-${++prefixes}`);
    await using naive = await crowd.naive({ ...broker.address, port: third.port });
    await using sound = await crowd.naive(broker.address);
    for (const proxy of [one, other, third]) proxy.fate = fates(random, PARTS);
    await crowd.publish(MESSAGES / 3, [0, 1, 2]);
    await crowd.atEnd(POLLED_MS_MAX + GRACE_MS);
    // While nothing else comes, of these too some are lost
    await crowd.publish(1, [2]);
    crowd.chronicle.calm();
    const calmMs = performance.now();
    await crowd.atEnd(POLLED_MS_MAX + GRACE_MS);
    const healedMs = Math.round(performance.now() - calmMs);
    await crowd.readLogs();

    const { events } = crowd.chronicle;
    const lost = one.counts.lost + other.counts.lost;
    const { counts } = judge(
      {
        ...{ history: events, naive: [...(await naive.events())], seed, startMs, keep: () => kept(events) },
        injections: one.injections + other.injections,
      },
      { row: "B7", what: `wake-ups by ${kind.name} to two nodes lost, twice, late, out of order`, wakeUpsLost: lost, healedMs },
    );
    console.info(
      `${kind.name}: ${lost} wake-ups lost, ${counts.delivered} messages delivered, all had ${healedMs} ms after the last; seed ${seed}`,
    );
    expect([counts.refused, counts.unknown]).toEqual([0, 0]);
    expect(counts.gaps).toEqual({ trimmed: 0, truncated: 0, epoch: 0 });
    expect(lost).toBeGreaterThan(PARTS.lost * MESSAGES * CHANNELS);
    // The naive node's fault is that it does not compare, and shows where there is something to compare
    const others = events.filter(({ type }) => !/^(begin|message)$/.test(type));
    expect(check([...others, ...(await sound.events())].sort((a, b) => a.t - b.t)).violations).toEqual([]);
  });

  test(`[D2] [D7] is lost ${TIMES} times in front of another: both messages are told at once, by one look at the log`, async () => {
    const broker = started();
    await using proxy = await wayTo(broker.address);
    await using pair = await Pair.open(broker, proxy, `front-${++prefixes}`);
    const { a, told } = pair;
    const before = await broker.questions();
    for (const n of numbers(TIMES)) {
      proxy.fate = () => "lost";
      await a.log.append(LOBBY, [text(`${n} lost`)]);
      await until("it is lost", () => proxy.counts.lost === n);
      proxy.heal();
      await a.log.append(LOBBY, [text(`${n} heard`)]);
      await until("both are told", () => told.length >= 1 + 2 * n);
    }
    expect(told).toEqual(["0", ...numbers(TIMES).flatMap((n) => [`${n} lost`, `${n} heard`])]);
    // Two appends and one page: of NATS that is the last sheet, the first, and those that it lacks
    expect((await broker.questions()) - before).toBeLessThanOrEqual(TIMES * (broker.address.kind === "nats" ? 6 : 3));
  });

  test(`[D2] [D7] that comes again, late, ${TIMES} times: nothing is told again, and nothing is asked`, async () => {
    const broker = started();
    await using proxy = await wayTo(broker.address);
    await using pair = await Pair.open(broker, proxy, `again-${++prefixes}`);
    const { a, told } = pair;
    proxy.fate = () => "twice";
    for (const n of numbers(TIMES)) await a.log.append(LOBBY, [text(`${n}`)]);
    await until("all are told", () => told.length === 1 + TIMES);
    proxy.heal();
    const before = await broker.questions();
    await until("all have come again", () => proxy.pending === 0);
    await a.log.append(LOBBY, [text("end")]);
    await until("the end is told", () => told.at(-1) === "end");
    expect(told).toEqual(["0", ...numbers(TIMES).map(String), "end"]);
    expect((await broker.questions()) - before).toBeLessThanOrEqual(2);
  });

  test.each(["late", "twice"] as const)(
    "[D2] that comes %s, behind the removal of what it is about: nothing of it is told any more",
    async (fate) => {
      const broker = started();
      await using proxy = await wayTo(broker.address);
      await using pair = await Pair.open(broker, proxy, `removed-${++prefixes}`);
      const { a, b, told } = pair;
      const remove = async (node: Node) => {
        const before = told.length;
        await node.log.remove?.(LOBBY);
        await until("the removal is told", () => told.length > before);
      };
      await remove(a);
      for (const n of numbers(20)) {
        proxy.fate = () => fate;
        await a.log.append(LOBBY, [text(`gone ${n}`)]);
        if (fate === "twice") await until("it is told", () => told.at(-1) === `gone ${n}`);
        proxy.heal();
        await remove(b);
        const removed = told.length;
        await until("all have come", () => proxy.pending === 0);
        await a.log.append(LOBBY, [text(`new ${n}`)]);
        await until("what is new is told", () => told.length > removed);
        expect(told.slice(removed)).not.toContain(`gone ${n}`);
        await remove(a);
      }
    },
  );
});

describe.each([REDIS, NATS])("B7: a wake-up by $name", (kind) => {
  const started = brokerOf(kind);

  test(`[D2] [D7] [D10] is lost behind the last message of ${LAST} channels: their readers have it by the next poll, and the log is read once and not for each of them`, {
    timeout: 60_000,
  }, async () => {
    const broker = started();
    const startMs = performance.now();
    const prefix = `last-${++prefixes}`;
    await using proxy = await wayTo(broker.address);
    const address = { ...broker.address, port: proxy.port };
    const [a, b] = [broker.address, address].map((at) => throughline({ engine: engineAt(at, { prefix }), warn: () => {} })) as [
      Throughline,
      Throughline,
    ];
    await using nodes = Nodes.at(address);
    const channels = numbers(LAST).map((n) => `last/${n}`);
    const publish = () => Promise.all(channels.map((channel) => a.channel(channel).publish("x")));
    try {
      const deaf = await nodes.open({ prefix }, { clock: WITHOUT_POLLS });
      const told = await Promise.all(channels.map((channel) => follow(deaf.log, channel)));
      const got = channels.flatMap((channel) => numbers(READERS).map(() => countOf(b, channel)));
      await publish();
      await until("all have the first", () => got.every((one) => one.count === 1) && told.every((one) => one.length === 1));
      proxy.fate = () => "lost";
      const figures = { healedMs: 0, asked: 0 };
      // A channel that was just followed is polled within a second: what counts is the poll after that
      for (const round of [1, 2]) {
        const before = await broker.questions();
        await publish();
        const publishedMs = performance.now();
        await until("all have it", () => got.every((one) => one.count === 1 + round), POLLED_MS_MAX + GRACE_MS);
        figures.healedMs = Math.round(performance.now() - publishedMs);
        figures.asked = (await broker.questions()) - before;
        expect(figures.asked).toBeLessThan(LAST * ASKED_MAX);
      }
      console.info(`${kind.name}: ${got.length} readers, ${JSON.stringify(figures)}`);
      record("B7 last", {
        what: `wake-ups by ${kind.name} behind the last messages of ${LAST} channels with ${READERS} readers each lost, twice each`,
        ...{ injections: 2 * LAST, delivered: 2 * got.length, ...figures },
        control: "a node that does not poll is told of none",
        seconds: Math.round((performance.now() - startMs) / 1_000),
      });
      expect(told.flat().length, "a node that does not poll is told of none").toBe(LAST);
    } finally {
      await b.close();
      await a.close();
    }
  });
});

/** One for the tests of a group. Each brings a prefix of its own. */
function brokerOf(kind: BrokerKind): () => Broker {
  let broker: Broker;
  beforeAll(async () => {
    broker = await kind.begin();
  });
  afterAll(() => broker.stop());
  return () => broker;
}

/** Two nodes, each by a way of its own, with readers over SSE and WebSocket on each; and three who publish at once: both nodes, and a program without a hub. */
class Crowd implements AsyncDisposable {
  readonly chronicle = new Chronicle();
  readonly #prefix: string;
  readonly #nodes: readonly TestServer[];
  readonly #direct: ReturnType<typeof publisherAt>;
  readonly #clients: readonly Client[];
  readonly #begins = new Map<string, string>();
  readonly #heads = new Map<string, number>();
  readonly #logs: Nodes;
  #sent = 0;

  private constructor(broker: Broker, prefix: string, nodes: readonly TestServer[]) {
    this.#prefix = prefix;
    this.#nodes = nodes;
    this.#direct = publisherAt(broker.address, { prefix, warn: () => {} });
    this.#clients = nodes.flatMap(({ url }) => (["sse", "websocket"] as const).map((transport) => connect(url, { transport })));
    this.#logs = Nodes.at(broker.address);
  }

  static async gather(broker: Broker, ways: readonly WakeUpProxy[], prefix: string): Promise<Crowd> {
    const serve = ({ port }: WakeUpProxy) => startServer(() => engineAt({ ...broker.address, port }, { prefix }));
    const crowd = new Crowd(broker, prefix, await Promise.all(ways.map(serve)));
    await crowd.#begin();
    return crowd;
  }

  async #begin(): Promise<void> {
    for (const n of numbers(CHANNELS)) {
      const position = await this.#publish(`lossy/${n}`, 0);
      this.#begins.set(`lossy/${n}`, position);
    }
    for (const [index, client] of this.#clients.entries())
      for (const [channel, position] of this.#begins) this.chronicle.follow(`${index} of ${channel}`, client, channel, position);
    for (const client of this.#clients)
      for (const channel of this.#begins.keys()) await until("it is live", () => client.channel(channel).state === "live");
  }

  async naive(address: Broker["address"]): Promise<NaiveNode> {
    const { log } = await this.#logs.open({ prefix: this.#prefix });
    return NaiveNode.listen(address, this.#prefix, log, this.#begins);
  }

  /** So many messages to each channel, by each of these at once. */
  async publish(count: number, publishers: readonly number[]): Promise<void> {
    const publish = async (channel: string, publisher: number) => {
      for (let sent = 0; sent < count; sent++) await this.#publish(channel, publisher);
    };
    await Promise.all([...this.#begins.keys()].flatMap((channel) => publishers.map((publisher) => publish(channel, publisher))));
  }

  async #publish(channel: string, publisher: number): Promise<string> {
    const data = { n: ++this.#sent };
    const node = this.#nodes[publisher]?.tl.channel(channel);
    const send = () => (node === undefined ? this.#direct.publish(channel, data) : node.publish(data));
    const { position = "" } = (await this.chronicle.publish(channel, data, send, "", `${publisher}`)) ?? {};
    this.#heads.set(channel, Math.max(this.#heads.get(channel) ?? 0, offsetOf(position)));
    return position;
  }

  async atEnd(patienceMs: number): Promise<void> {
    const isAtEnd = ([cid, offset]: [string, number]) => offset >= this.#heads.get(cid.split(" of ")[1]!)!;
    await until("all are at the end", () => [...this.chronicle.offsets].every(isAtEnd), patienceMs);
  }

  async readLogs(): Promise<void> {
    for (const channel of this.#begins.keys()) await this.chronicle.final(this.#nodes[0]!.url, channel);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const node of this.#nodes) await node.dispose();
    await this.#direct.close();
    await this.#logs[Symbol.asyncDispose]();
  }
}

/** A node, and another that hears of it by a way of its own and never polls. */
class Pair implements AsyncDisposable {
  readonly a: Node;
  readonly b: Node;
  readonly told: readonly string[];
  readonly #nodes: readonly Nodes[];

  private constructor(a: Node, b: Node, told: readonly string[], nodes: readonly Nodes[]) {
    this.a = a;
    this.b = b;
    this.told = told;
    this.#nodes = nodes;
  }

  static async open({ address }: Broker, { port }: WakeUpProxy, prefix: string): Promise<Pair> {
    const nodes = [Nodes.at(address), Nodes.at({ ...address, port })] as const;
    const [a, b] = [await nodes[0].open({ prefix }), await nodes[1].open({ prefix }, { clock: WITHOUT_POLLS })];
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("0")]);
    await until("it listens", () => told.length === 1);
    return new Pair(a, b, told, nodes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of this.#nodes) await one[Symbol.asyncDispose]();
  }
}

/** A reader that counts. */
function countOf(tl: Throughline, channel: string): { readonly count: number } {
  const counted = { count: 0 };
  tl.channel(channel).subscribe(() => void counted.count++, { from: "start" });
  return counted;
}

function kept(events: Chronicle["events"]): string {
  const directory = join(import.meta.dirname, "../../node_modules/.cache/throughline/histories");
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `wake-ups-${process.pid}.ndjson`);
  writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  return path;
}
