import { expect, test } from "vitest";
import type { Client, Transport } from "../../src/client.ts";
import { freshDirectory, startDevProgram } from "../server/program.ts";
import type { Chronicle } from "../support/chronicle.ts";
import { seededRandom } from "../support/clock.ts";
import { BareLoop, CHANNEL, Crew } from "../support/crew.ts";
import { record } from "../support/evidence.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

/* Rows C5 and C6: moves between transports in mid-stream, with cuts between them, of a server in a process of its own. */

/** `THROUGHLINE_SWITCHES=10000` for a night. */
const SWITCHES = Number(process.env["THROUGHLINE_SWITCHES"] ?? 500);
const PER_SECOND = 1_000;
/** A cut comes after so many moves. */
const MOVES_PER_CUT = 50;
const ADDED_P99_MS_MAX = 50;
/** What was sent so long before a cut may have been on its way. */
const AROUND_CUT_MS = 50;
/** `THROUGHLINE_KILLED_MOVES=100` for a night. */
const KILLS = Number(process.env["THROUGHLINE_KILLED_MOVES"] ?? 3);
/** Of moves between them, so many come to their end before one that does not. */
const MOVES_PER_KILL = 3;
/** A move over loopback takes about so long. */
const MOVE_MS = 8;
/** It is the moves that are measured, not how long a client waits to come back. */
const AT_ONCE = { backoffMsMin: 1, backoffMsMax: 5, connectSecondsMax: 2 };

test(`[D2] [D6] ${SWITCHES} moves between SSE and WebSocket under 1,000 messages a second, with cuts between: nothing is lost, twice or out of order, and p99 grows by at most 50 ms`, {
  timeout: 60_000 + SWITCHES * 200,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  const random = seededRandom(seed);
  const port = await freePort();
  await startDevProgram(port);
  const direct = `http://127.0.0.1:${port}`;
  await using proxy = await FaultProxy.open(port, random.fraction);
  using crew = await Crew.meet(direct);
  const moving = crew.reader(proxy.url, "sse", { cid: "moving", limits: AT_ONCE });
  const steady = crew.reader(proxy.url, "websocket", { cid: "steady", limits: AT_ONCE });
  const naive = new Switcher(proxy.url, crew);
  const lateness = { moving: watch(moving), steady: watch(steady) };
  await crew.live();
  const publisher = crew.client(direct, "websocket");
  const stop = crew.load([publisher], PER_SECOND);
  const both = [moving, steady];
  const loaded = performance.now();
  let [cuts, rounds] = [0, 0];
  const outages: [number, number][] = [];
  while (moving.counts.switches < SWITCHES) {
    const to: Transport = moving.transport === "sse" ? "websocket" : "sse";
    moving.switchTo(to);
    if (moving.counts.switches < 20) naive.move();
    await until(`it runs over ${to}`, () => moving.transport === to);
    if (moving.counts.switches % MOVES_PER_CUT !== 0) continue;
    crew.chronicle.fault("cut");
    const [cutAt, before] = [performance.now(), new Map(both.map((one) => [one, one.counts.reconnects]))];
    cuts += proxy.cut(random.fraction() < 0.5 ? "reset" : "end");
    rounds++;
    await until("both have noticed, and are back", () =>
      both.every((one) => one.counts.reconnects > before.get(one)! && one.transport !== null && one.channel(CHANNEL).state === "live"),
    );
    outages.push([cutAt - AROUND_CUT_MS, performance.now()]);
  }
  const lasted = (performance.now() - loaded) / 1_000;
  const published = crew.sent;
  await stop();
  naive.close();
  const { switches, reconnects, duplicates } = moving.counts;
  const tally = await crew.judge();
  const control = naive.judge(crew);
  // Without what a cut held up, which is no move's doing
  const isApart = (sentAt: number) => !outages.some(([from, to]) => sentAt >= from && sentAt <= to);
  const p99 = { moving: at99(lateness.moving, isApart), steady: at99(lateness.steady, isApart) };
  // Of each message how much later the one had it: what holds up both at a time is not the moves' doing
  const steadyMs = new Map(lateness.steady.map(({ sentAt, lateMs }) => [sentAt, lateMs]));
  const behind = lateness.moving.map(({ sentAt, lateMs }) => ({ sentAt, lateMs: lateMs - (steadyMs.get(sentAt) ?? 0) }));
  const added = at99(behind, isApart);
  console.info(
    `${switches} moves, ${reconnects} cuts of the reader, ${published} messages in ${lasted.toFixed(1)} s; ` +
      `p99 of delivery ${p99.moving.toFixed(1)} ms, without moves ${p99.steady.toFixed(1)} ms, added ${added.toFixed(1)} ms to the p99th message (cuts left out); ${duplicates} dropped as seen before`,
  );
  const what = `${switches} moves between SSE and WebSocket under ${PER_SECOND} messages/s, with ${cuts} cuts between, server in its own process`;
  const told = `${control.lost} lost by a loop that closes the old before the new is alive`;
  const seconds = Math.round((performance.now() - began) / 1_000);
  record("C5", {
    what,
    injections: switches + cuts,
    switches,
    cuts,
    ...tally,
    p99Ms: Math.round(p99.moving),
    p99SteadyMs: Math.round(p99.steady),
    control: told,
    seconds,
    seed,
  });
  expect(tally, `seed ${seed}`).toMatchObject({ lost: 0, twice: 0, disordered: 0, untold: 0 });
  expect(reconnects).toBeGreaterThanOrEqual(rounds);
  expect(published / lasted, "the rate was held").toBeGreaterThan(PER_SECOND / 2);
  // A machine that has no time for anybody (other tests run beside this one) is late by its own measure
  expect(added).toBeLessThanOrEqual(Math.max(ADDED_P99_MS_MAX, p99.steady / 2));
  expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
});

const ROUND: Readonly<Record<Transport, Transport>> = { sse: "websocket", websocket: "long-poll", "long-poll": "sse" };

test(`[D2] [D4] [D6] C6: ${KILLS} times the server is killed in the middle of a move, behind moves and cuts: nothing acknowledged is lost, and no reader misses or doubles anything`, {
  timeout: 60_000 + KILLS * 15_000,
}, async () => {
  const began = performance.now();
  const seed = Date.now() % 1_000_000;
  const random = seededRandom(seed);
  const port = await freePort();
  const directory = freshDirectory();
  let program = await startDevProgram(port, directory);
  const direct = `http://127.0.0.1:${port}`;
  await using proxy = await FaultProxy.open(port, random.fraction);
  using crew = await Crew.meet(direct);
  const movers = (["sse", "websocket", "long-poll"] as const).map((transport) => crew.reader(proxy.url, transport, { limits: AT_ONCE }));
  const naive = new Switcher(proxy.url, crew);
  await crew.live();
  const stop = crew.load([crew.client(direct, "websocket"), crew.client(direct, "sse")], 200);
  const next = (mover: Client): Transport => ROUND[mover.transport ?? "sse"];
  let cuts = 0;
  for (let kills = 0; kills < KILLS; kills++) {
    for (let moves = 0; moves < MOVES_PER_KILL; moves++) {
      const to = new Map(movers.map((mover) => [mover, next(mover)]));
      for (const mover of movers) mover.switchTo(to.get(mover) as Transport);
      await until("each has moved", () => movers.every((mover) => mover.transport === to.get(mover)));
    }
    crew.chronicle.fault("cut");
    const { sent: sentBefore } = crew;
    cuts += proxy.cut(random.fraction() < 0.5 ? "reset" : "end");
    await until("all are back", () => [...crew.chronicle.offsets.values()].every((offset) => offset > sentBefore + 1));
    for (const mover of movers) mover.switchTo(next(mover));
    naive.move();
    await new Promise((resolve) => setTimeout(resolve, random.fraction() * MOVE_MS));
    crew.chronicle.fault("kill");
    await program.kill();
    program = await startDevProgram(port, directory);
    const { sent } = crew;
    await until("everyone is back", () => [...crew.chronicle.offsets.values()].every((offset) => offset > sent + 1), 20_000);
  }
  await stop();
  naive.close();
  const tally = await crew.judge(30_000);
  const control = naive.judge(crew);
  const switches = movers.reduce((sum, { counts }) => sum + counts.switches, 0);
  record("C6", {
    what: `${KILLS} times the server killed (SIGKILL) in the middle of a move, behind ${MOVES_PER_KILL} moves through SSE, WebSocket and long-poll and a cut of all connections, under 200 messages/s`,
    injections: KILLS + cuts + switches,
    switches,
    cuts,
    ...tally,
    control: `${control.lost} lost by a loop that closes the old before the new is alive`,
    seconds: Math.round((performance.now() - began) / 1_000),
    seed,
  });
  expect(tally, `seed ${seed}`).toMatchObject({ lost: 0, twice: 0, disordered: 0, untold: 0 });
  expect(tally.delivered).toBe(movers.length * crew.sent);
  expect(switches).toBeGreaterThanOrEqual(movers.length * KILLS * MOVES_PER_KILL);
  expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
});

/** How late each message came, in milliseconds: it carries when it was sent, by the same clock. */
function watch(client: Client): Lateness {
  const late: Lateness = [];
  client.channel(CHANNEL).subscribe(({ data }) => {
    const { sentAt } = data as { sentAt?: number };
    if (sentAt !== undefined) late.push({ sentAt, lateMs: performance.now() - sentAt });
  });
  return late;
}

type Lateness = { readonly sentAt: number; readonly lateMs: number }[];

function at99(late: Lateness, isCounted: (sentAt: number) => boolean): number {
  const counted = late.filter(({ sentAt }) => isCounted(sentAt)).map(({ lateMs }) => lateMs);
  return counted.sort((a, b) => a - b)[Math.floor(counted.length * 0.99)] ?? Number.NaN;
}

/** The negative control: moves by closing what it has and opening anew. */
class Switcher {
  #loop: BareLoop;
  readonly #url: string;
  readonly #crew: Crew;

  constructor(url: string, crew: Crew) {
    this.#url = url;
    this.#crew = crew;
    this.#loop = new BareLoop(url, crew.start);
    crew.loops.push(this.#loop);
  }

  /** Meanwhile something is stored, or it has nothing to lose. */
  move(): void {
    this.#loop.close();
    const furthest = ({ offsets }: Chronicle) => Math.max(0, ...offsets.values());
    const before = furthest(this.#loop.chronicle);
    const next = new BareLoop(this.#url, this.#crew.start, { comesBack: () => furthest(this.#crew.chronicle) > before + 3 });
    for (const event of this.#loop.chronicle.events) if (event.type === "message") next.chronicle.write(event);
    this.#crew.loops.push(next);
    this.#loop = next;
  }

  close(): void {
    this.#loop.close();
  }

  judge(crew: Crew) {
    return this.#loop.judge(crew);
  }
}
