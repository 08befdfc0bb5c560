import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Broker, REDIS } from "../support/brokers.ts";
import { type CheapReader, CheapSocket, CheapStream } from "../support/cheap-reader.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import type { Order, Standing } from "../support/storm-child.ts";
import { inTime, until } from "../support/until.ts";

/* Row C7: a storm of readers that were cut at once, and come back at once: to one node, and to two that share a Redis. */

/** `THROUGHLINE_STORM=2000` for a night. */
const READERS = Number(process.env["THROUGHLINE_STORM"] ?? 800);
const BEHIND = 100;
const PER_SECOND = 50;
const CAUGHT_UP_MS_MAX = 10_000;
/** Each comes back at its own moment of the first window (PROTOCOL.md §10). */
const WINDOW_MS = 300;
/** The log is read for where it begins three times in 5 ms at most, however many ask. */
const READS_PER_SECOND_MAX = 600;
/** Of the readers, these come back without their position. */
const FORGETFUL = 10;
const ROOT = join(import.meta.dirname, "../..");
const CHILD = join(ROOT, "node_modules/.cache/throughline/storm-child.mjs");

let home: string;
let broker: Broker;

beforeAll(async () => {
  await build({
    ...{ entryPoints: [join(ROOT, "test/support/storm-child.ts")], outfile: CHILD },
    ...{ bundle: true, platform: "node", format: "esm", target: "node20", packages: "external" },
  });
  home = mkdtempSync(join(tmpdir(), "throughline-storm-"));
  broker = await REDIS.begin();
});

afterAll(async () => {
  await broker.stop();
  rmSync(home, { recursive: true, force: true });
});

/** Servers in processes of their own, on one log. What is published is by the first. */
class Nodes implements AsyncDisposable {
  readonly #children: readonly ChildProcess[];

  constructor(place: string, count: number) {
    this.#children = Array.from({ length: count }, () => fork(CHILD, [place, "storm"]));
  }

  order(what: Order): Promise<Standing> {
    return this.#ask(this.#children[0]!, what);
  }

  async ports(): Promise<readonly number[]> {
    return (await this.#tell()).map(({ port }) => port);
  }

  /** All of them together; of memory the largest. */
  async tell(): Promise<Pick<Standing, "position" | "connections" | "reads" | "rssAnonKb">> {
    const all = await this.#tell();
    const sum = (count: "connections" | "reads") => all.reduce((total, one) => total + one[count], 0);
    const rssAnonKb = Math.max(...all.map((one) => one.rssAnonKb));
    return { position: all[0]!.position, connections: sum("connections"), reads: sum("reads"), rssAnonKb };
  }

  #tell(): Promise<Standing[]> {
    return Promise.all(this.#children.map((child) => this.#ask(child, { tell: true })));
  }

  /** One at a time: each order is answered once it is done. */
  async #ask(child: ChildProcess, what: Order): Promise<Standing> {
    const answered = once(child, "message");
    child.send(what);
    const [standing] = await inTime(answered, () => `an answer to ${JSON.stringify(what)}`, 30_000);
    return standing as Standing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      child.kill("SIGKILL");
      await once(child, "close");
    }
  }
}

describe.each([
  { on: "one node with its disk", count: 1, row: "C7", place: () => join(home, "data"), asked: async () => 0 },
  {
    ...{ on: "two nodes on one Redis", count: 2, row: "C7 nodes" },
    ...{ place: () => JSON.stringify(broker.address), asked: () => broker.questions() },
  },
])("Of $on", ({ on, count, row, place, asked }) => {
  test(`[D2] [D7] [D10] ${READERS} readers cut at once, each ${BEHIND} behind, catch up within 10 s under live traffic, and cost no queue each`, {
    timeout: 60_000 + READERS * 60,
  }, async () => {
    const began = performance.now();
    const seed = Date.now() % 1_000_000;
    const random = seededRandom(seed);
    await using nodes = new Nodes(place(), count);
    const order = (what: Order) => nodes.order(what);
    const { position } = await order({ publish: 10 });
    const ports = await nodes.ports();
    const portOf = (index: number) => ports[(index >> 1) % count]!;
    const readers: CheapReader[] = Array.from({ length: READERS }, (_, index) =>
      index % 2 === 0 ? new CheapStream(portOf(index), position) : new CheapSocket(portOf(index), position),
    );
    const forgetful = Array.from({ length: FORGETFUL }, (_, index) => new CheapStream(portOf(2 * index), position));
    const all = [...readers, ...forgetful];
    const top = async () => Number((await nodes.tell()).position.slice(21, 37));
    const atTop = async (patienceMs: number) => {
      const offset = await top();
      await until(`all are at ${offset}`, () => all.every((reader) => reader.offset >= offset), patienceMs);
    };
    for (const reader of all) reader.open();
    await until("all read", () => all.every(({ begun }) => begun), 30_000);
    await order({ publish: BEHIND });
    await atTop(30_000);
    const before = await nodes.tell();
    const delivered = all.reduce((sum, reader) => sum + reader.delivered, 0);
    expect(delivered).toBe(all.length * BEHIND);

    for (const reader of all) reader.cut();
    await until("the server has noticed", async () => (await nodes.tell()).connections === 0, 30_000);
    await order({ publish: BEHIND });
    const { reads } = await nodes.tell();
    const questions = await asked();
    await order({ traffic: PER_SECOND });
    for (const reader of forgetful) reader.forgets = true;
    const stormAt = performance.now();
    const behind = (await top()) - 1;
    for (const reader of all) setTimeout(() => reader.open(), random.fraction() * WINDOW_MS);
    let highestKb = 0;
    let caughtUpMs = 0;
    while (caughtUpMs === 0) {
      highestKb = Math.max(highestKb, (await nodes.tell()).rssAnonKb);
      if (readers.every((reader) => reader.offset >= behind)) caughtUpMs = performance.now() - stormAt;
      else if (performance.now() - stormAt > 3 * CAUGHT_UP_MS_MAX) throw new Error("They never caught up.");
    }
    // They learn of what they lost by the next message, so it must still be coming when the last of them is back
    await until("the forgetful are back too", () => forgetful.every((reader) => reader.offset > behind), 30_000);
    await order({ traffic: 0 });
    const after = await nodes.tell();
    const stormMs = performance.now() - stormAt;
    const questionsThen = (await asked()) - questions;
    await atTop(30_000);
    for (const reader of all) reader.cut();

    const sum = (some: readonly CheapReader[], count: "lost" | "twice" | "delivered") => some.reduce((total, one) => total + one[count], 0);
    const shared = after.reads - reads;
    const mb = (kb: number) => Math.round(kb / 1_024);
    console.info(
      `${READERS} readers of ${on} caught up in ${Math.round(caughtUpMs)} ms by ${shared} reads of the log, ${questionsThen} calls of the broker; ` +
        `RssAnon ${mb(before.rssAnonKb)} MB before the cut, ${mb(highestKb)} MB at most after it`,
    );
    const figures = { delivered: sum(readers, "delivered"), lost: sum(readers, "lost"), twice: sum(readers, "twice") };
    const what = `${READERS} readers of ${on} over SSE and WebSocket cut at once, each ${BEHIND} behind, back within ${WINDOW_MS} ms under ${PER_SECOND} messages/s`;
    const measured = {
      caughtUpMs: Math.round(caughtUpMs),
      reads: shared,
      ...(count === 1 ? {} : { calls: questionsThen }),
      rssAnonMbBefore: mb(before.rssAnonKb),
      rssAnonMbHighest: mb(highestKb),
    };
    const control = `${sum(forgetful, "lost")} lost by ${FORGETFUL} that came back without Last-Event-ID`;
    record(row, {
      what,
      injections: READERS,
      ...figures,
      ...measured,
      control,
      seconds: Math.round((performance.now() - began) / 1_000),
      seed,
    });
    expect(figures).toMatchObject({ lost: 0, twice: 0 });
    expect(caughtUpMs).toBeLessThan(CAUGHT_UP_MS_MAX);
    expect(highestKb).toBeLessThan(before.rssAnonKb * 1.3 + 32 * 1_024);
    // A few more where the tail does not reach back to them: they stand at one place, and share what is read there
    const readsMax = Math.min((count * READS_PER_SECOND_MAX * stormMs) / 1_000 + 50, 0.75 * READERS);
    expect(shared).toBeLessThan(readsMax);
    // The script of a page asks HMGET, which Redis counts too: two calls; and one for each message: that of the node that stores it, and one look by each other
    expect(questionsThen).toBeLessThan(2 * readsMax + (count * PER_SECOND * stormMs) / 1_000 + 50);
    expect(sum(forgetful, "lost"), "the test can see a loss").toBeGreaterThanOrEqual(FORGETFUL * BEHIND);
  });
});
