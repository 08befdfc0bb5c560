import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";
import type { RedisClient } from "../../src/redis.ts";
import { need } from "./need.ts";
import { until } from "./until.ts";

const STARTING_MS_MAX = 10_000;

export interface RedisSettings {
  /** On loopback, beside the socket. Default: none. */
  readonly port?: number;
  /** Further lines of its configuration: `["appendonly", "yes"]`. */
  readonly lines?: readonly (readonly [name: string, ...values: string[]])[];
}

/** Syncs each write before it is acknowledged. */
export const SYNCED: RedisSettings = {
  lines: [
    ["appendonly", "yes"],
    ["appendfsync", "always"],
  ],
};

/** A Redis of a test's own, in a directory of its own, behind a socket there. It keeps nothing on disk unless it is told to. */
export class RedisServer {
  readonly port: number;
  readonly #directory = mkdtempSync(join(tmpdir(), "throughline-redis-"));
  readonly #lines: readonly (readonly string[])[];
  #child: ChildProcess | null = null;
  #redis: Redis | null = null;

  constructor({ port = 0, lines = [] }: RedisSettings = {}) {
    this.port = port;
    this.#lines = lines;
    this.start();
  }

  get socket(): string {
    return join(this.#directory, "redis.sock");
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** To ask it as an operator does. */
  get ask(): Redis {
    this.#redis ??= this.#client();
    return this.#redis;
  }

  /** Starts it, or starts it again with what it has kept, and returns once it listens. */
  start(): void {
    // Written once it listens, which it does not do yet when its socket appears
    const pidFile = join(this.#directory, "redis.pid");
    for (const path of [this.socket, pidFile]) rmSync(path, { force: true });
    const own = [
      ["port", String(this.port)],
      ["bind", "127.0.0.1"],
      ["unixsocket", this.socket],
      ["dir", this.#directory],
      ["pidfile", pidFile],
      ["save", ""],
      ["appendonly", "no"],
    ];
    const words = [...own, ...this.#lines].flatMap(([name, ...values]) => [`--${name}`, ...values]);
    this.#child = spawn(need("redis-server"), [...words, "--daemonize", "no"], { stdio: "ignore" });
    const deadline = performance.now() + STARTING_MS_MAX;
    const pause = new Int32Array(new SharedArrayBuffer(4));
    while (!existsSync(pidFile)) {
      if (performance.now() > deadline) throw new Error("redis-server does not listen.");
      Atomics.wait(pause, 0, 0, 5);
    }
  }

  /** Ends it as a power cut does. */
  async kill(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const ended = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(signal);
    await ended;
  }

  /** It stands still, and nobody is told. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /**
   * Writes its append-only file afresh. Redis 7.0.15 that is killed while it writes a step to it cuts off the half command at the next start but leaves the half transaction, and takes
   * what it appends behind it for its rest when it starts once more: an acknowledged message may go then (seen in 2 of some 3,500 kills).
   */
  async rewrite(): Promise<void> {
    await this.ask.bgrewriteaof();
    await until("it is written", async () =>
      /aof_rewrite_in_progress:0\s+aof_rewrite_scheduled:0/.test(await this.ask.info("persistence")),
    );
  }

  async follow(master: RedisServer): Promise<void> {
    await this.ask.replicaof("127.0.0.1", master.port);
    await until("it has all of its master", async () => (await this.ask.info("replication")).includes("master_link_status:up"));
    // The stream of commands begins only once it has said that it is there
    await master.ask.set("followed", "1");
    await until("it follows its master", async () => (await master.ask.wait(1, 1_000)) === 1);
  }

  async stop(): Promise<void> {
    this.#redis?.disconnect();
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #client(): Redis {
    const client = new Redis(this.socket, { retryStrategy: () => 50 });
    client.on("error", () => {});
    return client;
  }
}

/** The clients that an application may bring, none of them connected. */
export interface Library {
  readonly name: string;
  client(at: { readonly socket: string } | { readonly port: number }): RedisClient;
  cluster(port: number): RedisClient;
}

/** For a cluster on a busy machine: of one that does not answer in time ioredis says that it has no slots. */
const REFRESH_MS = 10_000;

export const LIBRARIES: readonly Library[] = [
  {
    name: "node-redis",
    client: (at) =>
      createClient("socket" in at ? { socket: { path: at.socket, tls: false } } : { socket: { host: "127.0.0.1", port: at.port } }),
    cluster: (port) => createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] }),
  },
  {
    name: "ioredis",
    client: (at) => ("socket" in at ? new Redis(at.socket, { lazyConnect: true }) : new Redis(at.port, "127.0.0.1", { lazyConnect: true })),
    cluster: (port) => new Cluster([{ host: "127.0.0.1", port }], { lazyConnect: true, slotsRefreshTimeout: REFRESH_MS }),
  },
];

let shared: RedisServer | null = null;
let prefixes = 0;

/** One Redis for all tests of a file, each of which brings a prefix of its own. `stopSharedRedis` ends it. */
export function sharedRedis(settings: RedisSettings = {}): { readonly server: RedisServer; readonly prefix: string } {
  shared ??= new RedisServer(settings);
  return { server: shared, prefix: `test-${++prefixes}:` };
}

export async function stopSharedRedis(): Promise<void> {
  await shared?.stop();
  shared = null;
}
