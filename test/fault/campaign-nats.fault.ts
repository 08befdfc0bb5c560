import { expect, test } from "vitest";
import { gather, patienceMs, roundsOf, suffer } from "./campaign.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { NatsBroker } from "./nats-broker.ts";
import { nodeFaults } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";

const NODES = 2;

for (const round of roundsOf()) {
  test(`[D1] [D2] [D3] [D4] [D5] [D10] two nodes on one NATS, each of their faults, ${round.length}: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
    timeout: patienceMs(round),
  }, async () => {
    const ground = new Ground();
    const broker = new NatsBroker(ground);
    await broker.start();
    const nodes = new Nodes(ground, NODES, NatsBroker.urlOf);
    await nodes.begin();
    await gather(ground);
    const faults = nodeFaults(ground, nodes, broker);
    const figures = await suffer(ground, faults, round);
    await ground.calm();
    expect(ground.gaps).toEqual([]);
    judge(ground, { row: "B8", what: `Two nodes on one NATS behind HAProxy: ${Object.keys(faults).join(", ")}.`, gaps: 0, ...figures });
  });
}
