import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { open } from "lmdb";
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { BUILT } from "./built.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { Volume } from "./volume.ts";

/** `THROUGHLINE_POWER_CUTS=20` for a night. */
const CUTS = Number(process.env["THROUGHLINE_POWER_CUTS"] ?? 4);

test(`[D4] after each of ${CUTS} power cuts under load everything acknowledged is there, where a log that does not sync loses`, {
  timeout: 60_000 + CUTS * 8_000,
}, async () => {
  const ground = new Ground();
  const volume = new Volume(ground);
  ground.data = join(volume.path, "data");
  await ground.serve();
  await ground.gather({ naive: 2 });
  for (let cuts = 0; cuts < CUTS; cuts++) {
    await ground.progress(60 + Math.floor(ground.random.fraction() * 100));
    ground.fault("power cut", "start");
    ground.server?.kill("SIGSTOP");
    const held = volume.copy();
    await ground.stop("SIGKILL");
    volume.become(held);
    ground.fault("power cut", "stop");
    expect(await ground.serve()).toBe(true);
  }
  await ground.calm();
  const lost = await loseUnsynced(ground, volume);
  expect(lost).toBeGreaterThan(0);
  judge(ground, {
    row: "D5",
    what: "The power is cut while messages are published; what the disk held by then is started from.",
    control: `unsynced: ${lost} lost`,
  });
});

/** The negative control: the same cut of a log that acknowledges before it syncs. How many acknowledged entries it lost. */
async function loseUnsynced(ground: Ground, volume: Volume): Promise<number> {
  const directory = join(volume.path, "unsynced");
  const child = ground.start([process.execPath, join(BUILT, "unsynced-child.mjs"), directory]);
  let acked = 0;
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", () => acked++);
  await until("100 are acknowledged", () => acked >= 100);
  child.kill("SIGSTOP");
  const held = volume.copy();
  const ended = once(child, "close");
  child.kill("SIGKILL");
  await ended;
  await ground.stop("SIGKILL");
  volume.become(held);
  const database = open({ path: directory, noSubdir: false, readOnly: false });
  let lost = 0;
  for (let key = 1; key <= acked; key++) if (database.get(key) === undefined) lost++;
  await database.close();
  return lost;
}
