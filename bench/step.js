// A program that publishes to one channel of the redis engine and measures how that goes. One line of JSON.
//
//   WAY=engine: the engine as it is, where all that waits goes in one call. WAY=single: a writer of the engine's own for each message under
//   way, so that each goes in a call by itself, all of them on one connection.
//   LIBRARY=node-redis|ioredis   REDIS_PORT   REDIS_PID   IN_FLIGHT: so many at any time, or RATE: so many a second
//   WARM_UP, SECONDS
import { createHistogram } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { systemClock as clock, systemRandom as random } from "../dist/adapters/system.js";
import { Line } from "../dist/engines/redis/line.js";
import { Places } from "../dist/engines/redis/places.js";
import { plugOf } from "../dist/engines/redis/plug.js";
import { REDIS_RETENTION } from "../dist/engines/redis/redis.js";
import { Writer } from "../dist/engines/redis/writer.js";
import { redis } from "../dist/redis.js";
import { SERVER_CORE } from "./child.js";
import { coreSeconds, cpuSeconds } from "./cpu.js";

const { WAY, LIBRARY, REDIS_PORT, REDIS_PID, IN_FLIGHT, RATE, WARM_UP = "2", SECONDS = "4" } = process.env;
const CHANNEL = "t";
const SIZE = 200;
/** At a rate: many more than are ever under way at once, so that none of them has to wait for another. */
const WRITERS_AT_A_RATE = 500;

const retain = (_channel, own) => own;
const log = { clock, random, retain, keysMax: 1_000_000, keySecondsMin: 86_400, lineageMax: 32, warn: () => {} };
const url = `redis://127.0.0.1:${REDIS_PORT}`;
const client = LIBRARY === "ioredis" ? new Redis(url, { lazyConnect: true }) : createClient({ url });

const engine = redis(client);
await engine.open(log);

const data = "x".repeat(SIZE);
const draft = { event: "message", kind: "text", data, size: SIZE + "message".length };

/** As many ways to append as are wanted: each goes in calls of its own, or all are the engine's. */
async function appends(count) {
  if (WAY === "engine") return Array.from({ length: count }, () => () => engine.append(CHANNEL, [draft]));
  const lost = (error) => {
    throw error;
  };
  const line = new Line(plugOf(client), log, { onHeard: () => {}, onUp: () => {}, onDown: lost });
  await line.open();
  // nobody follows the channel here, and no replica is waited for
  const follows = { known: () => null, appended: () => {}, doubt: () => {} };
  const replication = { confirm: () => Promise.resolve() };
  const shared = { log, line, places: new Places("throughline:"), follows, replication, retention: REDIS_RETENTION };
  return Array.from({ length: count }, () => {
    const writer = new Writer({ ...shared, node: random.letters(12), publish: "PUBLISH", replicas: 0 });
    return () => writer.append(CHANNEL, [draft]);
  });
}

const latency = createHistogram();
let stored = 0;
let isOver = false;

async function one(append) {
  const from = process.hrtime.bigint();
  const [{ type }] = await append();
  if (type !== "stored") throw new Error(`A message was answered ${type}.`);
  stored++;
  latency.record(process.hrtime.bigint() - from);
}

/** Each way publishes one message after the other. */
const inFlight = (ways) =>
  ways.map(async (append) => {
    while (!isOver) await one(append);
  });

/** So many a second, whether or not those before were answered. */
async function atRate(ways, rate) {
  const from = performance.now();
  const under = [];
  for (let sent = 0; !isOver; await sleep(1)) {
    for (const due = ((performance.now() - from) * rate) / 1000; sent < due; sent++) under.push(one(ways[sent % ways.length]));
  }
  await Promise.all(under);
}

const asked = await createClient({ url }).connect();
async function callsOfScript() {
  const stats = await asked.sendCommand(["INFO", "commandstats"]);
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(String(stats))?.[1] ?? 0);
}

async function look() {
  const calls = await callsOfScript();
  const [core, own, redis] = [coreSeconds(SERVER_CORE), cpuSeconds([process.pid]), cpuSeconds([REDIS_PID])];
  return { at: performance.now(), stored, calls, core, own, redis };
}

const ways = await appends(Number(IN_FLIGHT ?? WRITERS_AT_A_RATE));
const publishing = IN_FLIGHT ? inFlight(ways) : [atRate(ways, Number(RATE))];
const ended = Promise.all(publishing);
ended.catch(() => {});
await Promise.race([sleep(Number(WARM_UP) * 1000), ended]);
const from = await look();
latency.reset();
await Promise.race([sleep(Number(SECONDS) * 1000), ended]);
const round = (value) => Math.round(value * 1000) / 1000;
const ms = (nanoseconds) => round(nanoseconds / 1e6);
const found = { p50_ms: ms(latency.percentile(50)), p99_ms: ms(latency.percentile(99)), max_ms: ms(latency.max) };
const to = await look();
isOver = true;
await ended;

// What was answered must be there, all of it.
const { head, entries } = await engine.read(CHANNEL, stored - 1, { count: 1, bytes: 1e6 });
if (head.top !== stored || entries[0].data !== data) throw new Error(`${stored} messages were acknowledged; the log ends at ${head.top}.`);

const messages = to.stored - from.stored;
const seconds = (to.at - from.at) / 1000;
const row = {
  published_s: Math.round(messages / seconds),
  ...found,
  messages_per_call: round(messages / (to.calls - from.calls)),
  cpu_us_per_publish: round(((to.own - from.own) * 1e6) / messages),
  redis_us_per_publish: round(((to.redis - from.redis) * 1e6) / messages),
  // what else ran on this program's core
  foreign_percent: round(((to.core - from.core - to.own + from.own) / seconds) * 100),
};
console.log(JSON.stringify(row));
process.exit(0);
