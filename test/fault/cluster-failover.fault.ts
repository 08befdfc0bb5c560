import { expect, test } from "vitest";
import { check } from "../check/checker.ts";
import { until } from "../support/until.ts";
import { ClusterBroker } from "./cluster-broker.ts";
import { PORT } from "./cluster-member.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { Nodes } from "./nodes.ts";

/** How often: `THROUGHLINE_FAILOVERS=20` for a night. */
const FAILOVERS = Number(process.env["THROUGHLINE_FAILOVERS"] ?? 2);
const CHANNELS = ["orders", "chat/lobby", "alerts"];
const READERS = { sse: 2, websocket: 2, "long-poll": 1 };
const READERS_COUNT = 5;
const PATIENCE_MS = 60_000;

test.each(["node-redis", "ioredis"] as const)(
  `[D3] of a Redis Cluster a master dies ${FAILOVERS} times before its replica has its last writes, with %s: every reader that held one of them is told, and nobody else`,
  {
    timeout: 120_000 + FAILOVERS * 60_000,
  },
  async (library) => {
    const ground = new Ground();
    const broker = new ClusterBroker(ground);
    await broker.begin();
    await new Nodes(ground, 2, ClusterBroker.urlOf, broker.optionsOf(library)).begin();
    await ground.gather({ channels: CHANNELS, readers: READERS });
    for (let times = 1; times <= FAILOVERS; times++) {
      await broker.whole();
      await ground.progress(50);
      await ground.whole();
      const master = broker.any(broker.masters.filter((one) => one.has(CHANNELS).length > 0));
      const lost = new Set(master.has(CHANNELS));
      const replica = broker.replicaOf(master);
      const { gaps } = ground;
      const ways = [`ip daddr ${master.host} tcp dport ${PORT} drop`, `ip saddr ${master.host} tcp sport ${PORT} drop`];
      ground.filter(ways);
      await ground.onward([...lost]);
      await ground.shown();
      await master.stop("SIGKILL");
      ground.fault("failover", "start", { may: ["truncated"], loses: ["disk"] });
      replica.ask("cluster", "failover", "takeover");
      await until("it has taken over", () => replica.isMaster, PATIENCE_MS);
      ground.filter([]);
      await ground.onward(CHANNELS);
      ground.fault("failover", "stop");
      const told = () => ground.gaps.slice(gaps.length);
      const count = () => new Set(told().map(({ cid, channel }) => `${cid} ${channel}`)).size;
      await until("everyone is told", () => count() === READERS_COUNT * lost.size, PATIENCE_MS).catch((error: Error) => {
        const heard = told().map(({ cid, channel, since, resumeFrom }) => `${cid} ${channel} ${since} -> ${resumeFrom}`);
        throw new Error(
          `${error.message} Lost: ${[...lost]}; told: ${heard.join("; ")}; history ${ground.keep()}; ${ground.err.slice(-2_000)}`,
        );
      });
      expect(new Set(told().map(({ channel }) => channel))).toEqual(lost);
      await master.start();
      await until("it follows its replica", () => !master.isMaster, PATIENCE_MS);
    }
    await ground.calm();
    expect(new Set(ground.gaps.map(({ reason }) => reason))).toEqual(new Set(["truncated"]));
    const history = ground.history.toSorted((a, b) => a.t - b.t);
    for (const gap of ground.gaps.slice(-READERS_COUNT)) {
      const { counts } = check(history.filter((event) => event !== gap));
      expect(counts.violations, `the checker finds that ${gap.cid} was not told`).toBeGreaterThan(0);
    }
    judge(ground, {
      row: "B3 cluster",
      what: `Of a Redis Cluster a master dies before its replica, which takes over, has its last writes; every reader beyond them is told, by way of both nodes, with ${library}.`,
      gaps: ground.gaps.length,
      control: "planted: the gap of a reader taken out of the history, for each of five: all found",
    });
  },
);
