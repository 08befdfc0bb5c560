import { mkdirSync, rmSync } from "node:fs";
import { BOTH_CORES, readOf, serve } from "../child.js";
import { cacheDirectory } from "../client.js";
import { nothingLost } from "../demand.js";
import { field, of, ratio, spread, spreadText, text } from "../figures.js";
import { climb } from "../ladder.js";
import { rounds } from "../measure.js";

const READERS = 200;
const RATE = 500;
const LADDER = [500, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 8000, 10_000];
const ONE = "one process";
const SUBJECTS = [{ name: ONE }, { name: "--workers 1", workers: 1 }, { name: "--workers 2", workers: 2 }];

let directories = 0;

/** A server on a directory of its own, and a load on it at a rate. Both may use both cores: a worker more is of no use on one. */
async function stage({ workers }) {
  const directory = `${cacheDirectory}data-${process.pid}-workers-${directories++}`;
  mkdirSync(directory, { recursive: true });
  const forget = () => rmSync(directory, { recursive: true, force: true });
  try {
    const server = await serve("dev.js", { DIRECTORY: directory, WORKERS: String(workers ?? "") }, [], BOTH_CORES);
    const load = (rate, seconds, warmUp) => {
      const asked = { dialect: "throughline", ports: [server.port], readers: READERS, rate, warmUp, seconds, drain: 3, nodes: server.pids };
      return readOf("sockets.js", { core: BOTH_CORES, words: [JSON.stringify(asked)], secondsMax: warmUp + seconds + 30 });
    };
    return { load, stop: () => server.stop().finally(forget) };
  } catch (error) {
    forget();
    throw error;
  }
}

async function measure(subject, { seconds, quick }) {
  const on = await stage(subject);
  let row;
  try {
    row = await on.load(RATE, seconds, 2);
  } finally {
    await on.stop();
  }
  const ladder = quick ? LADDER.slice(0, 2) : LADDER;
  const { held, best, steps } = await climb(() => stage(subject), { readers: READERS, ladder, seconds: Math.max(1, seconds / 2) });
  // One core's; these have two
  const foreign = { foreign_percent: undefined };
  return { subject: subject.name, ...row, ...foreign, held, held_delivered_s: best?.delivered_s ?? 0, held_row: best, steps };
}

/** `throughline dev` on disk: one process, and workers. What a delivery costs, and what rate is held. Without demands but that nothing is lost: two cores are too few for more. */
export async function workers({ rounds: count, seconds, quick, say }) {
  const rows = await rounds(count, SUBJECTS, (subject) => measure(subject, { seconds, quick }), say);
  const table = SUBJECTS.map(({ name }) => ({
    subject: name,
    "p50 ms": spreadText(field(rows, name, "p50_ms")),
    "p99 ms": spreadText(field(rows, name, "p99_ms"), 1),
    "CPU us/delivery": spreadText(field(rows, name, "cpu_us_per_delivery"), 2),
    "of one process": spreadText(ratio(rows, name, ONE, "cpu_us_per_delivery")),
    "published/s held": spreadText(field(rows, name, "held"), 0),
    "its ratio": spreadText(ratio(rows, name, ONE, "held")),
    "delivered/s at it": text(spread(of(rows, name).map((row) => row.held_delivered_s)).median, 0),
    "ratio of it": spreadText(ratio(rows, name, ONE, "held_delivered_s")),
    "client % at it": text(spread(of(rows, name).map((row) => row.held_row?.client_percent ?? 0)).median, 0),
  }));
  const demands = SUBJECTS.map(({ name }) => nothingLost(name, of(rows, name)));
  return {
    title: `${RATE} messages/s of 100 B to ${READERS} readers on disk, and the rate that is held: servers and client on two cores`,
    rows,
    table,
    demands,
  };
}
