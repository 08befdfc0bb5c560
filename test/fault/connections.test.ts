import { monitorEventLoopDelay } from "node:perf_hooks";
import { expect, test } from "vitest";
import type { Transport } from "../../src/client.ts";
import { BareLoop } from "../support/crew.ts";
import { record } from "../support/evidence.ts";
import { until } from "../support/until.ts";
import { scene } from "./scene.ts";

/* Rows N1, N7 and N8 of the fault matrix: what a network does to connections that stand. */

/** How often each is done; `THROUGHLINE_CUTS=1000` for a night. */
const CUTS = Number(process.env["THROUGHLINE_CUTS"] ?? 25);
const EACH: readonly (Transport | "auto")[] = ["sse", "websocket", "long-poll", "auto"];
const BACK_MS_MAX = 2_000;
const CLEAN = { lost: 0, twice: 0, disordered: 0, untold: 0 };
/** Silence is noticed in two of these. */
const ALERT = { heartbeatSeconds: 0.25 };

test(`[D2] [D4] [D10] N1: every connection cut ${CUTS} times under load: nothing is lost, twice or out of order, and every client is back within ${BACK_MS_MAX / 1_000} s`, {
  timeout: 30_000 + CUTS * 1_000,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  await using stage = await scene({ limits: ALERT, seed });
  const { proxy, crew } = stage;
  const readers = EACH.map((transport) => crew.reader(proxy.url, transport));
  const bare = new BareLoop(proxy.url, crew.start);
  crew.loops.push(bare);
  await crew.live();
  await until("the bare loop reads", () => bare.connections === 1);
  const stop = crew.load([crew.client(proxy.url, "websocket"), crew.client(proxy.url, "sse")], 200);
  let cuts = 0;
  let worstMs = 0;
  const lateness = monitorEventLoopDelay();
  lateness.enable();
  for (let round = 0; round < CUTS; round++) {
    const heard = bare.heard;
    await until("the bare loop has heard something", () => bare.heard > heard);
    crew.chronicle.fault("cut");
    cuts += proxy.cut(round % 2 === 0 ? "reset" : "end");
    const cutAt = performance.now();
    // What is published from here on must reach everyone, however often it was cut
    const { sent } = crew;
    await until("every client is back", () => [...crew.chronicle.offsets.values()].every((offset) => offset > sent + 1));
    worstMs = Math.max(worstMs, performance.now() - cutAt);
  }
  await stop();
  const tally = await crew.judge();
  const control = bare.judge(crew);
  const what = `all connections cut, by RST and FIN in turn, under 200 messages/s; back after at most ${Math.round(worstMs)} ms`;
  const seconds = Math.round((performance.now() - began) / 1_000);
  record("N1", { what, injections: cuts, ...tally, control: `${control.lost} lost by a loop without Last-Event-ID`, seconds, seed });
  expect(tally, `seed ${seed}`).toMatchObject(CLEAN);
  // A machine that has no time for anybody is late by its own measure
  expect(worstMs).toBeLessThan(BACK_MS_MAX + 3 * (lateness.max / 1e6));
  expect(tally.delivered).toBe(readers.length * crew.sent);
  for (const { counts, transport } of readers) if (transport !== "long-poll") expect(counts.reconnects).toBeGreaterThanOrEqual(CUTS - 1);
  expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
  expect(control.found).toContain("silent-gap");
});

const SLOWNESS = [
  ["late by 40 to 80 ms", { delayMs: 40, jitterMs: 40 }],
  ["through 40 kB/s", { bytesPerSecond: 40_000 }],
  ["in pieces of 1 to 7 bytes", { sliceBytesMax: 7 }],
  ["late, narrow and in pieces", { delayMs: 10, jitterMs: 30, bytesPerSecond: 60_000, sliceBytesMax: 7 }],
] as const;

test("[D2] N7: bytes that come late, through a narrow line, in pieces of 1 to 7, and change in mid-stream: nothing is lost, twice or out of order", {
  timeout: 60_000,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  await using stage = await scene({ limits: ALERT, seed });
  const { proxy, crew } = stage;
  const readers = EACH.map((transport) => crew.reader(proxy.url, transport));
  const doubling = new BareLoop(proxy.url, crew.start, { from: "last:20" });
  crew.loops.push(doubling);
  await crew.live();
  const stop = crew.load([crew.client(proxy.url, "websocket"), crew.client(proxy.url, "sse")], 50);
  for (const [kind, faults] of SLOWNESS) {
    crew.chronicle.fault(kind);
    proxy.heal();
    proxy.set({ up: faults, down: faults });
    const sent = crew.sent;
    await until("40 more have come", () => crew.sent > sent + 40 && doubling.heard > 0);
    // A cut in the middle of it
    proxy.cut();
  }
  await stop();
  proxy.heal();
  const tally = await crew.judge();
  const control = doubling.judge(crew);
  const seconds = Math.round((performance.now() - began) / 1_000);
  const what =
    "delay with jitter, narrow bandwidth, pieces of 1 to 7 bytes, and all of it, in both directions, changed in mid-stream, each with a cut";
  const told = `${control.twice} twice by a loop that asks for the last 20`;
  record("N7", { what, injections: SLOWNESS.length, ...tally, control: told, seconds, seed });
  expect(tally, `seed ${seed}`).toMatchObject(CLEAN);
  expect(tally.delivered).toBe(readers.length * crew.sent);
  expect(control.twice, "the test can see a duplicate").toBeGreaterThan(0);
  expect(control.found).toContain("duplicate");
});

const THAWS = 10;

test(`[D2] [D6] N8: a connection that froze and thaws after its client came back on another, ${THAWS} times: what it held is nobody's`, {
  timeout: 60_000,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  await using stage = await scene({ limits: ALERT, seed });
  const { proxy, crew, server } = stage;
  const reader = crew.reader(proxy.url, "sse");
  const publisher = crew.client(server.url, "websocket");
  // Both of its pipes are passed on, as by a page that forgot to close one
  const naive = new BareLoop(proxy.url, crew.start);
  crew.loops.push(naive);
  await crew.live();
  await until("it reads", () => naive.connections === 1);
  let twins = 0;
  for (let round = 0; round < THAWS; round++) {
    const frozen = [...proxy.links];
    crew.chronicle.fault("freeze");
    for (const link of frozen) link.set({ up: { flow: "held" }, down: { flow: "held" } });
    await crew.publish(publisher, 20);
    if (round % 2 === 0) {
      // Moved away by the application; the old pipe is open until the new one is proven
      const to = reader.transport === "sse" ? "websocket" : "sse";
      reader.switchTo(to);
      await until(`it runs over ${to}`, () => reader.transport === to);
    } else {
      // Or by itself, when it has heard nothing for two heartbeats
      const before = reader.counts.reconnects;
      await until("it has noticed the silence, and is back", () => reader.counts.reconnects > before);
    }
    const second = new BareLoop(proxy.url, crew.start, { from: "last:20" });
    await until("the second of the naive has heard all", () => second.heard >= 20);
    for (const event of second.chronicle.events) if (event.type === "message") naive.chronicle.write(event);
    second.close();
    const head = crew.chronicle.offsets;
    await until("the reader has them", () => [...head.values()].every((offset) => offset === crew.sent + 1));
    twins += frozen.length;
    for (const link of frozen) link.heal();
    await until("the naive has heard what thawed", () => naive.heard >= crew.sent);
  }
  await crew.publish(publisher, 20);
  const tally = await crew.judge();
  const control = naive.judge(crew);
  const seconds = Math.round((performance.now() - began) / 1_000);
  const what =
    "the old connection held in both directions, its client back on another by a switch or by silence, then thawed with what it held";
  record("N8", { what, injections: twins, ...tally, control: `${control.twice} twice by a page that passes on both`, seconds, seed });
  expect(tally, `seed ${seed}`).toMatchObject({ ...CLEAN, delivered: crew.sent });
  expect(control.twice, "the test can see a duplicate").toBeGreaterThanOrEqual(THAWS * 20);
  expect(control.found).toContain("duplicate");
});
