import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SPELL_READS_MAX } from "../../src/core/shared-reads.ts";
import { type Broker, CLUSTER, NATS, REDIS } from "../support/brokers.ts";
import { type CheapReader, CheapSocket, CheapStream } from "../support/cheap-reader.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { StormNodes } from "../support/storm-nodes.ts";
import { until } from "../support/until.ts";

/* Row C7: a storm of readers that were cut at once, and come back at once: to one node, and to two that share a broker. */

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
/** A poll of the head now and then, and a publish under way while the questions are counted. */
const ASKED_BESIDE_MAX = 50;

/**
 * What one read of the log may ask of the broker, and one message. Redis: a read is one script; a message that of the node that stores it, and one look by the other. NATS: a
 * read is the last sheet and the first, and a few, of those whom the tail does not reach, are some more; a message is one publish, and comes to the other node by itself.
 */
const ON_REDIS = { count: 2, perRead: 1, perMessage: 2 };
const ON_NATS = { count: 2, perRead: 3, perMessage: 1 };

describe.each([
  { on: "one node with its disk", row: "C7", kind: null, count: 1, perRead: 0, perMessage: 0 },
  { on: "two nodes on one Redis", row: "C7 nodes", kind: REDIS, ...ON_REDIS },
  { on: "two nodes on one NATS", row: "C7 NATS", kind: NATS, ...ON_NATS },
  { on: "two nodes on a Redis Cluster of three", row: "C7 cluster", kind: CLUSTER, ...ON_REDIS },
])("Of $on", ({ on, row, kind, count, perRead, perMessage }) => {
  let home: string;
  let broker: Broker | undefined;

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "throughline-storm-"));
    broker = await kind?.begin();
  });

  afterAll(async () => {
    await broker?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const questionsAsked = async () => (await broker?.questions()) ?? 0;

  test(`[D2] [D7] [D10] ${READERS} readers cut at once, each ${BEHIND} behind, catch up within 10 s under live traffic, and cost no queue each`, {
    timeout: 60_000 + READERS * 60,
  }, async () => {
    const began = performance.now();
    const seed = Date.now() % 1_000_000;
    const random = seededRandom(seed);
    await using nodes = await StormNodes.start(broker === undefined ? join(home, "data") : JSON.stringify(broker.address), count);
    const { position } = await nodes.order({ publish: 10 });
    const ports = await nodes.ports();
    const portOf = (index: number) => ports[(index >> 1) % count]!;
    const readers: CheapReader[] = Array.from({ length: READERS }, (_, index) =>
      index % 2 === 0 ? new CheapStream(portOf(index), position) : new CheapSocket(portOf(index), position),
    );
    const forgetful = Array.from({ length: FORGETFUL }, (_, index) => new CheapStream(portOf(2 * index), position));
    const all = [...readers, ...forgetful];
    const atTop = async () => {
      const offset = await nodes.top();
      await until(`all are at ${offset}`, () => all.every((reader) => reader.offset >= offset), 30_000);
    };
    for (const reader of all) reader.open();
    await until("all read", () => all.every(({ begun }) => begun), 30_000);
    await nodes.order({ publish: BEHIND });
    await atTop();
    const before = await nodes.tell();
    expect(all.reduce((sum, reader) => sum + reader.delivered, 0)).toBe(all.length * BEHIND);

    for (const reader of all) reader.cut();
    await until("the server has noticed", async () => (await nodes.tell()).connections === 0, 30_000);
    await nodes.order({ publish: BEHIND });
    const { reads: readsBefore } = await nodes.tell();
    const [topBefore, askedBefore] = [await nodes.top(), await questionsAsked()];
    await nodes.order({ traffic: PER_SECOND });
    for (const reader of forgetful) reader.forgets = true;
    const stormAt = performance.now();
    for (const reader of all) setTimeout(() => reader.open(), random.fraction() * WINDOW_MS);
    let highestKb = 0;
    let caughtUpMs = 0;
    while (caughtUpMs === 0) {
      highestKb = Math.max(highestKb, (await nodes.tell()).rssAnonKb);
      if (readers.every((reader) => reader.offset >= topBefore)) caughtUpMs = performance.now() - stormAt;
      else if (performance.now() - stormAt > 3 * CAUGHT_UP_MS_MAX) throw new Error("They never caught up.");
    }
    // They learn of what they lost by the next message, so it must still be coming when the last of them is back
    await until("the forgetful are back too", () => forgetful.every((reader) => reader.offset > topBefore), 30_000);
    await nodes.order({ traffic: 0 });
    const stormMs = performance.now() - stormAt;
    const asked = (await questionsAsked()) - askedBefore;
    const { crowded, reads: readsAfter } = await nodes.tell();
    const reads = readsAfter - readsBefore;
    const messages = (await nodes.top()) - topBefore;
    await atTop();
    for (const reader of all) reader.cut();

    const sum = (some: readonly CheapReader[], figure: "lost" | "twice" | "delivered") =>
      some.reduce((total, one) => total + one[figure], 0);
    const figures = { delivered: sum(readers, "delivered"), lost: sum(readers, "lost"), twice: sum(readers, "twice") };
    const measured = {
      caughtUpMs: Math.round(caughtUpMs),
      reads,
      crowded,
      ...(broker === undefined ? {} : { messages, asked }),
      rssAnonMbBefore: Math.round(before.rssAnonKb / 1_024),
      rssAnonMbHighest: Math.round(highestKb / 1_024),
    };
    console.info(`${READERS} readers of ${on}: ${JSON.stringify({ ...figures, ...measured })}`);
    record(row, {
      what: `${READERS} readers of ${on} over SSE and WebSocket cut at once, each ${BEHIND} behind, back within ${WINDOW_MS} ms under ${PER_SECOND} messages/s`,
      injections: READERS,
      ...figures,
      ...measured,
      control: `${sum(forgetful, "lost")} lost by ${FORGETFUL} that came back without Last-Event-ID`,
      seconds: Math.round((performance.now() - began) / 1_000),
      seed,
    });
    expect(figures).toMatchObject({ lost: 0, twice: 0 });
    expect(caughtUpMs).toBeLessThan(CAUGHT_UP_MS_MAX);
    expect(highestKb).toBeLessThan(before.rssAnonKb * 1.3 + 32 * 1_024);
    // A few more where the tail does not reach back to them: they stand at one place, and share what is read there
    expect(reads).toBeLessThan((count * READS_PER_SECOND_MAX * stormMs) / 1_000 + 50);
    // Those that come as slowly as a slow machine takes them may have a read each; those that come together have not. The node makes one or two of its own
    expect(crowded).toBeLessThanOrEqual(2 * SPELL_READS_MAX + 2);
    expect(asked).toBeLessThanOrEqual(perRead * reads + perMessage * messages + ASKED_BESIDE_MAX);
    expect(sum(forgetful, "lost"), "the test can see a loss").toBeGreaterThanOrEqual(FORGETFUL * BEHIND);
  });
});
