import { expect, test } from "vitest";
import type { Transport } from "../../src/client.ts";
import { freshDirectory, startDevProgram } from "../server/program.ts";
import { childrenOf } from "../support/children.ts";
import { BareLoop, Crew } from "../support/crew.ts";
import { record } from "../support/evidence.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

/* Row P8 of the fault matrix: one of the processes of `throughline dev --workers 2` is killed under load. */

/** How often each kind is killed; `THROUGHLINE_WORKER_KILLS=50` for a night. */
const KILLS = Number(process.env["THROUGHLINE_WORKER_KILLS"] ?? 2);
const EACH: readonly (Transport | "auto")[] = ["sse", "websocket", "long-poll", "auto", "sse", "websocket", "long-poll", "auto"];
const WORKERS = "2";
/** On a busy machine it takes its time until three processes have begun anew. */
const PATIENCE_MS = 40_000;

test(`[D1] [D2] [D4] [D5] [D10] P8: of --workers 2 a worker, the process that writes, and the one above them are killed under load, ${KILLS} times each: nothing acknowledged is lost, nobody misses or doubles anything`, {
  timeout: 60_000 + KILLS * 120_000,
}, async () => {
  const began = performance.now();
  const directory = freshDirectory();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const start = () => startDevProgram(port, directory, "--workers", WORKERS);
  let program = await start();
  using crew = await Crew.meet(url);
  const readers = EACH.map((transport) => crew.reader(url, transport));
  const bare = new BareLoop(url, crew.start);
  crew.loops.push(bare);
  // While it is away something must be stored, or it has nothing to lose
  const furthest = (offsets: Iterable<number>) => Math.max(0, ...offsets);
  bare.comesBack = () => furthest(crew.chronicle.offsets.values()) > furthest(bare.chronicle.offsets.values()) + 3;
  await crew.live();
  await until("the bare loop reads", () => bare.connections === 1);
  const publishers = ["websocket", "sse", "websocket", "sse"] as const;
  const stop = crew.load(
    publishers.map((transport) => crew.client(url, transport)),
    200,
  );
  const reconnects = () => readers.map(({ counts }) => counts.reconnects);
  let worstMs = 0;
  const kill = async (what: string, pid: number) => {
    const sent = crew.sent;
    await until("it runs under load", () => crew.sent > sent + 50);
    crew.chronicle.fault(`kill of ${what}`);
    process.kill(pid, "SIGKILL");
  };
  const back = async () => {
    const [killedAt, sent] = [performance.now(), crew.sent];
    await until(
      "everyone has what was published since",
      () => [...crew.chronicle.offsets.values()].every((offset) => offset > sent),
      PATIENCE_MS,
    );
    worstMs = Math.max(worstMs, performance.now() - killedAt);
  };
  for (let round = 0; round < KILLS; round++) {
    const before = reconnects();
    await kill("the owner", childrenOf(program.pid, "owner")[0] as number);
    await back();
    expect(reconnects(), "readers keep their pipes when the process that writes dies").toEqual(before);

    await kill("a worker", childrenOf(program.pid, "worker")[round % 2] as number);
    await until("there are two again", () => childrenOf(program.pid, "worker").length === 2, PATIENCE_MS);
    await back();

    const left = [...childrenOf(program.pid, "owner"), ...childrenOf(program.pid, "worker")];
    await kill("the supervisor", program.pid);
    await program.exit();
    await until("those that it kept have gone too", () => left.every((pid) => !isRunning(pid)), PATIENCE_MS);
    program = await start();
    await back();
  }
  await stop();
  const tally = await crew.judge(30_000);
  const control = bare.judge(crew);
  const what = `of dev --workers ${WORKERS} a worker, the owner of the log and the supervisor killed (SIGKILL) in turn under 200 messages/s; everyone had the news after at most ${Math.round(worstMs)} ms`;
  const seconds = Math.round((performance.now() - began) / 1_000);
  record("P8", { what, injections: 3 * KILLS, ...tally, control: `${control.lost} lost by a loop without Last-Event-ID`, seconds });
  expect(tally).toMatchObject({ lost: 0, twice: 0, disordered: 0, untold: 0 });
  expect(control.lost, "the test can see a loss").toBeGreaterThan(0);
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
