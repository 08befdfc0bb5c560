import { expect } from "vitest";
import { until } from "../support/until.ts";
import type { Ground } from "./ground.ts";
import type { Volume } from "./volume.ts";

const REFUSED_MS_MAX = 30_000;
const READY_MS_MAX = 20_000;

/** The file system is full, something more may happen meanwhile, and there is room again: publishes are refused, what is there is read, readiness says no and life yes. */
export async function fillUp(ground: Ground, volume: Volume, meanwhile?: () => Promise<void>): Promise<void> {
  const isRefused = async () => {
    const { refused } = ground;
    await until("publishing is refused", () => ground.refused >= refused + 5, REFUSED_MS_MAX);
  };
  ground.fault("full disk", "start");
  volume.fill();
  await isRefused();
  if (meanwhile !== undefined) {
    await meanwhile();
    await isRefused();
  }
  const { delivered } = ground;
  await ground.gather({ publishers: 0, askers: 0, readers: { sse: 1, websocket: 1, "long-poll": 1 } });
  await until("those who come now read what is there", () => ground.delivered >= delivered + 3 * 50);
  expect(await ground.health()).toEqual({ live: true, ready: "not_ready" });
  volume.free();
  ground.fault("full disk", "stop");
  await ground.progress(50);
  await until("it is ready again", async () => (await ground.health()).ready === true, READY_MS_MAX);
}
