import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { type Faults, gather, patienceMs, roundsOf, suffer } from "./campaign.ts";
import { Ground, pass } from "./ground.ts";
import { judge } from "./judge.ts";
import { nodeFaults } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";
import { RedisBroker } from "./redis-broker.ts";

const NODES = 2;

for (const round of roundsOf()) {
  test(`[D1] [D2] [D3] [D4] [D5] [D10] two nodes on one Redis, each of their faults, ${round.length}: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
    timeout: patienceMs(round),
  }, async () => {
    const ground = new Ground();
    const broker = new RedisBroker(ground, "redis");
    await broker.start();
    const nodes = new Nodes(ground, NODES, RedisBroker.urlOf);
    await nodes.begin();
    await gather(ground);
    const faults = { ...nodeFaults(ground, nodes, broker), ...redisFaults(ground, broker) };
    const figures = await suffer(ground, faults, round);
    await ground.calm();
    expect(ground.gaps).toEqual([]);
    judge(ground, {
      row: "B1 to B9",
      what: `Two nodes on one Redis behind HAProxy: ${Object.keys(faults).join(", ")}.`,
      gaps: 0,
      ...figures,
    });
  });
}

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
