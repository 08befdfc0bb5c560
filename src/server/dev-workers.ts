import { type ChildProcess, fork } from "node:child_process";
import cluster from "node:cluster";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import type { Retention } from "../core/log.ts";
import type { ChildOptions } from "./dev-child.ts";
import { KeptProcess } from "./kept-process.ts";
import { closeUntaken } from "./untaken.ts";

const CHILD = fileURLToPath(new URL("./dev-child.js", import.meta.url));

export interface DevWorkersOptions {
  readonly port: number;
  readonly data: string;
  /** The URL of a broker, instead of the directory. */
  readonly engine?: string | undefined;
  readonly retain: Partial<Retention>;
  readonly command: string;
}

/** The processes of `throughline dev --workers n`, as one server. */
export interface DevWorkers {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Starts `workers` processes that serve clients on one port, and before them, where messages stand in a directory, one that owns it and writes for them. This process
 * serves nobody: it takes connections and hands them to the workers in turn (`node:cluster`), and starts again what ends, also a worker that finds no owner because that has just died. If it dies they
 * notice, and end too.
 */
export async function startDevWorkers(options: DevWorkersOptions, workers: number, tell: (sentence: string) => void): Promise<DevWorkers> {
  const { data, engine, retain, command } = options;
  // Found here: those who ask the cluster for any share one, but not with those who ask for that one
  const port = options.port === 0 ? await anyFree() : options.port;
  const kept: KeptProcess[] = [];
  const begin = (name: string, start: () => ChildProcess): Promise<void> => {
    const one = new KeptProcess({ name, start, onLoss: (why) => tell(`${why} ${name} is started again.`) });
    kept.push(one);
    return one.begin();
  };
  const child = (role: ChildOptions["role"], name: string, samples: boolean): string =>
    JSON.stringify({ role, name, samples, port, data, engine, retain, command } satisfies ChildOptions);
  const worker = (number: number): Promise<void> => {
    const name = `Worker ${number}`;
    return begin(name, () => {
      cluster.setupPrimary({ exec: CHILD, args: [child("worker", name, engine !== undefined && number === 1)] });
      const forked = cluster.fork();
      // The process says it too, to the one that keeps it
      forked.on("error", () => {});
      closeUntaken(forked.process as ChildProcess);
      return forked.process as ChildProcess;
    });
  };
  const close = async (): Promise<void> => {
    // Workers first: what they have under way the owner still writes
    const [owner, others] = engine === undefined ? [kept.slice(0, 1), kept.slice(1)] : [[], kept];
    await Promise.all(others.map((one) => one.stop()));
    await Promise.all(owner.map((one) => one.stop()));
  };
  try {
    if (engine === undefined) await begin("The process that writes", () => fork(CHILD, [child("owner", "The process that writes", true)]));
    await Promise.all(Array.from({ length: workers }, (_, index) => worker(index + 1)));
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, close };
}

async function anyFree(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
