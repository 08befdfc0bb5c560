import { join } from "node:path";
import { expect, test } from "vitest";
import { gather, patienceMs, roundsOf, suffer } from "./campaign.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { serverFaults } from "./server-faults.ts";
import { Volume } from "./volume.ts";

const DISK_MEGABYTES = 384;

for (const round of roundsOf()) {
  test(`[D1] [D2] [D3] [D4] [D5] [D10] one server on a disk, each fault of it, its disk and its network, ${round.length}: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
    timeout: patienceMs(round),
  }, async () => {
    const ground = new Ground();
    const volume = new Volume(ground, DISK_MEGABYTES);
    ground.data = join(volume.path, "data");
    const serve = () => ground.serve();
    await serve();
    await gather(ground);
    const faults = serverFaults(ground, volume, serve);
    const figures = await suffer(ground, faults, round);
    await ground.calm();
    expect(ground.gaps).toEqual([]);
    judge(ground, { row: "P1 to D5", what: `One server on a disk: ${Object.keys(faults).join(", ")}.`, gaps: 0, ...figures });
  });
}
