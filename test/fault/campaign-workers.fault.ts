import { expect, test } from "vitest";
import { gather, patienceMs, roundsOf, suffer } from "./campaign.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { serve, WORKERS, workerFaults } from "./worker-faults.ts";

for (const round of roundsOf()) {
  test(`[D1] [D2] [D3] [D4] [D5] [D10] ${WORKERS} workers on one log, each fault of their processes, ${round.length}: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
    timeout: patienceMs(round),
  }, async () => {
    const ground = new Ground();
    await serve(ground);
    await gather(ground);
    const faults = workerFaults(ground);
    const figures = await suffer(ground, faults, round);
    await ground.calm();
    expect(ground.gaps).toEqual([]);
    judge(ground, { row: "P8", what: `dev --workers ${WORKERS}: ${Object.keys(faults).join(", ")}.`, gaps: 0, ...figures });
  });
}
