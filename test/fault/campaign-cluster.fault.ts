import { CROWD, campaign } from "./campaign.ts";
import { ClusterBroker } from "./cluster-broker.ts";
import { clusterFaults } from "./cluster-faults.ts";
import { nodeFaults } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";

for (const library of ["node-redis", "ioredis"] as const) {
  campaign({
    row: library === "ioredis" ? "B1 to B9 cluster ioredis" : "B1 to B9 cluster",
    title: `two nodes on one Redis Cluster of three, with ${library}, each of their faults`,
    what: `Two nodes on one Redis Cluster of three masters and their replicas, with ${library}, behind HAProxy or nginx`,
    async begin(ground) {
      const broker = new ClusterBroker(ground);
      await broker.begin();
      const nodes = new Nodes(ground, 2, ClusterBroker.urlOf, broker.optionsOf(library));
      await nodes.begin();
      return { ...nodeFaults(ground, nodes, broker), ...clusterFaults(ground, broker, CROWD.channels ?? []) };
    },
  });
}
