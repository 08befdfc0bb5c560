import { resolve } from "node:path";
import type { Log, Retention } from "../core/log.ts";
import { disk } from "../engines/disk/disk.ts";
import { memory } from "../engines/memory/memory.ts";
import { LIMITS } from "../protocol/limits.ts";
import { openBroker, plain } from "./broker.ts";
import { type DevServer, FEED_CHANNEL, startDev } from "./dev.ts";
import { DEFAULT_URL } from "./remote.ts";

export interface DevCommandOptions {
  readonly port: number;
  readonly data: string;
  readonly memory?: boolean | undefined;
  /** The URL of a broker, instead of the directory. */
  readonly engine?: string | undefined;
  readonly retain: Partial<Retention>;
  readonly command: string;
}

/** A stop that takes longer is cut short. */
const STOP_MS = 5_000;
/** A log that is piped in gives each line a key, for a day: on a developer's disk there is room for more of them. */
const DISK_KEYS_MAX = 10 * LIMITS.keysMax;

/** Runs the server until a signal ends it. Gives the exit code. Throws what keeps it from starting, with what to do. */
export async function dev(options: DevCommandOptions, print: (text: string) => void, tell: (sentence: string) => void): Promise<number> {
  const server = await startDev({
    port: options.port,
    engine: await engineOf(options),
    retain: options.retain,
    command: options.command,
    warn: tell,
    ...(options.memory || options.engine !== undefined ? {} : { limits: { keysMax: DISK_KEYS_MAX } }),
  });
  print(welcome(server, options));
  await untilSignal();
  return stop(server, tell);
}

async function engineOf({ engine, memory: isInMemory, data }: DevCommandOptions): Promise<Log> {
  if (engine !== undefined) return openBroker(engine);
  return isInMemory ? memory() : disk(data);
}

function welcome({ url }: DevServer, { command, data, engine, memory }: DevCommandOptions): string {
  const at = url === DEFAULT_URL ? "" : ` --url ${url}`;
  const place = engine !== undefined ? plain(engine) : memory ? "in memory: gone when this stops" : resolve(data);
  return [
    "",
    `  Throughline is on ${url}`,
    "",
    `  Read      curl -N ${url}/channels/${FEED_CHANNEL}`,
    `  Publish   echo hello | ${command} pub ${FEED_CHANNEL}${at}`,
    `  Messages  ${place}`,
    "",
    "  For this machine only. Ctrl-C stops it.",
    "",
  ].join("\n");
}

function untilSignal(): Promise<void> {
  return new Promise((done) => {
    process.once("SIGINT", () => done());
    process.once("SIGTERM", () => done());
  });
}

/** Within a bound; a second signal is now. */
async function stop(server: DevServer, tell: (sentence: string) => void): Promise<number> {
  const now = (): never => process.exit(1);
  process.on("SIGINT", now);
  process.on("SIGTERM", now);
  const late = setTimeout(() => {
    tell(`Not everything could be closed within ${STOP_MS / 1_000} s. What was acknowledged is stored.`);
    process.exit(1);
  }, STOP_MS);
  await server.close();
  clearTimeout(late);
  return 0;
}
