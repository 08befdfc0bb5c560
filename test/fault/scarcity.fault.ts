import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { Ground, PORT, pass } from "./ground.ts";
import { Group } from "./group.ts";
import { judge } from "./judge.ts";

const STORM = 100;
const SPARE_DESCRIPTORS = 8;
const STARVED_MS = 5_000;

test(`[D7] [D10] without descriptors for ${STORM} more connections the server goes on with those it has, and takes new ones when they are gone`, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather();
  await ground.progress(50);
  const pid = ground.server?.pid as number;
  const limit = ground.descriptors + SPARE_DESCRIPTORS;
  ground.run("prlimit", `--pid=${pid}`, `--nofile=${limit}:${limit}`);
  ground.fault("no descriptors", "start");
  const script = `const { connect } = require("node:net"); for (let n = 0; n < ${STORM}; n++) connect(${PORT}, "127.0.0.1").on("error", () => {}); setInterval(() => {}, 1000)`;
  const storm = ground.start([process.execPath, "-e", script]);
  await until("the descriptors are used up", () => ground.descriptors >= limit);
  const cuts = ground.closes();
  await ground.progress(100);
  expect([ground.closes() - cuts, ground.isServing]).toEqual([0, true]);
  storm.kill("SIGKILL");
  ground.fault("no descriptors", "stop");
  await until("the descriptors are free again", () => ground.descriptors < limit);
  await ground.gather({ name: "late", readers: { sse: 1, websocket: 1, "long-poll": 1 }, publishers: 1, askers: 1 });
  await ground.progress(50);
  await ground.calm();
  judge(ground, { row: "F1", what: `${STORM} connections come where there are descriptors for ${SPARE_DESCRIPTORS}.` });
});

test("[D10] clients that find no port to connect from come in when there are ports again", async () => {
  const ground = new Ground();
  await ground.serve();
  const ports = (range: string) => ground.set("net/ipv4/ip_local_port_range", range);
  ground.fault("no ports", "start");
  await ports("40000 40009");
  await ground.gather({ readers: { sse: 10, websocket: 10, "long-poll": 2 }, publishers: 2, askers: 1 });
  await until("all ports are taken", () => ground.established >= 9);
  expect(ground.opens()).toBeLessThan(20);
  await ports("32768 60999");
  ground.fault("no ports", "stop");
  await until("all are in", () => ground.opens() >= 22, 20_000);
  await ground.progress(100);
  await ground.calm();
  judge(ground, { row: "F2", what: "Ten ports for twenty-five clients, and then enough." });
});

test(`[D2] [D3] [D10] with a tenth of a processor for ${STARVED_MS} ms the server is slow, and nothing else`, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather();
  await ground.progress(50);
  const cpu = new Group(ground, "cpu");
  cpu.set("cpu.cfs_quota_us", Number(cpu.get("cpu.cfs_period_us")) / 10);
  cpu.take(ground);
  ground.fault("no processor", "start");
  await pass(STARVED_MS);
  const throttled = () => Number(/nr_throttled (\d+)/.exec(cpu.get("cpu.stat"))?.[1]);
  await until("it was stopped for want of quota again and again", () => throttled() > 10, 60_000);
  cpu.set("cpu.cfs_quota_us", -1);
  ground.fault("no processor", "stop");
  await ground.progress(100);
  await ground.calm();
  expect(ground.gaps).toEqual([]);
  judge(ground, { row: "F3", what: "The server has a tenth of a processor (cgroup quota)." });
});
