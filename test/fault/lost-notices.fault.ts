import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Client, connect } from "../../src/client.ts";
import { type Broker, engineAt, LOBBY, NATS, REDIS } from "../support/brokers.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { Guest } from "../support/presence.ts";
import { startServer, type TestServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";
import { fates, type WakeUpProxy, wayTo } from "../support/wake-up-proxy.ts";

/* Row B7 of what is stored nowhere: signals, and who is there, over ways that lose them, and give them twice, late and out of order. */

const SIGNALS = 200;
const EVENTS = ["typing", "moved", "looked"];
const CHANGES = 150;
const GUESTS = 12;
const PARTS = { lost: 0.2, twice: 0.1, late: 0.1, swapped: 0.1 };
/** Two heartbeats of the nodes. */
const LEASE_MS = 2_000;
const GRACE_MS = 3_000;

describe.each([REDIS, NATS])("B7: what nodes tell each other by $name", (kind) => {
  let broker: Broker;

  beforeAll(async () => {
    broker = await kind.begin();
  });
  afterAll(() => broker.stop());

  test("signals may be lost, but none comes twice, nor behind a later one of its event and sender", async () => {
    const [began, seed] = [performance.now(), Date.now() % 1_000_000];
    await using town = await Town.open(broker, seed);
    const [a, b] = town.nodes;
    const senders = [a, b].flatMap(({ url }) => [town.client(url, "websocket"), town.client(url, "websocket")]);
    for (const sender of senders) sender.channel(LOBBY).subscribe(() => undefined);
    await until("they have a connection each", () => senders.every((sender) => sender.channel(LOBBY).state === "live"));
    const listeners = [a, b].flatMap(({ url }) => [new Listener(town.client(url, "sse")), new Listener(town.client(url, "websocket"))]);
    const signal = (n: number) => {
      for (const event of EVENTS) a.tl.channel(LOBBY).signal(event, n);
      for (const sender of senders) for (const event of EVENTS) sender.channel(LOBBY).signal(event, n);
    };
    await until("all are heard by all", () => {
      signal(0);
      return listeners.every(({ heard }) => heard.size === (senders.length + 1) * EVENTS.length);
    });
    town.lose(PARTS);
    for (const n of numbers(SIGNALS)) {
      signal(n);
      await until("they are heard where they are sent", () => listeners.every((one) => one.lasts.includes(n)));
    }
    const { injections } = town;
    await until("what was late has come", () => town.ways.every(({ pending }) => pending === 0));
    town.heal();
    await until("all are heard again", () => {
      signal(SIGNALS + 1);
      return listeners.every((one) => one.lasts.every((last) => last === SIGNALS + 1));
    });

    // The first and the last were sent until they were heard
    const sequences = listeners.flatMap(({ heard }) => [...heard.values()].map((all) => all.filter((n) => n > 0 && n <= SIGNALS)));
    const delivered = sequences.reduce((sum, one) => sum + one.length, 0);
    const sum = (count: (sequence: readonly number[]) => number) => sequences.reduce((total, one) => total + count(one), 0);
    const [twice, disordered, lost] = [sum(again), sum(behind), sum((one) => numbers(SIGNALS).filter((n) => !one.includes(n)).length)];
    console.info(
      `${kind.name}: ${injections} notices broken, ${delivered} signals heard, ${lost} not; ${twice} twice, ${disordered} behind a later one; seed ${seed}`,
    );
    expect({ twice, disordered }).toEqual({ twice: 0, disordered: 0 });
    expect(lost).toBeGreaterThan(0);
    const what = `signals by ${kind.name} to two nodes lost, twice, late, out of order: these may be lost, and none came twice or behind a later one`;
    const control = "planted: one that comes twice, one that comes behind the next: both found";
    record("B7 notices", {
      what,
      injections,
      delivered,
      twice,
      disordered,
      control,
      seconds: Math.round((performance.now() - began) / 1_000),
      seed,
    });
  });

  test("[D9] who is there is true on both nodes within two heartbeats after it, and nobody is told to have come or gone twice", {
    timeout: 60_000,
  }, async () => {
    const [began, seed] = [performance.now(), Date.now() % 1_000_000];
    await using town = await Town.open(broker, seed);
    const random = seededRandom(seed);
    const watching = town.nodes.flatMap(({ url }) =>
      (["sse", "websocket"] as const).map((over) => town.keep(new Guest({ url, over, channel: LOBBY }))),
    );
    const first = town.keep(new Guest({ url: town.nodes[0].url, over: "websocket", data: "first 0" }));
    for (const one of watching) await one.seen("first 0");
    town.lose(PARTS);
    const members = new Map<string, { readonly guest: Guest; data: string }>();
    for (const n of numbers(CHANGES)) {
      const name = `guest-${Math.floor(random.fraction() * GUESTS)}`;
      const known = members.get(name);
      const data = `${name} ${n}`;
      if (known === undefined) {
        const { url } = town.nodes[n % 2]!;
        const guest = town.keep(new Guest({ url, over: "websocket", data, client: name }));
        members.set(name, { guest, data });
        await until("it is there", () => guest.sees.includes(JSON.stringify(data)));
      } else if (random.fraction() < 0.5) {
        await known.guest.here.update(data);
        known.data = data;
      } else {
        await known.guest.here.leave();
        members.delete(name);
      }
    }
    const { injections } = town;
    const isTrue = (one: Guest) =>
      String(one.sees) ===
      String(
        [...members.values()]
          .map(({ data }) => JSON.stringify(data))
          .concat('"first 0"')
          .sort(),
      );
    const wrong = watching.filter((one) => !isTrue(one)).length;
    town.heal();
    const healedAt = performance.now();
    await until("all see who is there", () => watching.every(isTrue));
    const trueMs = Math.round(performance.now() - healedAt);
    console.info(
      `${kind.name}: ${injections} notices broken, ${wrong} of ${watching.length} saw it wrong, true after ${trueMs} ms; seed ${seed}`,
    );
    expect(trueMs).toBeLessThan(LEASE_MS + GRACE_MS);
    for (const { told } of watching) expect(told.filter((one, index) => isRepeated(one, told.slice(0, index)))).toEqual([]);
    expect(first.told.filter((one) => one.startsWith('leave "first'))).toEqual([]);
    record("B7 presence", {
      what: `who is there, by ${kind.name} on two nodes, told by notices lost, twice, late, out of order: true within two heartbeats after it`,
      ...{ injections, changes: CHANGES, trueMs, control: `${wrong} of ${watching.length} watchers saw it wrong before`, seed },
      seconds: Math.round((performance.now() - began) / 1_000),
    });
  });
});

/** Of what a watcher is told: that someone has come who was there, or has gone who was not. */
function isRepeated(told: string, before: readonly string[]): boolean {
  const [change = "", name = ""] = told.replaceAll('"', "").split(" ");
  const last = before.findLast((one) => !one.startsWith("update") && one.includes(`"${name} `))?.split(" ")[0] ?? "leave";
  return change !== "update" && change === last;
}

test("[control] one that comes twice, and one that comes behind a later one, are found", () => {
  expect([again([0, 1, 2, 2]), behind([0, 1, 2, 2])]).toEqual([1, 0]);
  expect([again([0, 2, 1, 3]), behind([0, 2, 1, 3])]).toEqual([0, 1]);
  expect([again([1, 2, 4]), behind([1, 2, 4])]).toEqual([0, 0]);
  expect(
    ['join "a 2"', 'update "a 2"', 'leave "a 2"', 'join "b 2"'].map((told) => isRepeated(told, ['join "a 0"', 'update "a 1"'])),
  ).toEqual([true, false, false, false]);
});

/** Of the numbers of signals: how many came before. */
function again(sequence: readonly number[]): number {
  return sequence.length - new Set(sequence).size;
}

/** How many came for the first time behind a higher one. */
function behind(sequence: readonly number[]): number {
  return [...new Set(sequence)].filter((n, index, all) => all.slice(0, index).some((before) => before > n)).length;
}

/** Two nodes with each a way of its own to the broker, and whoever is on them. */
class Town implements AsyncDisposable {
  readonly nodes: readonly [TestServer, TestServer];
  readonly ways: readonly WakeUpProxy[];
  readonly #random: ReturnType<typeof seededRandom>;
  readonly #guests: { close(): void }[] = [];

  private constructor(nodes: readonly [TestServer, TestServer], ways: readonly WakeUpProxy[], random: ReturnType<typeof seededRandom>) {
    this.nodes = nodes;
    this.ways = ways;
    this.#random = random;
  }

  static async open({ address }: Broker, seed: number): Promise<Town> {
    const random = seededRandom(seed);
    const ways = [await wayTo(address, random), await wayTo(address, random)];
    const serve = ({ port }: WakeUpProxy) =>
      startServer(() => engineAt({ ...address, port }, { prefix: `town-${seed}` }), { limits: { heartbeatSeconds: LEASE_MS / 2_000 } });
    return new Town([await serve(ways[0]!), await serve(ways[1]!)], ways, random);
  }

  get injections(): number {
    return this.ways.reduce((sum, way) => sum + way.injections, 0);
  }

  lose(parts: typeof PARTS): void {
    for (const way of this.ways) way.fate = fates(this.#random, parts);
  }

  heal(): void {
    for (const way of this.ways) way.heal();
  }

  client(url: string, transport: "sse" | "websocket"): Client {
    return this.keep(connect(url, { transport }));
  }

  keep<T extends { close(): void }>(opened: T): T {
    this.#guests.push(opened);
    return opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) guest.close();
    for (const node of this.nodes) await node.dispose();
    for (const way of this.ways) await way[Symbol.asyncDispose]();
  }
}

/** What a client hears: of each event and sender the numbers, in the order in which they came. */
class Listener {
  readonly heard = new Map<string, number[]>();

  constructor(client: Client) {
    const channel = client.channel(LOBBY);
    channel.subscribe(() => undefined);
    channel.on("signal", ({ event, sender, data }) => {
      const key = `${event} ${sender}`;
      this.heard.set(key, [...(this.heard.get(key) ?? []), Number(data)]);
    });
  }

  /** Of each event and sender the last. */
  get lasts(): number[] {
    return [...this.heard.values()].map((sequence) => sequence.at(-1)!);
  }
}
