import { expect, test } from "vitest";
import { check } from "../check/checker.ts";
import { until } from "../support/until.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { Nodes } from "./nodes.ts";
import { RedisBroker, UPSTREAM_DROPPED } from "./redis-broker.ts";

/** How often: `THROUGHLINE_FAILOVERS=20` for a night. */
const FAILOVERS = Number(process.env["THROUGHLINE_FAILOVERS"] ?? 2);
const NODES = 2;

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
    await ground.onward(["orders", "chat/lobby"]);
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
