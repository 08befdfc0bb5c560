import type { ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { freeze } from "./freeze.ts";
import { type Ground, hasEnded } from "./ground.ts";
import { Kept } from "./kept.ts";
import { addressOf, type Broker } from "./node-faults.ts";

const PORT = 6379;
const SPARE_PORT = 6380;
/** A busy machine takes its time for a copy of all. */
const PATIENCE_MS = 30_000;
/** The machine of a Redis, by its addresses. */
export interface Site {
  /** Where an operator asks it: no rule of a fault cuts that off. */
  readonly desk: string;
  /** Where a replica finds its master. */
  readonly upstream: string;
}

const SITE: Site = { desk: "127.0.0.1", upstream: "127.0.2.9" };
/** Another machine, whose Redis has the same port. */
export const OTHER_SITE: Site = { desk: "127.0.0.2", upstream: "127.0.2.8" };

/** Cuts replicas off from their master, or whoever finds something there. */
export function dropped(address: string): string[] {
  return [`ip saddr ${address} drop`, `ip daddr ${address} drop`];
}

export const UPSTREAM_DROPPED = dropped(SITE.upstream);

export interface RedisBrokerOptions {
  readonly port?: number;
  readonly site?: Site;
  /** The nodes that find it at their addresses. Default: both. */
  readonly nodes?: readonly number[];
  /** Where a directory of its name is made for its files. */
  readonly home?: string;
  /** What it keeps, and when. Default: it syncs each write before it answers. */
  readonly keeps?: Keeping;
}

/** Lines of its configuration. */
export type Keeping = Readonly<Record<string, string>>;

const SYNCED: Keeping = { save: "", appendonly: "yes", appendfsync: "always" };

/**
 * A Redis in a ground's network. Each node has an address of its own for it, so that one rule cuts one node off; a
 * replica that is promoted takes all of them over.
 */
export class RedisBroker implements Broker {
  readonly name = "Redis";
  readonly port = PORT;
  readonly site: Site;
  readonly addressOf = addressOf;
  readonly #ground: Ground;
  readonly #directory: string;
  readonly #keeps: Keeping;
  #port: number;
  #nodes: readonly number[];
  #child: ChildProcess | null = null;

  constructor(ground: Ground, name: string, options: RedisBrokerOptions = {}) {
    const { port = PORT, home = ground.ledger.home, keeps = SYNCED, site = SITE, nodes = [1, 2] } = options;
    this.site = site;
    this.#ground = ground;
    this.#port = port;
    this.#nodes = nodes;
    this.#keeps = keeps;
    this.#directory = join(home, name);
    mkdirSync(this.#directory);
  }

  static urlOf(node: number): string {
    return `redis://${addressOf(node)}:${PORT}`;
  }

  /** The next in line of a broker: all that it has is copied there. */
  async replica(name: string): Promise<RedisBroker> {
    const replica = new RedisBroker(this.#ground, name, { port: SPARE_PORT, keeps: this.#keeps });
    await replica.start();
    await replica.follow(this);
    return replica;
  }

  /** Throws away what it has, and copies all that another one has, from now on. */
  async follow(master: RedisBroker): Promise<void> {
    this.ask("replicaof", master.site.upstream, String(master.#port));
    await until("the replica follows", () => this.ask("info", "replication").includes("master_link_status:up"), PATIENCE_MS);
    await master.isFollowed();
  }

  /** From now on these nodes find it at their addresses; the connections of others hold. */
  serve(...nodes: number[]): void {
    this.#nodes = nodes;
    this.ask("config", "set", "bind", this.#bind);
  }

  /** Waits until its replica has what it has. It says so every second, and what is stored comes to a new one only after it has said so for the first time. */
  async isFollowed(): Promise<void> {
    const offsetOf = (name: string) => Number(new RegExp(`${name}(\\d+)`).exec(this.ask("info", "replication"))?.[1] ?? -1);
    const own = offsetOf("master_repl_offset:");
    await until("the replica follows", () => offsetOf("slave0:\\S*state=online,offset=") >= own, PATIENCE_MS);
  }

  /** Starts it, or starts it again with what it has kept, and returns once it answers. */
  async start(): Promise<void> {
    const own = {
      port: this.#port,
      bind: this.#bind,
      dir: this.#directory,
      ...this.#keeps,
      "enable-debug-command": "yes",
      // It is not to leave its master because that is slow
      "repl-timeout": 600,
      // Or it would wait five seconds for a second replica
      "repl-diskless-sync-delay": 0,
    };
    const words = Object.entries(own).flatMap(([name, value]) => [`--${name}`, ...(value === "" ? [""] : String(value).split(" "))]);
    this.#child = this.#ground.start([need("redis-server"), ...words]);
    this.#child.stdout?.resume();
    await until("the broker answers", () => this.#answers());
  }

  /** Ends it by a signal, and waits until it is gone. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill(signal);
    await until("the broker is gone", () => hasEnded(child));
  }

  /**
   * Killed, and started again. Then its file is written afresh: Redis 7.0.15 that was killed in the middle of a step may lose an acknowledged one when it starts
   * once more (docs/redis.md), which is its own fault, and not what is tried here.
   */
  async crash(): Promise<void> {
    await this.stop("SIGKILL");
    await this.start();
    await this.rewrite();
  }

  /** Writes all that it has to its snapshot. */
  async snapshot(): Promise<void> {
    this.ask("bgsave");
    await until("it is written", () => this.ask("info", "persistence").includes("rdb_bgsave_in_progress:0"));
  }

  /** Writes its append-only file afresh. */
  async rewrite(): Promise<void> {
    this.ask("bgrewriteaof");
    await until("its file is whole", () => /aof_rewrite_in_progress:0\s+aof_rewrite_scheduled:0/.test(this.ask("info", "persistence")));
  }

  freeze(): Promise<void> {
    return freeze(this.#child);
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** In charge from now on, at the addresses of the one that is gone. */
  promote(): void {
    this.ask("replicaof", "no", "one");
    this.ask("config", "set", "port", String(PORT));
    this.#port = PORT;
  }

  /** What it keeps: to be altered while it is ended, copied while it is frozen. */
  get kept(): Kept {
    return new Kept(this.#directory);
  }

  get version(): string {
    return /redis_version:(\S+)/.exec(this.ask("info", "server"))?.[1] ?? "";
  }

  /** The keys of which it tells such a thing from now on: `evicted`, `expired`. */
  async watch(event: string): Promise<readonly string[]> {
    this.ask("config", "set", "notify-keyspace-events", "AKE");
    const keys: string[] = [];
    const child = this.#ground.start([
      need("redis-cli"),
      "-h",
      this.site.desk,
      "-p",
      String(this.#port),
      "subscribe",
      `__keyevent@0__:${event}`,
    ]);
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => keys.push(line));
    await until("it is listened for", () => keys.includes("subscribe"));
    return keys;
  }

  /** Asks it as an operator does. */
  ask(...words: string[]): string {
    return this.#ground.run("redis-cli", "-h", this.site.desk, "-p", String(this.#port), ...words);
  }

  get #bind(): string {
    return [this.site.desk, ...this.#nodes.map(addressOf), this.site.upstream].join(" ");
  }

  #answers(): boolean {
    if (this.#child !== null && hasEnded(this.#child)) throw new Error("The broker ended.");
    try {
      return this.ask("ping").includes("PONG");
    } catch {
      return false;
    }
  }
}
