import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { childrenOf } from "../support/children.ts";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { isStill } from "./freeze.ts";
import { fillUp } from "./full-disk.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { Volume } from "./volume.ts";
import { complete, kill, serve, WORKERS } from "./worker-faults.ts";

/** How often each fault is injected: `THROUGHLINE_WORKER_FAULTS=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_WORKER_FAULTS"] ?? 1);
/** Long beside a commit, so that most kills fall into it. */
const META_PAGE_MS = 20;
const META_KILLS = 10 * TIMES;
const POWER_CUTS = 2 * TIMES;

test("[D4] the process that writes, killed again and again as it is about to sync for the n-th time, loses nothing that was acknowledged", {
  timeout: 180_000,
}, async () => {
  const ground = new Ground();
  await serve(ground);
  await ground.gather({ naive: 2 });
  for (const nth of [2, 5, 11, 23]) {
    await ground.stop("SIGKILL");
    const inject = ["-e", "trace=fdatasync", "-e", `inject=fdatasync:signal=SIGKILL:when=${nth}`];
    const under = [need("strace"), "-D", "-f", "-qq", "-o", "/dev/null", ...inject];
    // One thread that syncs, so that its calls are counted in one row
    await serve(ground, { under, env: { UV_THREADPOOL_SIZE: "1" } });
    ground.fault("kills of the owner", "start");
    await kills(ground, 3 * TIMES);
    ground.fault("kills of the owner", "stop");
  }
  await ground.stop("SIGKILL");
  await serve(ground);
  await ground.calm();
  judge(ground, { row: "P8", what: "Of dev --workers 2 the owner of the log is killed at its n-th fdatasync, and the next at its own." });
});

test(`[D4] [D5] the process that writes, killed ${META_KILLS} times while it puts a commit in its place, leaves no commit that the next one does not know`, {
  timeout: 60_000 + META_KILLS * 20_000,
}, async () => {
  const ground = new Ground();
  // The page is written, and whoever wrote it dies before it has said so to those who read
  const inject = ["-e", "trace=pwrite64", "-e", `inject=pwrite64:delay_exit=${META_PAGE_MS * 1_000}`];
  const under = [need("strace"), "-D", "-f", "-qq", "-o", "/dev/null", ...inject];
  await serve(ground, { under });
  await ground.gather({ naive: 2 });
  for (let count = 0; count < META_KILLS; count++) {
    await ground.progress(10 + Math.floor(ground.random.fraction() * 20));
    ground.fault("kill of the owner", "start");
    await kill(ground, "owner");
    ground.fault("kill of the owner", "stop");
  }
  await ground.stop("SIGKILL");
  await serve(ground);
  // The death of an owner cuts no reader: this is when the naive ones lose something
  await ground.progress(60);
  await ground.calm();
  judge(ground, {
    row: "P8",
    what: "Of dev --workers 2 the owner of the log is killed while the page that makes a commit stand is written.",
  });
});

test(`[D4] [D10] while the disk under ${WORKERS} workers is full publishing is refused with not_stored and reading goes on, though a worker and the process that writes are killed meanwhile, and space heals it`, {
  timeout: 60_000 + TIMES * 60_000,
}, async () => {
  const ground = new Ground();
  const volume = new Volume(ground, 48);
  ground.data = join(volume.path, "data");
  await serve(ground);
  await ground.gather({ largeBytes: 20_000 });
  await ground.progress(50);
  for (let times = 0; times < TIMES; times++) {
    await fillUp(ground, volume, async () => {
      await kill(ground, "worker");
      process.kill(childrenOf(ground.server?.pid ?? 0, "owner")[0]!, "SIGKILL");
    });
    await complete(ground);
  }
  await ground.calm();
  judge(ground, {
    row: "D1",
    what: "The file system under dev --workers 2 is full, and a worker and the owner of the log are killed meanwhile; publishes are refused as not stored, reading goes on, and it heals.",
  });
});

test(`[D4] after each of ${POWER_CUTS} power cuts of ${WORKERS} workers under load everything acknowledged is there`, {
  timeout: 60_000 + POWER_CUTS * 60_000,
}, async () => {
  const ground = new Ground();
  const volume = new Volume(ground);
  ground.data = join(volume.path, "data");
  await serve(ground);
  await ground.gather({ naive: 2 });
  for (let cuts = 0; cuts < POWER_CUTS; cuts++) {
    await ground.progress(60 + Math.floor(ground.random.fraction() * 100));
    const parent = ground.server?.pid ?? 0;
    const [owner, ...workers] = [...childrenOf(parent, "owner"), ...childrenOf(parent, "worker")];
    ground.fault("power cut", "start");
    process.kill(owner!, "SIGSTOP");
    await until("it stands still", () => isStill(owner!));
    const held = volume.copy();
    for (const pid of [owner!, ...workers]) process.kill(pid, "SIGKILL");
    await ground.stop("SIGKILL");
    await until("all have gone", () => [owner!, ...workers].every((pid) => !existsSync(`/proc/${pid}`)));
    volume.become(held);
    ground.fault("power cut", "stop");
    await serve(ground);
  }
  await ground.calm();
  judge(ground, {
    row: "D5",
    what: "The power of dev --workers 2 is cut while messages are published; what the disk held by then is started from.",
  });
});

/** Waits until the owner has been another one so many times. */
async function kills(ground: Ground, count: number): Promise<void> {
  const seen = new Set<number>();
  await until(
    `${count} owners have died`,
    () => {
      for (const pid of childrenOf(ground.server?.pid ?? 0, "owner")) seen.add(pid);
      return seen.size > count;
    },
    60_000,
  );
}
