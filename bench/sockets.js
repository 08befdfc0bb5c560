// The load client for what loadgen.c does not speak. One process: readers over WebSocket, spread over the nodes, and one publisher on the
// first of them. It speaks to Throughline and to Socket.IO (Engine.IO 4 over WebSocket), and does all but the words alike. Each payload
// carries its number and the time at which it was due to be sent, so that loss, doubles, disorder and latency are known for each delivery.
//
//   node sockets.js '{"dialect", "ports", "readers", "rate", "bytes", "warmUp", "seconds", "drain", "nodes": [pid], "redis": pid or nothing}'
//
// It begins with number 0, again and again until every reader has had one: then all of them hear what the publisher says. These count for
// nothing. What is published in the window is measured, whenever it comes; what is published before it counts for loss and order too.
// lost: never came. late: came after a later one. duplicates: came twice. One line of JSON.
import { createHistogram } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { SERVER_CORE } from "./child.js";
import { coreSeconds, cpuSeconds } from "./cpu.js";

const ROOM = "t";
const CONCURRENT = 50;
const GREETING_SECONDS_MAX = 10;

const DIALECTS = {
  throughline: {
    reader: (port) => `ws://127.0.0.1:${port}/socket?channel=${ROOM}`,
    publisher: (port) => `ws://127.0.0.1:${port}/socket`,
    publish: (payload) => `{"type":"publish","channel":"${ROOM}","data":"${payload}"}`,
    begin: (socket, connected) => socket.once("open", connected),
    answer: () => {},
  },
  "socket.io": {
    reader: (port) => `ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket&room=${ROOM}`,
    publisher: (port) => `ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`,
    publish: (payload) => `42["publish","${ROOM}","${payload}"]`,
    begin: () => {},
    // `0`, opened: connect to the namespace. `2`, ping: pong. `40`: connected
    answer(socket, bytes, connected) {
      const type = bytes.toString("latin1", 0, 2);
      if (type[0] === "0") socket.send("40");
      else if (type === "2") socket.send("3");
      else if (type === "40") connected();
    },
  },
};

const given = JSON.parse(process.argv[2]);
const { dialect, ports, readers: readerCount, rate, bytes = 100, warmUp, seconds, drain, nodes, redis } = given;
const { reader, publisher, publish, begin, answer } = DIALECTS[dialect];

// ~T<number: 10 digits>.<microseconds: 12 digits>~
const MARK = Buffer.from("~T");
const NUMBER_AT = 2;
const TIME_AT = 13;
const MARK_BYTES = 26;
const padding = "x".repeat(Math.max(0, bytes - MARK_BYTES));

const now = () => performance.now() * 1000;

function digits(from, at, count) {
  let value = 0;
  for (let index = at; index < at + count; index++) value = value * 10 + from[index] - 48;
  return value;
}

const latency = createHistogram({ lowest: 1, highest: 120e6, figures: 3 });
const found = { delivered: 0, frames: 0, late: 0, duplicates: 0, closed: 0 };
const readers = [];
let greeted = 0;
let windowFrom = Number.POSITIVE_INFINITY;
let windowTo = Number.POSITIVE_INFINITY;
let isEnding = false;

function deliver(one, number, sentAt, at) {
  if (number === 0) {
    if (!one.isGreeted) greeted++;
    one.isGreeted = true;
    return;
  }
  if (number >= one.expected) {
    for (let missing = one.expected; missing < number; missing++) one.holes.add(missing);
    one.expected = number + 1;
  } else if (one.holes.delete(number)) found.late++;
  else {
    found.duplicates++;
    return;
  }
  found.delivered++;
  if (sentAt >= windowFrom && sentAt < windowTo) latency.record(Math.max(1, Math.round(at - sentAt)));
}

/** Resolves once the socket may publish. What `hear` does not take is answered. */
async function open(url, hear) {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  await new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.on("message", (data) => {
      if (!hear(data)) answer(socket, data, resolve);
    });
    begin(socket, resolve);
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    if (!isEnding) found.closed++;
  });
  return socket;
}

/** A frame may hold any number of messages. */
const hearAll = (one) => (data) => {
  const at = now();
  let mark = data.indexOf(MARK);
  if (mark < 0) return false;
  found.frames++;
  for (; mark >= 0; mark = data.indexOf(MARK, mark + MARK_BYTES))
    deliver(one, digits(data, mark + NUMBER_AT, 10), digits(data, mark + TIME_AT, 12), at);
  return true;
};

async function openReaders() {
  for (let from = 0; from < readerCount; from += CONCURRENT) {
    const some = Array.from({ length: Math.min(CONCURRENT, readerCount - from) }, (_, index) => from + index);
    await Promise.all(
      some.map((index) => {
        const one = { expected: 1, holes: new Set(), isGreeted: false };
        readers.push(one);
        return open(reader(ports[index % ports.length]), hearAll(one));
      }),
    );
  }
}

const frameOf = (number, at) => publish(`~T${String(number).padStart(10, "0")}.${String(Math.floor(at)).padStart(12, "0")}~${padding}`);

async function until(isSo, secondsMax) {
  const end = now() + secondsMax * 1e6;
  while (!isSo() && now() < end) await sleep(20);
  return isSo();
}

let sent = 0;
/** Publishes until then, each message when it is due; what the loop comes to late bears the time at which it was due. */
async function publishUntil(socket, from, to) {
  const every = 1e6 / rate;
  for (let due = from + sent * every; due < to; await sleep(1)) {
    for (const at = now(); due <= at && due < to; due = from + sent * every) socket.send(frameOf(++sent, due));
  }
}

await openReaders();
const socket = await open(publisher(ports[0]), () => false);
const greeting = setInterval(() => socket.send(frameOf(0, now())), 50);
const areAllThere = await until(() => greeted === readerCount, GREETING_SECONDS_MAX);
clearInterval(greeting);
if (!areAllThere) throw new Error(`${readerCount - greeted} of ${readerCount} readers heard nothing within ${GREETING_SECONDS_MAX} s.`);

const look = () => ({
  at: now(),
  core: coreSeconds(SERVER_CORE),
  nodes: cpuSeconds(nodes),
  redis: cpuSeconds(redis === undefined ? [] : [redis]),
  own: cpuSeconds([process.pid]),
  sent,
  ...found,
});
const start = now();
windowFrom = start + warmUp * 1e6;
windowTo = windowFrom + seconds * 1e6;
const looks = [];
setTimeout(() => looks.push(look()), (windowFrom - now()) / 1000);
setTimeout(() => looks.push(look()), (windowTo - now()) / 1000);
await publishUntil(socket, start, windowTo);
const hasAll = ({ expected, holes }) => expected === sent + 1 && holes.size === 0;
await until(() => looks.length === 2 && readers.every(hasAll), drain);
isEnding = true;

const [from, to] = looks;
const lost = readers.reduce((sum, { expected, holes }) => sum + sent + 1 - expected + holes.size, 0);
const [published, delivered] = [to.sent - from.sent, to.delivered - from.delivered];
const seen = (to.at - from.at) / 1e6;
const round = (value) => Math.round(value * 1000) / 1000;
const share = (name, of) => round(((to[name] - from[name]) * 1e6) / of);
const percent = (name) => round(((to[name] - from[name]) / seen) * 100);
const row = {
  rate,
  readers: readerCount,
  sent,
  ...found,
  delivered,
  frames: to.frames - from.frames,
  lost,
  published_s: round(published / seen),
  delivered_s: round(delivered / seen),
  p50_ms: latency.percentile(50) / 1000,
  p99_ms: latency.percentile(99) / 1000,
  max_ms: latency.max / 1000,
  cpu_us_per_delivery: share("nodes", delivered),
  redis_us_per_delivery: share("redis", delivered),
  redis_us_per_publish: share("redis", published),
  server_percent: percent("nodes"),
  redis_percent: percent("redis"),
  client_percent: percent("own"),
  // what else ran on the nodes' core: above some 10 % the row was disturbed
  foreign_percent: round(percent("core") - percent("nodes")),
};
console.log(JSON.stringify(row));
process.exit(0);
