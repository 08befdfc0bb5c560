import type { ChildProcess } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { freeze } from "./freeze.ts";
import { type Ground, hasEnded } from "./ground.ts";

export const PORT = 6379;
/** Where a node finds the members: an address of its own for each, beside that by which the members find each other. */
export const NODES = [1, 2] as const;
/** One that starts again takes its time on a busy machine; so does a copy of all. */
const PATIENCE_MS = 30_000;
/** Longer than any fault: who takes over, and when, is the test's to say. */
const SILENT_MS_MAX = 60_000;

/** One redis-server of a cluster, counted from 1, in a ground's network. It syncs each write before it answers. */
export class ClusterMember {
  readonly index: number;
  /** By which the others know it, and name it to whoever asks. */
  readonly host: string;
  readonly #ground: Ground;
  readonly #directory: string;
  readonly #slots = new Map<string, string>();
  #child: ChildProcess | null = null;

  constructor(ground: Ground, index: number) {
    this.#ground = ground;
    this.index = index;
    this.host = `127.0.3.${index}`;
    this.#directory = join(ground.ledger.home, `redis-${index}`);
    mkdirSync(this.#directory);
  }

  /** Where a node finds it. */
  addressFor(node: number): string {
    return `127.0.${10 + node}.${this.index}`;
  }

  /** Starts it, or starts it again with what it has kept, and returns once it answers. */
  async start(): Promise<void> {
    const own = {
      port: PORT,
      bind: [this.host, ...NODES.map((node) => this.addressFor(node))].join(" "),
      unixsocket: this.#socket,
      dir: this.#directory,
      save: "",
      appendonly: "yes",
      appendfsync: "always",
      "cluster-enabled": "yes",
      "cluster-node-timeout": SILENT_MS_MAX,
      "cluster-announce-ip": this.host,
      // A replica is of the master that it was given
      "cluster-allow-replica-migration": "no",
      "cluster-replica-validity-factor": 0,
      "enable-debug-command": "yes",
      "repl-timeout": 600,
      "repl-diskless-sync-delay": 0,
    };
    const words = Object.entries(own).flatMap(([name, value]) => [`--${name}`, ...(value === "" ? [""] : String(value).split(" "))]);
    const child = this.#ground.start([need("redis-server"), ...words]);
    this.#child = child;
    child.stdout?.resume();
    await until(`member ${this.index} answers`, () => this.#answers(child), PATIENCE_MS);
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    child.kill(signal);
    await until(`member ${this.index} is gone`, () => hasEnded(child), PATIENCE_MS);
  }

  freeze(): Promise<void> {
    return freeze(this.#child);
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** Asks it as an operator does. */
  ask(...words: string[]): string {
    return this.#ground.run("redis-cli", "-s", this.#socket, ...words);
  }

  /** Sets what it goes by. */
  set(name: string, value: string): void {
    this.ask("config", "set", name, value);
  }

  get id(): string {
    return this.ask("cluster", "myid").trim();
  }

  get isMaster(): boolean {
    return this.ask("role").startsWith("master");
  }

  /** By whom it has what it has; null of a master. */
  get masterHost(): string | null {
    return /master_host:(\S+)/.exec(this.ask("info", "replication"))?.[1] ?? null;
  }

  /** Those of these channels that it has. */
  has(channels: readonly string[]): string[] {
    return channels.filter((channel) => Number(this.ask("cluster", "countkeysinslot", this.slotOf(channel))) > 0);
  }

  slotOf(channel: string): string {
    const slot = this.#slots.get(channel) ?? this.ask("cluster", "keyslot", channel).trim();
    this.#slots.set(channel, slot);
    return slot;
  }

  get isWhole(): boolean {
    return this.ask("cluster", "info").includes("cluster_state:ok");
  }

  /** It follows its master, and has all of it but what is on its way. */
  get isFollowing(): boolean {
    return this.ask("info", "replication").includes("master_link_status:up");
  }

  /** Waits until its replica has what it has. */
  async isFollowed(): Promise<void> {
    const offsetOf = (name: string) => Number(new RegExp(`${name}(\\d+)`).exec(this.ask("info", "replication"))?.[1] ?? -1);
    const own = offsetOf("master_repl_offset:");
    await until("the replica follows", () => offsetOf("slave0:\\S*state=online,offset=") >= own, PATIENCE_MS);
  }

  /** Writes its append-only file afresh: Redis 7.0.15 that was killed may lose an acknowledged message otherwise when it starts once more (docs/redis.md). */
  async rewrite(): Promise<void> {
    this.ask("bgrewriteaof");
    await until(
      "its file is whole",
      () => /aof_rewrite_in_progress:0\s+aof_rewrite_scheduled:0/.test(this.ask("info", "persistence")),
      PATIENCE_MS,
    );
  }

  get #socket(): string {
    return join(this.#directory, "redis.sock");
  }

  #answers(child: ChildProcess): boolean {
    if (hasEnded(child)) throw new Error(`Member ${this.index} ended.`);
    try {
      return this.ask("ping").includes("PONG");
    } catch {
      return false;
    }
  }
}
