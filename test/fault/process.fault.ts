import { expect, test } from "vitest";
import { Ground, pass } from "./ground.ts";
import { Group } from "./group.ts";
import { judge } from "./judge.ts";

/** How often each is done; `THROUGHLINE_TIMES=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_TIMES"] ?? 2);
const FREEZES = Math.max(2, TIMES / 2);
const FROZEN_MS = 5_000;
const ALERT = { heartbeatSeconds: 1 };
const ROOM_BYTES = 64 * 1024 * 1024;

test(`[D2] [D10] frozen for ${FROZEN_MS} ms, ${FREEZES} times, the server goes on as if nothing had been, and clients that had left come back`, {
  timeout: 60_000 + FREEZES * 20_000,
}, async () => {
  const ground = new Ground();
  await ground.serve({ library: { data: ground.data, limits: ALERT } });
  await ground.gather({ naive: 2, naiveSilenceMs: FROZEN_MS - 500 });
  const freezer = new Group(ground, "freezer");
  freezer.take(ground);
  for (let times = 0; times < FREEZES; times++) {
    await ground.progress(50);
    const cuts = ground.closes();
    ground.fault("freeze", "start");
    freezer.set("freezer.state", "FROZEN");
    await pass(FROZEN_MS);
    expect(ground.closes()).toBeGreaterThan(cuts); // they have noticed
    freezer.set("freezer.state", "THAWED");
    ground.fault("freeze", "stop");
    await ground.whole();
  }
  await ground.progress(50);
  await ground.calm();
  judge(ground, { row: "P3", what: `The server is frozen for ${FROZEN_MS} ms (cgroup freezer) and thawed.` });
});

test(`[D4] [D10] killed ${TIMES} times by the kernel for want of memory, the server loses nothing that it acknowledged`, {
  timeout: 60_000 + TIMES * 12_000,
}, async () => {
  const ground = new Ground();
  await ground.serve({ env: { THROUGHLINE_PROBE: "eat" } });
  await ground.gather({ naive: 2 });
  for (let times = 0; times < TIMES; times++) {
    const memory = new Group(ground, "memory");
    memory.take(ground);
    await ground.progress(50);
    const before = killsOf(memory);
    memory.set("memory.limit_in_bytes", Number(memory.get("memory.usage_in_bytes")) + ROOM_BYTES);
    ground.fault("out of memory", "start");
    ground.server?.kill("SIGWINCH");
    await ground.ended();
    ground.fault("out of memory", "stop");
    expect([ground.server?.signalCode, killsOf(memory) - before]).toEqual(["SIGKILL", 1]);
    await ground.serve({ env: { THROUGHLINE_PROBE: "eat" } });
  }
  await ground.progress(50);
  await ground.calm();
  judge(ground, { row: "P6", what: "The kernel kills the server for want of memory (cgroup limit)." });
});

function killsOf(memory: Group): number {
  return Number(/oom_kill (\d+)/.exec(memory.get("memory.oom_control"))?.[1]);
}

test(`[D2] [D10] ${TIMES} times the event loop stands still for two seconds, and no reader is cut for it`, async () => {
  const ground = new Ground();
  await ground.serve();
  // Who takes so short a silence for death is wrong here
  await ground.gather({ naive: 2, naiveSilenceMs: 1_500 });
  await ground.progress(50);
  for (let times = 0; times < TIMES; times++) {
    ground.fault("stall", "start");
    ground.server?.kill("SIGWINCH");
    const { acked } = ground;
    await pass(1_000);
    expect(ground.acked - acked).toBeLessThan(30); // it does stand still
    await ground.progress(50);
    ground.fault("stall", "stop");
  }
  await ground.calm();
  expect(ground.closes()).toBe(0);
  judge(ground, { row: "P7", what: "The event loop of the server is kept for two seconds." });
});
