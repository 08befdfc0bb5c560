import { until } from "../support/until.ts";
import { campaign, type Faults } from "./campaign.ts";
import { type Ground, pass } from "./ground.ts";
import { nodeFaults } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";
import { RedisBroker } from "./redis-broker.ts";

campaign({
  row: "B1 to B9",
  title: "two nodes on one Redis, each of their faults",
  what: "Two nodes on one Redis behind HAProxy or nginx",
  async begin(ground) {
    const broker = new RedisBroker(ground, "redis");
    await broker.start();
    const nodes = new Nodes(ground, 2, RedisBroker.urlOf);
    await nodes.begin();
    return { ...nodeFaults(ground, nodes, broker), ...redisFaults(ground, broker) };
  },
});

/** What Redis itself may be. It takes nothing that was acknowledged either. */
function redisFaults(ground: Ground, broker: RedisBroker): Faults {
  const between = (min: number, max: number) => min + ground.random.fraction() * (max - min);
  return {
    async "Redis is busy"() {
      broker.ask("debug", "sleep", between(0.5, 2).toFixed(1));
    },
    async "Redis drops its subscribers"() {
      broker.ask("client", "kill", "type", "pubsub");
    },
    async "Redis forgets its scripts"() {
      broker.ask("script", "flush");
    },
    async "Redis is full"() {
      const { refused } = ground;
      broker.ask("config", "set", "maxmemory", "1");
      await until("publishing is refused", () => ground.refused > refused);
      broker.ask("config", "set", "maxmemory", "0");
    },
    async "Redis may only be read"() {
      broker.ask("replicaof", "127.0.0.1", "1");
      await pass(between(500, 2_000));
      broker.ask("replicaof", "no", "one");
    },
    async "Redis has too few replicas"() {
      const { refused } = ground;
      broker.ask("config", "set", "min-replicas-to-write", "1");
      await until("publishing is refused", () => ground.refused > refused);
      broker.ask("config", "set", "min-replicas-to-write", "0");
    },
  };
}
