import { expect, test } from "vitest";
import { need } from "../support/need.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";

/** `THROUGHLINE_KILLS=200` for a night. */
const KILLS = Number(process.env["THROUGHLINE_KILLS"] ?? 40);
/** Every how-manyth of the first 100 fsyncs; `THROUGHLINE_FSYNC_STEP=1` for all of them. */
const FSYNC_STEP = Number(process.env["THROUGHLINE_FSYNC_STEP"] ?? 10);

test(`[D1] [D2] [D3] [D4] [D5] [D10] a server killed ${KILLS} times under load loses nothing that it acknowledged, and every reader goes on where it was`, {
  timeout: 30_000 + KILLS * 4_000,
}, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ naive: 2 });
  for (let kills = 0; kills < KILLS; kills++) {
    // At any moment of the load
    await ground.progress(10 + Math.floor(ground.random.fraction() * 60));
    ground.fault("kill", "start");
    await ground.stop("SIGKILL");
    ground.fault("kill", "stop");
    await ground.serve();
  }
  await ground.calm();
  expect(ground.acked).toBeGreaterThan(KILLS * 30);
  const what = "The server is killed (SIGKILL) while messages are published and read; nothing acknowledged is lost.";
  judge(ground, { row: "P1", what, kinds: 1, sigkills: KILLS, powerCuts: 0, gaps: ground.gaps.length });
});

test(`[D4] killed as it is about to sync, at one in ${FSYNC_STEP} of the first 100 syncs, it loses nothing that it acknowledged`, {
  timeout: 30_000 + (100 / FSYNC_STEP) * 6_000,
}, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ naive: 2 });
  for (let nth = FSYNC_STEP; nth <= 100; nth += FSYNC_STEP) {
    await ground.stop("SIGKILL");
    ground.fault("kill", "start");
    const inject = ["-e", "trace=fdatasync", "-e", `inject=fdatasync:signal=SIGKILL:when=${nth}`];
    // One thread that syncs, so that its calls are counted in one row
    const under = [need("strace"), "-D", "-f", "-qq", "-o", "/dev/null", ...inject];
    await ground.serve({ under, env: { UV_THREADPOOL_SIZE: "1" } });
    await ground.ended();
    ground.fault("kill", "stop");
  }
  await ground.serve();
  await ground.calm();
  judge(ground, { row: "P2", what: "The server is killed at its n-th fdatasync; nothing acknowledged is lost." });
});
