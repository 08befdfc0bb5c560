import { campaign } from "./campaign.ts";
import { NatsBroker } from "./nats-broker.ts";
import { nodeFaults } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";

campaign({
  row: "B8",
  title: "two nodes on one NATS, each of their faults",
  what: "Two nodes on one NATS behind HAProxy or nginx",
  async begin(ground) {
    const broker = new NatsBroker(ground);
    await broker.start();
    const nodes = new Nodes(ground, 2, NatsBroker.urlOf);
    await nodes.begin();
    return nodeFaults(ground, nodes, broker);
  },
});
