import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { BUILT } from "./built.ts";
import { latencies, percentile } from "./figures.ts";
import { fillUp } from "./full-disk.ts";
import { Ground, now, PORT, pass } from "./ground.ts";
import { judge } from "./judge.ts";
import { Volume } from "./volume.ts";

/** Every how-manyth of the first 100 calls fails; `THROUGHLINE_FSYNC_STEP=1` for each of them. */
const STEP = Number(process.env["THROUGHLINE_FSYNC_STEP"] ?? 10);
/** How often the disk is full; `THROUGHLINE_TIMES=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_TIMES"] ?? 2);
const SLOW_MS = 300;
const HUNG_MS = 5_000;
/** An owner of a directory shows that it lives every two seconds. */
const OWNER_BEATS_MS = 2_500;

test("[D4] [D10] while the disk is full publishing is refused with not_stored, reading goes on, and space heals it", {
  timeout: 60_000 + TIMES * 10_000,
}, async () => {
  const ground = new Ground();
  const volume = new Volume(ground, 48);
  ground.data = join(volume.path, "data");
  await ground.serve();
  const { server } = ground;
  await ground.gather({ largeBytes: 20_000 });
  await ground.progress(50);
  for (let times = 0; times < TIMES; times++) await fillUp(ground, volume);
  expect([ground.server, ground.isServing]).toEqual([server, true]);
  await ground.calm();
  judge(ground, { row: "D1", what: "The file system is full; publishes are refused as not stored, reading goes on, and it heals." });
});

test(`[D4] an fdatasync that fails, one in ${STEP} of the first 100, loses nothing acknowledged and ends nothing`, {
  timeout: 30_000 + (100 / STEP) * 8_000,
}, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ naive: 2 });
  for (let nth = STEP, count = 0; nth <= 100; nth += STEP, count++) {
    await ground.stop(count % 2 === 0 ? "SIGTERM" : "SIGKILL");
    const trace = join(ground.ledger.home, `trace-${nth}`);
    const error = count % 2 === 0 ? "EIO" : "ENOSPC";
    ground.fault(error, "start");
    const inject = ["-e", "trace=fdatasync", "-e", `inject=fdatasync:error=${error}:when=${nth}`];
    await ground.serve({ under: [need("strace"), "-D", "-f", "-qq", "-o", trace, ...inject], env: { UV_THREADPOOL_SIZE: "1" } });
    await until(`the ${nth}th fails`, () => readFileSync(trace, "utf8").includes("INJECTED"), 30_000);
    ground.fault(error, "stop");
    await ground.progress(20);
    expect(ground.isServing).toBe(true);
  }
  await ground.calm();
  judge(ground, {
    row: "D2",
    what: "The n-th fdatasync fails with EIO or ENOSPC; nothing acknowledged is lost, nothing refused is there, and it goes on.",
  });
});

test(`[D4] on a disk that takes ${SLOW_MS} ms to sync no answer comes before it`, async () => {
  const ground = new Ground();
  const slow = ["-e", "trace=fdatasync", "-e", `inject=fdatasync:delay_enter=${SLOW_MS * 1_000}`];
  await ground.serve({ under: [need("strace"), "-D", "-f", "-qq", "-o", "/dev/null", ...slow] });
  ground.fault("slow disk", "start");
  await ground.gather();
  await ground.progress(60);
  const waits = latencies(ground.history);
  const hasty = await answersOfUnsynced(ground, slow);
  await ground.stop("SIGKILL");
  ground.fault("slow disk", "stop");
  await ground.serve();
  await ground.progress(60);
  await ground.calm();
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(SLOW_MS);
  expect(hasty, "the test can see an answer before the sync").toBeLessThan(SLOW_MS);
  judge(ground, {
    row: "D3",
    what: `Each fdatasync takes ${SLOW_MS} ms more.`,
    p50Ms: percentile(waits, 0.5),
    p99Ms: percentile(waits, 0.99),
    control: `a log that does not sync answers after ${hasty} ms`,
  });
});

/** The negative control: on the same disk a log that acknowledges what it has not synced. Milliseconds from one answer to the next, at the least. */
async function answersOfUnsynced(ground: Ground, slow: readonly string[]): Promise<number> {
  const words = [process.execPath, join(BUILT, "unsynced-child.mjs"), join(ground.ledger.home, "unsynced")];
  const child = ground.start([need("strace"), "-D", "-f", "-qq", "-o", "/dev/null", ...slow, ...words]);
  const at: number[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", () => at.push(performance.now()));
  await until("20 are answered", () => at.length >= 20);
  child.kill("SIGKILL");
  return Math.round(Math.min(...at.slice(1).map((ms, index) => ms - (at[index] as number))));
}

test(`[D4] [D10] while the disk hangs for ${HUNG_MS} ms nothing is acknowledged, and after it everything goes on`, async () => {
  const ground = new Ground();
  const volume = new Volume(ground);
  ground.data = join(volume.path, "data");
  await ground.serve();
  await ground.gather();
  await ground.progress(100);
  ground.fault("hung disk", "start");
  volume.freeze();
  const sinceT = now();
  await pass(HUNG_MS);
  expect(ground.history.filter(({ type, t }) => type === "stored" && t > sinceT).length).toBeLessThan(20); // those under way
  volume.thaw();
  ground.fault("hung disk", "stop");
  await ground.progress(100);
  await ground.calm();
  judge(ground, { row: "D4", what: "Writes to the file system hang (fsfreeze) and go on." });
});

// What LMDB reads it may have to wait for, as its table of readers stands on the same disk; but nothing that the server does by itself may hang on it.
test("[D10] a server with nothing to store or read answers while its disk hangs: it lives, and is not ready", async () => {
  const ground = new Ground();
  const volume = new Volume(ground);
  await ground.serve({ library: { data: join(volume.path, "data") } });
  volume.freeze();
  await pass(OWNER_BEATS_MS);
  const answer = ground.start([
    process.execPath,
    "-e",
    `fetch("http://127.0.0.1:${PORT}/nothing").then(({ status }) => process.exit(status === 404 ? 0 : 1))`,
  ]);
  await until("it answers", () => answer.exitCode === 0, 5_000);
  expect(await ground.health()).toEqual({ live: true, ready: "not_ready" });
  volume.thaw();
  await until("it is ready again", async () => (await ground.health()).ready === true, 20_000);
});
