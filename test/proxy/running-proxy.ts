import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, isFree } from "../support/free-port.ts";
import { ask } from "../support/http.ts";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";

/** Until there are new workers; a busy machine takes its time. */
const RELOAD_MS_MAX = 15_000;
/** Signals that it is sent before it counts as a failure. */
const RELOAD_TRIES = 2;

/** What a configuration is written for. */
export interface Place {
  readonly port: number;
  /** Where HTTP/2 is spoken, for those that need a port of its own. */
  readonly http2Port: number;
  readonly adminPort: number;
  readonly upstreamPort: number;
  /** Everything that the proxy writes. */
  readonly directory: string;
  /** Seconds after which it cuts what is idle; null: as it comes. */
  readonly idleSeconds: number | null;
}

/** What to start: the program by its name in `scripts/need.js`, what it reads, and how it is told to read that again. */
export interface Plan {
  readonly program: string;
  readonly words: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly http2Port?: number | undefined;
  readonly reload?: NodeJS.Signals | (() => Promise<unknown>) | undefined;
}

export interface StartOptions {
  readonly idleSeconds?: number;
}

/** A proxy in front of a server: one process group of ours, in the foreground. */
export interface RunningProxy {
  readonly url: string;
  /** Where it speaks HTTP/2 without TLS; null if it does not. */
  readonly http2Url: string | null;
  /** Reads its configuration again, as an operator has it do. */
  reload(): Promise<void>;
  /** Dies without a word, and starts again on the same port. `whileDown` happens between. */
  restart(whileDown?: () => Promise<unknown>): Promise<void>;
  stop(): Promise<void>;
}

export async function startProxy(plan: (place: Place) => Plan, upstreamPort: number, options: StartOptions = {}): Promise<RunningProxy> {
  const directory = mkdtempSync(join(tmpdir(), "throughline-proxy-"));
  const [port, http2Port, adminPort] = [await freePort(), await freePort(), await freePort()];
  const { program, words, files, environment, reload, ...made } = plan({
    port,
    http2Port,
    adminPort,
    upstreamPort,
    directory,
    idleSeconds: options.idleSeconds ?? null,
  });
  for (const folder of ["temporary", "state"]) mkdirSync(join(directory, folder));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | null = null;
  // Else a test run that is ended by hand would leave it behind
  const killAtExit = () => kill();

  /** All of it: a master that dies so does not take its workers along. */
  function kill(): void {
    if (child?.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // Nobody is left of the group
    }
  }

  async function start(): Promise<void> {
    const out = openSync(join(directory, "out.log"), "a");
    const env = { ...process.env, ...environment };
    const started = spawn(need(program), words, { cwd: directory, env, detached: true, stdio: ["ignore", out, out] });
    child = started;
    try {
      await until(`${program} passes what it is asked`, async () => {
        if (started.exitCode !== null) throw new Error(`${program} ended with ${started.exitCode}.`);
        return (await ask(`${url}/none`).catch(() => null))?.status === 404;
      });
    } catch (error) {
      (error as Error).message += logsOf(directory);
      await end();
      throw error;
    }
  }

  async function end(): Promise<void> {
    const ending = child;
    kill();
    if (ending !== null && ending.exitCode === null && ending.signalCode === null) await once(ending, "exit");
    child = null;
    await until("nobody listens on its port", () => isFree(port));
  }

  process.once("exit", killAtExit);
  await start();
  return {
    url,
    http2Url: made.http2Port === undefined ? null : `http://127.0.0.1:${made.http2Port}`,
    async reload() {
      if (reload === undefined) throw new Error(`${program} has no power to reload.`);
      if (typeof reload === "function") {
        await reload();
        return;
      }
      const before = new Set(workersOf(child?.pid));
      const isRenewed = () => workersOf(child?.pid).some((worker) => !before.has(worker));
      // A signal was without effect twice in some hundred runs (HAProxy 2.6): an operator sends it again
      for (let tries = 0; tries < RELOAD_TRIES && !isRenewed(); tries++) {
        child?.kill(reload);
        await until("there are new workers", isRenewed, RELOAD_MS_MAX).catch(() => {});
      }
      if (!isRenewed()) throw new Error(`${program} has no new workers after ${RELOAD_TRIES} signals.`);
    },
    async restart(whileDown) {
      await end();
      await whileDown?.();
      await start();
    },
    async stop() {
      await end();
      process.off("exit", killAtExit);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Those whom a master has started, as Linux shows them. */
function workersOf(pid: number | undefined): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
}

function logsOf(directory: string): string {
  return readdirSync(directory)
    .filter((name) => name.endsWith(".log"))
    .map((name) => `\n--- ${name}\n${readFileSync(join(directory, name), "utf8").slice(-2_000)}`)
    .join("");
}
