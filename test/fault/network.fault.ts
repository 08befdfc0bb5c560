import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { deliveries, percentile } from "./figures.ts";
import { Ground, now, PORT } from "./ground.ts";
import { judge } from "./judge.ts";

/** How often each is done; `THROUGHLINE_TIMES=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_TIMES"] ?? 4);
/** Heartbeats every second, so that silence is noticed in two. */
const ALERT = { heartbeatSeconds: 1, stalledSecondsMax: 2 };
/** A busy machine takes its time. */
const SLACK_MS = 2_000;
/** So much one run differs from another on a machine with other work. */
const NOISE_MS = 250;
const TRIES = 5;
/** How often there is a black hole; it takes the kernel 10 s to give a connection up. */
const HOLES = Math.max(2, TIMES / 4);
/** Tries of the kernel to get a packet confirmed: together a few seconds. */
const RETRIES = 4;
const NAIVE = 1;
const FOR_EVER_MS = 600_000;
/** What a server's memory may go up by in a black hole. */
const HOLE_BYTES_MAX = 32 * 1024 * 1024;
const LOSS_PERCENT = 5;

test(`[D2] [D5] [D10] ${TIMES} times half of the connections are reset, and nothing is lost or given twice`, {
  timeout: 60_000 + TIMES * 5_000,
}, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ readers: { sse: 3, websocket: 3, "long-poll": 2 }, naive: 6 });
  await ground.progress(50);
  const cuts = ground.closes();
  for (let times = 0; times < TIMES; times++) {
    ground.fault("reset", "start");
    // Another half each time
    const seed = 1 + Math.floor(ground.random.fraction() * 1_000_000);
    ground.filter([`tcp dport ${PORT} jhash tcp sport mod 2 seed ${seed} == 1 reject with tcp reset`]);
    await ground.progress(30);
    ground.filter([]);
    ground.fault("reset", "stop");
    await ground.progress(30);
  }
  await ground.calm();
  expect(ground.closes() - cuts).toBeGreaterThanOrEqual(TIMES);
  judge(ground, { row: "N2", what: "Half of the connections are reset (nft), again and again.", cuts: ground.closes() - cuts });
});

// Over SSE nothing comes back by which a server could know. It goes on writing heartbeats, and the kernel gives the connection up when none of them was
// confirmed for so many tries (tcp_retries2: of 15, as Linux comes, after a quarter of an hour or more). Node has no say in it.
test(`[D7] [D10] ${HOLES} times a network swallows everything: it is noticed at both ends, and the server lets go of the WebSockets, and of the event streams once the kernel gives them up`, {
  timeout: 60_000 + HOLES * 180_000,
}, async () => {
  const ground = new Ground();
  await ground.set("net/ipv4/tcp_retries2", String(RETRIES));
  await ground.serve({ library: { data: ground.data, limits: ALERT } });
  await ground.gather({ readers: { websocket: 3, sse: 2 }, publishers: 1, askers: 0, naive: NAIVE, naiveSilenceMs: FOR_EVER_MS });
  await ground.progress(50);
  // Of a page or a POST a connection is kept for some seconds, which would be taken for that of a WebSocket
  const open = 3 + 2 + 1 + NAIVE;
  await until("no connection of a request is left over", () => ground.established <= open, 20_000);
  const before = ground.established;
  const rssBytes = [(await ground.sample()).rssBytes];
  const freedMs = { websocket: 0, sse: 0 };
  for (let times = 0; times < HOLES; times++) {
    ground.fault("black hole", "start");
    const startMs = performance.now();
    ground.filter([`tcp dport ${PORT} drop`, `tcp sport ${PORT} drop`]);
    await until("the server has let go of the WebSockets", () => ground.established <= 2 + NAIVE, 20_000);
    freedMs.websocket = Math.max(freedMs.websocket, Math.round(performance.now() - startMs));
    await until("every reader has noticed", () => ground.cut.size === 5);
    // For the head of a request that was swallowed it waits for a minute and more
    await until("the server has let go of the event streams", () => ground.established === 0, 120_000);
    freedMs.sse = Math.max(freedMs.sse, Math.round(performance.now() - startMs));
    rssBytes.push((await ground.sample()).rssBytes);
    ground.filter([]);
    ground.fault("black hole", "stop");
    await ground.whole();
    await ground.progress(50);
    await until("the server holds no more connections than before", () => ground.established <= before, 20_000);
  }
  await ground.calm();
  expect(freedMs.websocket).toBeLessThan(3 * ALERT.heartbeatSeconds * 1_000 + SLACK_MS);
  expect(Math.max(...rssBytes) - (rssBytes[0] ?? 0)).toBeLessThan(HOLE_BYTES_MAX);
  judge(ground, {
    row: "N3",
    what: `Packets are swallowed in both directions (nft drop), without a reset; tcp_retries2 is ${RETRIES}.`,
    freedMsMaxOfWebSockets: freedMs.websocket,
    freedMsMaxOfEventStreams: freedMs.sse,
  });
});

test("[D10] a client whose server is heard no more notices it within two heartbeats", async () => {
  const ground = new Ground();
  await ground.serve({ library: { data: ground.data, limits: ALERT } });
  await ground.gather({ readers: { sse: 2, websocket: 2 }, naive: 2, naiveSilenceMs: 1_500 });
  await ground.progress(50);
  const noticed: number[] = [];
  for (let times = 0; times < 2; times++) {
    const sinceT = now();
    ground.fault("one way", "start");
    ground.filter([`tcp sport ${PORT} drop`]);
    await until("every reader has noticed", () => ground.cut.size === 4);
    noticed.push(...ground.history.flatMap((event) => (event.type === "close" && event.t > sinceT ? [event.t - sinceT] : [])));
    ground.filter([]);
    ground.fault("one way", "stop");
    await ground.whole();
    await ground.progress(50);
  }
  await ground.calm();
  expect(Math.max(...noticed)).toBeLessThan(2 * ALERT.heartbeatSeconds * 1_000 + SLACK_MS);
  judge(ground, {
    row: "N4",
    what: "What the server sends is swallowed; clients notice by its silence.",
    noticedMsMax: Math.round(Math.max(...noticed)),
  });
});

test(`[D1] [D2] of all packets ${LOSS_PERCENT} % are lost, and no message`, async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather();
  ground.fault("packet loss", "start");
  ground.filter([`numgen random mod 100 < ${LOSS_PERCENT} counter drop`]);
  const dropped = () => Number(/counter packets (\d+)/.exec(ground.run("nft", "list", "table", "inet", "faults"))?.[1]);
  let packets = 0;
  for (let times = 0; times < TIMES || (times < 10 * TIMES && packets <= TIMES * 10); times++) {
    await ground.progress(60);
    packets = dropped();
  }
  ground.filter([]);
  ground.fault("packet loss", "stop");
  await ground.calm();
  expect(packets, "packets that were dropped").toBeGreaterThan(TIMES * 10);
  judge(ground, { row: "N5", what: `${LOSS_PERCENT} % of the packets are dropped at random.`, packets });
});

test("[D7] [D10] readers behind a link of 256 kbit/s fall behind and get everything, while the others are served as before", async () => {
  const ground = new Ground();
  const far = ground.makeNetwork();
  const ip = (network: string, ...words: string[]) => execFileSync(need("ip"), ["-n", network, ...words], { stdio: "pipe" });
  ip(ground.network, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far);
  ip(ground.network, "addr", "add", "10.77.0.1/24", "dev", "near");
  ip(ground.network, "link", "set", "near", "up");
  ip(far, "addr", "add", "10.77.0.2/24", "dev", "far");
  ip(far, "link", "set", "far", "up");
  await ground.serve({ library: { host: "0.0.0.0", data: ground.data } });
  await ground.gather({ name: "near", largeBytes: 8_000, paceMs: 20 });
  await ground.gather({ name: "far", url: `http://10.77.0.1:${PORT}`, publishers: 0, askers: 0 }, far);
  await ground.progress(200);
  const before = percentile(deliveries(ground.history, "near"), 0.99);
  ground.run("tc", ..."qdisc add dev near root tbf rate 256kbit burst 8kb latency 500ms".split(" "));
  ground.fault("slow link", "start");
  // Who is held up is so each time, a busy machine is busy for a moment
  let [during, lagMs, times] = [Number.POSITIVE_INFINITY, 0, 0];
  while (times++ < TRIES && !(during < before + NOISE_MS && lagMs > during * 2)) {
    const slowT = now();
    await ground.progress(400);
    during = percentile(deliveries(ground.history, "near", slowT), 0.99);
    lagMs = percentile(deliveries(ground.history, "far", slowT), 0.99);
  }
  ground.run("tc", ..."qdisc del dev near root".split(" "));
  ground.fault("slow link", "stop");
  await ground.calm();
  expect(lagMs).toBeGreaterThan(during * 2); // the link is slow enough to matter
  expect(during).toBeLessThan(before + NOISE_MS);
  judge(ground, {
    row: "N6",
    what: "Five readers share a link of 256 kbit/s (tc tbf).",
    p99MsBefore: before,
    p99MsOfOthers: during,
    p99MsOfSlow: lagMs,
  });
});
