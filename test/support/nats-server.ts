import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node";
import type { NatsConnect } from "../../src/nats.ts";
import { anyPort } from "./free-port.ts";
import { need } from "./need.ts";
import { until } from "./until.ts";

const STARTING_MS_MAX = 10_000;

interface Message {
  readonly subject: string;
  readonly hdrs: string;
  readonly data?: string;
}

export interface NatsSettings {
  /** Further lines of its configuration. */
  readonly lines?: readonly string[];
  /** Without JetStream. */
  readonly isPlain?: boolean;
  /** The domain of JetStream. */
  readonly domain?: string;
}

/** A nats-server of a test's own, on a port and in a directory of its own, with JetStream. */
export class NatsServer {
  readonly #directory = mkdtempSync(join(tmpdir(), "throughline-nats-"));
  readonly #jetstream: readonly string[];
  #lines: readonly string[];
  #port = anyPort();
  #wasUp = false;
  #monitor = "";
  #child: ChildProcess | null = null;
  #connection: Promise<NatsConnection> | null = null;

  constructor({ lines = [], isPlain = false, domain }: NatsSettings = {}) {
    const named = domain === undefined ? "" : `, domain: ${domain}`;
    const jetstream = `jetstream { store_dir: "${this.store}", max_mem: 64MB, max_file: 4GB${named} }`;
    this.#jetstream = isPlain ? [] : [jetstream];
    this.#lines = lines;
    this.start();
  }

  get store(): string {
    return join(this.#directory, "store");
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get connect(): NatsConnect {
    return connectTo(this);
  }

  /** To ask it as an operator does. */
  async ask<Answer>(what: string, body: object = {}): Promise<Answer> {
    this.#connection ??= connect({ servers: `127.0.0.1:${this.port}`, maxReconnectAttempts: -1, reconnectTimeWait: 20 });
    return (await (await this.#connection).request(`$JS.API.${what}`, JSON.stringify(body), { timeout: 5_000 })).json();
  }

  /** Messages that clients have sent it: whatever is stored, asked or told is one. */
  async received(): Promise<number> {
    const { in_msgs } = (await (await fetch(`${this.#monitor}/varz`)).json()) as { in_msgs: number };
    return in_msgs;
  }

  /** The streams of the logs. */
  async streams(prefix: string): Promise<readonly string[]> {
    const { streams } = await this.ask<{ streams: readonly string[] }>("STREAM.NAMES", { subject: `${prefix}.>` });
    return streams.filter((name) => name !== `${prefix}-fence`);
  }

  /** Makes the logs of a prefix what they were after so many of their messages, without a restart. */
  async rewind(prefix: string, count: number): Promise<void> {
    for (const name of await this.streams(prefix)) {
      const { config, state } = await this.ask<{ config: object; state: { last_seq: number } }>(`STREAM.INFO.${name}`);
      const kept: Message[] = [];
      for (let seq = 1; seq <= Math.min(count, state.last_seq); seq++) {
        kept.push((await this.ask<{ message: Message }>(`STREAM.MSG.GET.${name}`, { seq })).message);
      }
      await this.ask(`STREAM.DELETE.${name}`);
      await this.ask(`STREAM.CREATE.${name}`, config);
      for (const { subject, hdrs, data } of kept) {
        const headers = { encode: () => Buffer.from(hdrs, "base64") } as unknown as MsgHdrs;
        await (await this.#connection)?.request(subject, Buffer.from(data ?? "", "base64"), { headers, timeout: 5_000 });
      }
    }
  }

  /** Starts it, or starts it again with what it has kept, and returns once it listens. */
  start(): void {
    this.#spawn();
    const deadline = performance.now() + STARTING_MS_MAX;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (!this.#listens()) {
      if (performance.now() > deadline) throw new Error("nats-server does not listen.");
      if (this.#hasEnded()) {
        // Somebody has the port that was drawn; one that it had before is waited for
        if (!this.#wasUp) this.#port = anyPort();
        this.#spawn();
      }
      Atomics.wait(pause, 0, 0, 5);
    }
    this.#wasUp = true;
  }

  /** Takes other lines of its configuration while it runs. */
  reload(lines: readonly string[]): void {
    this.#lines = lines;
    this.#configure();
    this.#child?.kill("SIGHUP");
  }

  /** Ends it as a crash does; what it has written stays. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const ended = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(signal);
    await ended;
  }

  /** Throws away what it has stored, while it is ended. */
  wipe(): void {
    rmSync(this.store, { recursive: true, force: true });
  }

  /** Remembers what it has stored, while it rests; `forget` makes it forget what came since, while it is ended. */
  remember(): void {
    cpSync(this.store, `${this.store}-then`, { recursive: true });
  }

  forget(): void {
    this.wipe();
    cpSync(`${this.store}-then`, this.store, { recursive: true });
  }

  /** It stands still, all of its threads, and nobody is told. */
  async freeze(): Promise<void> {
    const pid = this.#child?.pid;
    this.#child?.kill("SIGSTOP");
    await until("it stands still", () => / T /.test(readFileSync(`/proc/${pid}/stat`, "latin1")));
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await (await this.#connection)?.close();
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #configure(): string {
    const config = join(this.#directory, "nats.conf");
    const places = [`pid_file: "${join(this.#directory, "pid")}"`, `ports_file_dir: "${this.#directory}"`];
    writeFileSync(
      config,
      [`listen: 127.0.0.1:${this.#port}`, ...places, "http: 127.0.0.1:-1", "max_payload: 4MB", ...this.#jetstream, ...this.#lines].join(
        "\n",
      ),
    );
    return config;
  }

  /** It writes where it listens once it does; 0 until then. */
  #spawn(): void {
    this.#child = spawn(need("nats-server"), ["-c", this.#configure()], { stdio: "ignore" });
  }

  #listens(): boolean {
    try {
      const { monitoring } = JSON.parse(readFileSync(join(this.#directory, `nats-server_${this.#child?.pid}.ports`), "utf8"));
      this.#monitor = monitoring[0];
      return true;
    } catch {
      return false;
    }
  }

  /** Nobody has asked yet what became of it. */
  #hasEnded(): boolean {
    return / Z /.test(readFileSync(`/proc/${this.#child?.pid}/stat`, "latin1"));
  }
}

export function connectTo({ port }: { readonly port: number }): NatsConnect {
  return () => connect({ servers: `127.0.0.1:${port}` });
}

let shared: NatsServer | null = null;
let prefixes = 0;

/** One nats-server for all tests of a file, each of which brings a prefix of its own. `stopSharedNats` ends it. */
export function sharedNats(): { readonly server: NatsServer; readonly prefix: string } {
  shared ??= new NatsServer();
  return { server: shared, prefix: `test-${++prefixes}` };
}

export async function stopSharedNats(): Promise<void> {
  await shared?.stop();
  shared = null;
}
