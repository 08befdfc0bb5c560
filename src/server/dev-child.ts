import { setTimeout as sleep } from "node:timers/promises";
import { type Throughline, throughline } from "../adapters/throughline.ts";
import type { Retention } from "../core/log.ts";
import { InUse } from "../engines/disk/owner.ts";
import { diskOwner } from "../engines/disk/shared.ts";
import { diskWorker, NoOwner } from "../engines/disk/worker.ts";
import { openBroker } from "./broker.ts";
import { DISK_LIMITS, devRetention, startDev } from "./dev.ts";
import { type ChildWord, STOP } from "./kept-process.ts";
import { publishSamples } from "./samples.ts";
import { stop } from "./stop.ts";

/* A process of `throughline dev --workers n`: started by dev-workers.ts, with its options as JSON. */

export interface ChildOptions {
  readonly role: "owner" | "worker";
  /** What people are told it is. */
  readonly name: string;
  readonly samples: boolean;
  readonly port: number;
  readonly data: string;
  readonly engine: string | undefined;
  readonly retain: Partial<Retention>;
  readonly command: string;
}

interface Running {
  close(): Promise<void>;
}

/** How long an owner waits for the one before it to end, and how often it looks. */
const ENDING_MS_MAX = 2_000;
const LOOK_MS = 50;

const options = JSON.parse(process.argv[2] ?? "") as ChildOptions;
const stopped = untilStopped();
try {
  const running = options.role === "owner" ? await own() : await serve();
  await say({ type: "ready" });
  await stopped;
  process.exit(await stop(running, warn));
} catch (error) {
  await say({ type: "failed", sentence: error instanceof Error ? error.message : String(error), mayPass: error instanceof NoOwner });
  process.exit(1);
}

/** Owns the directory, serves no client, and writes for the workers. */
async function own(): Promise<Running> {
  const { data, retain, samples } = options;
  const tl = throughline({ engine: diskOwner(data), limits: DISK_LIMITS, retain: devRetention(retain), warn });
  await open(tl);
  const endSampling = samples ? publishSamples(tl) : () => {};
  // A hub's timers keep no process alive
  const alive = setInterval(() => {}, 60_000);
  return {
    async close() {
      endSampling();
      clearInterval(alive);
      await tl.close();
    },
  };
}

/** One whose supervisor was killed a moment ago may still be ending. */
async function open(tl: Throughline): Promise<void> {
  const deadlineMs = performance.now() + ENDING_MS_MAX;
  for (;;) {
    try {
      return await tl.open();
    } catch (error) {
      if (!(error instanceof InUse) || performance.now() > deadlineMs) throw error;
      await sleep(LOOK_MS);
    }
  }
}

async function serve(): Promise<Running> {
  const { data, engine, port, retain, command, samples } = options;
  const log = engine === undefined ? diskWorker(data) : await openBroker(engine);
  const limits = engine === undefined ? DISK_LIMITS : {};
  return startDev({ engine: log, limits, port, retain, command, warn, samples, exclusive: false });
}

/**
 * The process that started this one says so. A worker also ends well by a signal of its own, and is started again. The owner does not: whoever stops all of
 * a group at once (Ctrl-C in a terminal does) would stop it before the workers.
 */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    const onSignal = options.role === "owner" ? () => {} : resolve;
    for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => onSignal());
    process.on("message", (word: { readonly type?: unknown }) => {
      if (word.type === STOP.type) resolve();
    });
    // Whoever started this one was killed, perhaps before this line: the place is to be free at once, and a log that survives a power cut survives this
    const end = () => process.kill(process.pid, "SIGKILL");
    process.once("disconnect", end);
    if (!process.connected) end();
  });
}

function say(word: ChildWord): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(word, () => resolve());
  });
}

function warn(sentence: string): void {
  process.stderr.write(`throughline: ${options.name}: ${sentence}\n`);
}
