import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { inTime } from "../support/until.ts";

const ROOT = join(import.meta.dirname, "../..");
const CHILD = join(ROOT, "node_modules/.cache/throughline/fuzz-target.mjs");

export interface Asked {
  readonly id: number;
  /** Nothing but an answer is wanted. */
  readonly brief?: boolean;
}

export interface State {
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly connections: number;
  readonly readers: number;
  readonly sockets: number;
  /** Requests that the application is answering. */
  readonly pending: number;
  /** What the operator was told. */
  readonly sentences: readonly string[];
}

/** A fault that the server has on purpose. */
export type Planted = "throws" | "mumbles" | "leaks";

const BUNDLE = { bundle: true, platform: "node", format: "esm", packages: "external" } as const;
let built: Promise<unknown> | undefined;

/** The server in a process of its own. */
export class Target {
  readonly port: number;
  readonly #child: ChildProcess;
  #out = "";
  #asked = 0;
  dead = false;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#out = (this.#out + text).slice(-10_000);
      });
    child.setMaxListeners(0);
    child.once("exit", () => {
      this.dead = true;
    });
  }

  static async start(planted?: Planted): Promise<Target> {
    built ??= build({ entryPoints: [join(ROOT, "test/fuzz/target-child.ts")], outfile: CHILD, ...BUNDLE });
    await built;
    const env = { ...process.env, NODE_OPTIONS: "", ...(planted === undefined ? {} : { THROUGHLINE_FUZZ_PLANTED: planted }) };
    const child = fork(CHILD, { execArgv: ["--expose-gc"], env, stdio: ["ignore", "pipe", "pipe", "ipc"] });
    const [{ port }] = (await inTime(once(child, "message"), () => "the port of the server")) as [{ port: number }];
    return new Target(child, port);
  }

  /** What it wrote: a process that dies says why. */
  get out(): string {
    return this.#out;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  state(): Promise<State> {
    return this.#ask(false);
  }

  /** It answers, which it does after what came before on its sockets. */
  async isAlive(): Promise<boolean> {
    if (this.dead) return false;
    const gone = once(this.#child, "exit").then(() => false);
    return Promise.race([gone, this.#ask(true).then(() => true)]);
  }

  async #ask(brief: boolean): Promise<State> {
    const id = ++this.#asked;
    const answered = new Promise<State>((resolve) => {
      const hear = (message: { id?: number; state?: State }): void => {
        if (message.id !== id) return;
        this.#child.off("message", hear);
        resolve(message.state as State);
      };
      this.#child.on("message", hear);
    });
    this.#child.send({ id, brief } satisfies Asked, () => undefined);
    return inTime(answered, () => `an answer of the server: ${this.#out}`);
  }

  /** Its own memory in MB, without files and what is shared. */
  async rssAnonMb(): Promise<number> {
    const { pid } = await this.state();
    const kb = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kb) / 1_024;
  }

  async stop(): Promise<void> {
    if (this.dead) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
