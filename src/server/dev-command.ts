import { resolve } from "node:path";
import type { Log } from "../core/log.ts";
import { disk } from "../engines/disk/disk.ts";
import { memory } from "../engines/memory/memory.ts";
import { openBroker, plain } from "./broker.ts";
import { type DevServer, DISK_LIMITS, startDev } from "./dev.ts";
import { type DevWorkersOptions, startDevWorkers } from "./dev-workers.ts";
import { DEFAULT_URL } from "./remote.ts";
import { FEED_CHANNEL } from "./samples.ts";
import { stop, untilSignal } from "./stop.ts";

export interface DevCommandOptions extends DevWorkersOptions {
  readonly memory?: boolean | undefined;
  /** So many processes serve clients; undefined: this one, which owns the log too. */
  readonly workers?: number | undefined;
}

/** Runs the server until a signal ends it. Gives the exit code. Throws what keeps it from starting, with what to do. */
export async function dev(options: DevCommandOptions, print: (text: string) => void, tell: (sentence: string) => void): Promise<number> {
  const { workers } = options;
  const running = workers === undefined ? await startOne(options, tell) : await startDevWorkers(options, workers, tell);
  print(welcome(running.url, options));
  await untilSignal();
  return stop(running, tell);
}

async function startOne(options: DevCommandOptions, warn: (sentence: string) => void): Promise<DevServer> {
  const { port, retain, command, memory: isInMemory, engine } = options;
  const limits = isInMemory || engine !== undefined ? {} : DISK_LIMITS;
  return startDev({ port, engine: await engineOf(options), retain, command, warn, limits });
}

async function engineOf({ engine, memory: isInMemory, data }: DevCommandOptions): Promise<Log> {
  if (engine !== undefined) return openBroker(engine);
  return isInMemory ? memory() : disk(data);
}

function welcome(url: string, { command, data, engine, memory, workers }: DevCommandOptions): string {
  const at = url === DEFAULT_URL ? "" : ` --url ${url}`;
  const place = engine !== undefined ? plain(engine) : memory ? "in memory: gone when this stops" : resolve(data);
  return [
    "",
    `  Throughline is on ${url}`,
    "",
    `  Read      curl -N ${url}/channels/${FEED_CHANNEL}`,
    `  Publish   echo hello | ${command} pub ${FEED_CHANNEL}${at}`,
    `  Messages  ${place}`,
    ...(workers === undefined ? [] : [`  Workers   ${workers}`]),
    "",
    "  For this machine only. Ctrl-C stops it.",
    "",
  ].join("\n");
}
