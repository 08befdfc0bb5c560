import { expect, test } from "vitest";
import { check } from "../check/checker.ts";
import { until } from "../support/until.ts";
import { Ground, pass } from "./ground.ts";
import { judge } from "./judge.ts";
import { type Faults, nodeFaults, suffer } from "./node-faults.ts";
import { Nodes } from "./nodes.ts";
import { RedisBroker, UPSTREAM_DROPPED } from "./redis-broker.ts";

/** How often each fault is injected: `THROUGHLINE_NODE_FAULTS=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_NODE_FAULTS"] ?? 1);
const FAILOVERS = Number(process.env["THROUGHLINE_FAILOVERS"] ?? 2);
const NODES = 2;
/** So many channels, and so little in each message, that a night does not come to what retention trims: that would count as lost. */
const CROWD = { channels: ["orders", "chat/lobby", "prices/eu", "alerts"], largeBytes: 500 };

test(`[D1] [D2] [D3] [D4] [D5] [D10] two nodes on one Redis, each of their faults ${TIMES} times: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
  timeout: 120_000 + TIMES * 240_000,
}, async () => {
  const ground = new Ground();
  const broker = new RedisBroker(ground, "redis");
  await broker.start();
  const nodes = new Nodes(ground, NODES, RedisBroker.urlOf);
  await nodes.begin();
  await ground.gather({ ...CROWD, naive: 2, publishers: 8, readers: { sse: 4, websocket: 4, "long-poll": 2 } });
  await ground.progress(50);
  const faults = { ...nodeFaults(ground, nodes, broker), ...redisFaults(ground, broker) };
  await suffer(ground, faults, TIMES);
  await ground.calm();
  expect(ground.gaps).toEqual([]);
  judge(ground, {
    row: "B1 to B9",
    what: `Two nodes on one Redis behind HAProxy, each of these ${TIMES} times: ${Object.keys(faults).join(", ")}.`,
    kinds: Object.keys(faults).length,
    gaps: 0,
  });
});

test(`[D3] a Redis that fails over ${FAILOVERS} times without its last writes: every reader that held one of them is told, and nobody else`, {
  timeout: 60_000 + FAILOVERS * 30_000,
}, async () => {
  const ground = new Ground();
  let broker = new RedisBroker(ground, "redis-0");
  await broker.start();
  const nodes = new Nodes(ground, NODES, RedisBroker.urlOf);
  await nodes.begin();
  await ground.gather();
  for (let times = 1; times <= FAILOVERS; times++) {
    const replica = await broker.replica(`redis-${times}`);
    await ground.progress(50);
    await ground.whole();
    const { gaps } = ground;
    ground.filter(UPSTREAM_DROPPED);
    await ground.progress(50);
    await ground.shown();
    await broker.stop("SIGKILL");
    ground.fault("failover", "start", { may: ["truncated"], loses: ["disk"] });
    replica.promote();
    ground.filter([]);
    broker = replica;
    await ground.progress(50);
    ground.fault("failover", "stop");
    // One by way of a node that has not noticed yet may be taken back once more
    const told = () => new Set(ground.gaps.slice(gaps.length).map(({ cid, channel }) => `${cid} ${channel}`));
    await until("everyone is told", () => told().size === 10, 20_000);
  }
  await ground.calm();
  expect(new Set(ground.gaps.map(({ reason }) => reason))).toEqual(new Set(["truncated"]));
  const history = ground.history.toSorted((a, b) => a.t - b.t);
  for (const gap of ground.gaps.slice(-10)) {
    const { counts } = check(history.filter((event) => event !== gap));
    expect(counts.violations, `the checker finds that ${gap.cid} was not told`).toBeGreaterThan(0);
  }
  judge(ground, {
    row: "B3",
    what: "Redis fails over to a replica that lacks its last writes; every reader beyond them is told, by way of both nodes.",
    gaps: ground.gaps.length,
    control: "planted: the gap of a reader taken out of the history, for each of ten: all found",
  });
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
