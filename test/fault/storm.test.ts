import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CheapReader, CheapSocket, CheapStream } from "../support/cheap-reader.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import type { Order, Standing } from "../support/storm-child.ts";
import { inTime, until } from "../support/until.ts";

/* Row C7: a storm of readers that were cut at once, and come back at once. */

/** `THROUGHLINE_STORM=2000` for a night. */
const READERS = Number(process.env["THROUGHLINE_STORM"] ?? 400);
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
let child: ChildProcess;

beforeAll(async () => {
  await build({
    entryPoints: [join(ROOT, "test/support/storm-child.ts")],
    outfile: CHILD,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["lmdb", "ws"],
  });
  home = mkdtempSync(join(tmpdir(), "throughline-storm-"));
  child = fork(CHILD, [join(home, "data"), "storm"]);
});

afterAll(async () => {
  child.kill("SIGKILL");
  await once(child, "close");
  rmSync(home, { recursive: true, force: true });
});

/** One at a time: each order is answered once it is done. */
async function order(what: Order): Promise<Standing> {
  const answered = once(child, "message");
  child.send(what);
  const [standing] = await inTime(answered, () => `an answer to ${JSON.stringify(what)}`, 30_000);
  return standing as Standing;
}

test(`[D2] [D7] [D10] ${READERS} readers cut at once, each ${BEHIND} behind, catch up within 10 s under live traffic, and cost no queue each`, {
  timeout: 60_000 + READERS * 60,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  const random = seededRandom(seed);
  const { port, position } = await order({ publish: 10 });
  const readers: CheapReader[] = Array.from({ length: READERS }, (_, index) =>
    index % 2 === 0 ? new CheapStream(port, position) : new CheapSocket(port, position),
  );
  const forgetful = Array.from({ length: FORGETFUL }, () => new CheapStream(port, position));
  const all = [...readers, ...forgetful];
  const top = async () => Number((await order({ tell: true })).position.slice(21, 37));
  const atTop = async (patienceMs: number) => {
    const offset = await top();
    await until(`all are at ${offset}`, () => all.every((reader) => reader.offset >= offset), patienceMs);
  };
  for (const reader of all) reader.open();
  await until("all read", () => all.every(({ begun }) => begun), 30_000);
  await order({ publish: BEHIND });
  await atTop(30_000);
  const before = await order({ tell: true });
  const delivered = all.reduce((sum, reader) => sum + reader.delivered, 0);
  expect(delivered).toBe(all.length * BEHIND);

  for (const reader of all) reader.cut();
  await until("the server has noticed", async () => (await order({ tell: true })).connections === 0, 30_000);
  await order({ publish: BEHIND });
  const { reads } = await order({ traffic: PER_SECOND });
  for (const reader of forgetful) reader.forgets = true;
  const stormAt = performance.now();
  const behind = (await top()) - 1;
  for (const reader of all) setTimeout(() => reader.open(), random.fraction() * WINDOW_MS);
  let highestKb = 0;
  let caughtUpMs = 0;
  while (caughtUpMs === 0) {
    highestKb = Math.max(highestKb, (await order({ tell: true })).rssAnonKb);
    if (readers.every((reader) => reader.offset >= behind)) caughtUpMs = performance.now() - stormAt;
    else if (performance.now() - stormAt > 3 * CAUGHT_UP_MS_MAX) throw new Error("They never caught up.");
  }
  // They learn of what they lost by the next message, so it must still be coming when the last of them is back
  await until("the forgetful are back too", () => forgetful.every((reader) => reader.offset > behind), 30_000);
  const after = await order({ traffic: 0 });
  const stormMs = performance.now() - stormAt;
  await atTop(30_000);
  for (const reader of all) reader.cut();

  const sum = (some: readonly CheapReader[], count: "lost" | "twice" | "delivered") => some.reduce((total, one) => total + one[count], 0);
  const shared = after.reads - reads;
  const mb = (kb: number) => Math.round(kb / 1_024);
  console.info(
    `${READERS} readers caught up in ${Math.round(caughtUpMs)} ms by ${shared} reads of the log; ` +
      `RssAnon ${mb(before.rssAnonKb)} MB before the cut, ${mb(highestKb)} MB at most after it`,
  );
  const figures = { delivered: sum(readers, "delivered"), lost: sum(readers, "lost"), twice: sum(readers, "twice") };
  const what = `${READERS} readers over SSE and WebSocket cut at once, each ${BEHIND} behind, back within ${WINDOW_MS} ms under ${PER_SECOND} messages/s`;
  const measured = {
    caughtUpMs: Math.round(caughtUpMs),
    reads: shared,
    rssAnonMbBefore: mb(before.rssAnonKb),
    rssAnonMbHighest: mb(highestKb),
  };
  const control = `${sum(forgetful, "lost")} lost by ${FORGETFUL} that came back without Last-Event-ID`;
  record("C7", {
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
  expect(shared).toBeLessThan(Math.min((READS_PER_SECOND_MAX * stormMs) / 1_000 + 50, 0.75 * READERS));
  expect(sum(forgetful, "lost"), "the test can see a loss").toBeGreaterThanOrEqual(FORGETFUL * BEHIND);
});
