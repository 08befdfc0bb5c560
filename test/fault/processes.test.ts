import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { afterEach, beforeAll, expect, test } from "vitest";
import { freshDirectory, startDevProgram } from "../server/program.ts";
import { seededRandom } from "../support/clock.ts";
import { BareLoop, CHANNEL, Crew } from "../support/crew.ts";
import { record } from "../support/evidence.ts";
import { freePort } from "../support/free-port.ts";
import { offsetOf } from "../support/inbox.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { PlainReader } from "../support/raw-sse.ts";
import type { Reader } from "../support/reader.ts";
import { until } from "../support/until.ts";

/* Rows P4 and C4: the server is told to stop under load; the client is killed. */

/** `THROUGHLINE_STOPS=50` and `THROUGHLINE_CLIENT_KILLS=200` for a night. */
const STOPS = Number(process.env["THROUGHLINE_STOPS"] ?? 2);
const CLIENT_KILLS = Number(process.env["THROUGHLINE_CLIENT_KILLS"] ?? 6);
const RAW_READERS = 120;
const EXIT_MS_MAX = 8_000;
const WINDOW_MS = 5_000;
const ROOT = join(import.meta.dirname, "../..");
const CHILD = join(ROOT, "node_modules/.cache/throughline/keeping-child.mjs");

const children = new Set<ChildProcess>();

beforeAll(async () => {
  await build({
    entryPoints: [join(ROOT, "test/support/keeping-child.ts")],
    outfile: CHILD,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["ws"],
  });
});

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
});

test(`[D2] [D4] P4: SIGTERM under load, ${STOPS} times: nothing acknowledged is lost, nobody misses or doubles anything, and reconnects are spread`, {
  timeout: 60_000 + STOPS * 30_000,
}, async () => {
  const began = performance.now();
  const directory = freshDirectory();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  let program = await startDevProgram(port, directory);
  using crew = await Crew.meet(url);
  for (const transport of ["sse", "websocket", "long-poll", "auto"] as const) crew.reader(url, transport);
  const bare = new BareLoop(url, crew.start);
  crew.loops.push(bare);
  // While it is away something must be stored, or it has nothing to lose
  const furthest = (offsets: Iterable<number>) => Math.max(0, ...offsets);
  bare.comesBack = () => furthest(crew.chronicle.offsets.values()) > furthest(bare.chronicle.offsets.values()) + 3;
  await crew.live();
  await until("the bare loop reads", () => bare.connections === 1);
  const stop = crew.load([crew.client(url, "websocket"), crew.client(url, "sse")], 100);
  const hints: number[] = [];
  let slowestMs = 0;
  for (let round = 0; round < STOPS; round++) {
    const raw = await openRaw(url);
    const sent = crew.sent;
    await until("it runs under load", () => crew.sent > sent + 50);
    crew.chronicle.fault("SIGTERM");
    const toldAt = performance.now();
    program.signal("SIGTERM");
    const endings = await Promise.all(raw.map((reader) => reader.ended()));
    expect(await program.exit()).toBe(0);
    slowestMs = Math.max(slowestMs, performance.now() - toldAt);
    expect(new Set(endings.map(({ code }) => code))).toEqual(new Set(["restart"]));
    hints.push(...endings.map(({ retryAfterMs = 0 }) => retryAfterMs));
    program = await startDevProgram(port, directory);
    const back = crew.sent;
    await until("everyone is back", () => [...crew.chronicle.offsets.values()].every((offset) => offset > back), 20_000);
  }
  await stop();
  const tally = await crew.judge(30_000);
  const control = bare.judge(crew);
  const spread = chiSquared(hints);
  const what = `SIGTERM under 100 messages/s, ${RAW_READERS} more readers told to come back between ${Math.min(...hints)} and ${Math.max(...hints)} ms`;
  const measured = { exitMsMax: Math.round(slowestMs), chiSquared7: Math.round(spread * 10) / 10 };
  const told = `${control.lost} lost by a loop without Last-Event-ID`;
  const seconds = Math.round((performance.now() - began) / 1_000);
  record("P4", { what, injections: STOPS, ...tally, ...measured, control: told, seconds });
  expect(tally).toMatchObject({ lost: 0, twice: 0, disordered: 0, untold: 0 });
  expect(slowestMs).toBeLessThan(EXIT_MS_MAX);
  // Seven degrees of freedom: beyond 45 once in ten million runs of a spread that is even. All at one moment, or in half of the window, is far beyond
  expect(spread).toBeLessThan(45);
  expect(chiSquared(hints.map((hint) => hint / 2))).toBeGreaterThan(45);
  expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
});

function openRaw(url: string): Promise<Reader[]> {
  const asked = { url, channels: [{ name: CHANNEL, from: "now" }] };
  return Promise.all(
    Array.from({ length: RAW_READERS }, (_, index) => (index % 2 === 0 ? new PlainReader(asked) : new SocketReader(asked)).open()),
  );
}

/** How far from even these are, in eight parts of the window in which a stopping server asks its readers to come back. */
function chiSquared(hints: readonly number[]): number {
  const bins = Array.from({ length: 8 }, () => 0);
  for (const hint of hints) {
    const bin = Math.min(7, Math.max(0, Math.floor((hint * 8) / WINDOW_MS)));
    bins[bin] = (bins[bin] as number) + 1;
  }
  const expected = hints.length / 8;
  return bins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

test(`[D2] C4: a client process killed ${CLIENT_KILLS} times and started again at the position that it kept with each effect: every effect once`, {
  timeout: 60_000 + CLIENT_KILLS * 10_000,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  const random = seededRandom(seed);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const directory = freshDirectory();
  await startDevProgram(port, directory);
  using crew = await Crew.meet(url);
  const stop = crew.load([crew.client(url, "websocket")], 200);
  const kept = join(directory, "kept");
  const forgot = join(directory, "forgot");
  for (let round = 0; round < CLIENT_KILLS; round++) {
    const transport = round % 2 === 0 ? "sse" : "websocket";
    const lines = [linesOf(kept).length, linesOf(forgot).length];
    const pair = [start(url, kept, transport, crew.start), start(url, forgot, transport, crew.start, "forgetful")];
    const wanted = 20 + Math.floor(random.fraction() * 30);
    await until("both have done something", () =>
      [kept, forgot].every((file, which) => linesOf(file).length >= (lines[which] as number) + wanted),
    );
    crew.chronicle.fault("kill of a client");
    for (const child of pair) await kill(child);
  }
  await stop();
  const last = start(url, kept, "sse", crew.start);
  await until("it has come to the end", () => offsetOf(linesOf(kept).at(-1) ?? "") > crew.sent, 20_000);
  await kill(last);
  await crew.judge();

  const tallies = [kept, forgot].map((file) => {
    const bare = new BareLoop("http://127.0.0.1:9", crew.start);
    bare.close();
    for (const line of linesOf(file)) {
      const [position = "", hash = ""] = line.split(" ");
      bare.chronicle.write({ type: "message", t: performance.now(), cid: "bare", channel: CHANNEL, position, hash });
    }
    return bare.judge(crew);
  });
  const [tally, control] = tallies as [(typeof tallies)[0], (typeof tallies)[0]];
  const what = "a client process killed (SIGKILL) under 200 messages/s and started again, its position kept with the effect";
  const { found, ...figures } = tally;
  const told = `${control.lost} lost by one that keeps no position`;
  const seconds = Math.round((performance.now() - began) / 1_000);
  record("C4", { what, injections: CLIENT_KILLS, ...figures, acked: crew.sent + 1, control: told, seconds, seed });
  expect({ ...figures, found }, `seed ${seed}`).toMatchObject({
    delivered: crew.sent,
    lost: 0,
    twice: 0,
    disordered: 0,
    untold: 0,
    found: [],
  });
  expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
});

function start(url: string, file: string, transport: string, position: string, ...words: string[]): ChildProcess {
  const child = fork(CHILD, [url, CHANNEL, file, transport, position, ...words]);
  children.add(child);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await once(child, "close");
  children.delete(child);
}

/** Whole lines. */
function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}
