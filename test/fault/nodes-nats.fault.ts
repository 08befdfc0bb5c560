import { expect, test } from "vitest";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { NatsBroker } from "./nats-broker.ts";
import { nodeFaults, suffer } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";

/** How often each fault is injected: `THROUGHLINE_NODE_FAULTS=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_NODE_FAULTS"] ?? 1);
const NODES = 2;
/** So many channels, and so little in each message, that a night does not come to what retention trims: that would count as lost. */
const CROWD = { channels: ["orders", "chat/lobby", "prices/eu", "alerts"], largeBytes: 500 };

test(`[D1] [D2] [D3] [D4] [D5] [D10] two nodes on one NATS, each of their faults ${TIMES} times: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
  timeout: 120_000 + TIMES * 240_000,
}, async () => {
  const ground = new Ground();
  const broker = new NatsBroker(ground);
  await broker.start();
  const nodes = new Nodes(ground, NODES, NatsBroker.urlOf);
  await nodes.begin();
  await ground.gather({ ...CROWD, naive: 2, publishers: 8, readers: { sse: 4, websocket: 4, "long-poll": 2 } });
  await ground.progress(50);
  const faults = nodeFaults(ground, nodes, broker);
  await suffer(ground, faults, TIMES);
  await ground.calm();
  expect(ground.gaps).toEqual([]);
  judge(ground, {
    row: "B8",
    what: `Two nodes on one NATS behind HAProxy, each of these ${TIMES} times: ${Object.keys(faults).join(", ")}.`,
    kinds: Object.keys(faults).length,
    gaps: 0,
  });
});
