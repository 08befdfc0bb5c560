import { Followers } from "../../src/core/followers.ts";
import type { Appended, Draft, Log, LogContext, Notice, Page, PageLimit, Retention, Told } from "../../src/core/log.ts";
import { memory } from "../../src/engines/memory/memory.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import type { Limits } from "../../src/protocol/limits.ts";
import type { Chance } from "./sim-chance.ts";
import { Platter, PlatterLog } from "./sim-disk.ts";
import { Notices } from "./sim-notices.ts";
import { ScriptedLogs } from "./sim-scripted.ts";
import { newOwner, type Owner, type Time, type Wall } from "./sim-time.ts";

export type EngineName = "memory" | "disk" | "scripted";

export interface StoreOptions {
  readonly engine: EngineName;
  readonly time: Time;
  readonly chance: Chance;
  readonly limits: Limits;
  readonly retention: Retention;
  readonly channels: readonly string[];
  readonly wall: Wall;
  /** Milliseconds between the store and a node; 0: in the node's own process. */
  readonly wayMs: number;
  readonly warn: (sentence: string) => void;
  /** Something was stored, before anyone else is told. */
  readonly onStored: (channel: string, told: Told) => void;
  /** Of what nodes say to each other, apart from all else. */
  readonly noticeChance: Chance;
  readonly onSaid: (notice: Notice) => void;
  readonly onHeard: (by: NodeLog, notice: Notice) => void;
}

/** The log that all nodes share: the engine, its life and death, and the way to it. */
export class Store {
  retention: Retention;
  readonly platter: Platter;
  /** Null unless it is the engine. */
  readonly scripted: ScriptedLogs | null;
  readonly nodes = new Set<NodeLog>();
  /** What nodes say to each other by way of it. */
  readonly notices: Notices;
  readonly #options: StoreOptions;
  #engine: Log | null = null;
  #last: PlatterLog | null = null;
  #lives = 0;
  #owner: Owner;
  /** Rejects what waits for an engine that died. */
  #died: (() => void)[] = [];

  constructor(options: StoreOptions) {
    this.#options = options;
    this.retention = options.retention;
    const { engine, time, chance, channels, wall } = options;
    this.#owner = newOwner(wall);
    this.platter = new Platter(time, chance);
    const { noticeChance, onSaid, onHeard } = options;
    this.notices = new Notices({ time, chance: noticeChance, isUp: () => this.isUp, onSaid, onHeard });
    this.scripted = engine === "scripted" ? new ScriptedLogs(channels, time.clockOf(newOwner(wall)), chance) : null;
  }

  get isUp(): boolean {
    return this.#engine !== null;
  }

  get timers(): number {
    return this.#owner.timers + (this.#last?.timers ?? 0);
  }

  async start(): Promise<void> {
    const { engine, time, chance, limits, warn, channels, wall, onStored } = this.#options;
    this.#owner = newOwner(wall);
    const onFault = (error: unknown) => warn(`a follower threw: ${String(error)}`);
    const log =
      this.scripted ?? (engine === "memory" ? memory() : new PlatterLog(this.platter, time, newOwner(wall), this.retention, onFault));
    const { keysMax, keySecondsMin, lineageMax } = limits;
    const context: LogContext = {
      clock: time.clockOf(this.#owner),
      random: chance.random,
      retain: () => this.retention,
      keysMax,
      keySecondsMin,
      lineageMax,
      warn: (sentence) => {
        if (!/cannot be written|is written again|could not be deleted/.test(sentence)) warn(sentence);
      },
    };
    await log.open(context);
    this.#engine = log;
    this.#last = log instanceof PlatterLog ? log : null;
    // The scripted one lives on, and knows its followers
    for (const channel of this.#lives++ > 0 && log === this.scripted ? [] : channels) {
      log.follow(channel, (told) => {
        onStored(channel, told);
        for (const node of this.nodes) node.tell(channel, told);
      });
    }
    for (const node of this.nodes) for (const channel of channels) node.tell(channel, { type: "changed" });
  }

  /** Without a word. What memory held is gone; what was under way is unknown. */
  kill(): void {
    if (this.#engine instanceof PlatterLog) this.#engine.kill();
    this.#engine = null;
    this.#owner.isAlive = false;
    const died = this.#died;
    this.#died = [];
    for (const reject of died) reject();
  }

  /** Stores what is in flight, and ends. */
  async stop(): Promise<void> {
    const engine = this.#engine;
    this.#engine = null;
    if (engine !== this.scripted) await engine?.close();
  }

  logOf(owner: Owner): NodeLog {
    const { engine, time, wayMs, chance, warn } = this.#options;
    const log = new NodeLog({ store: this, owner, time, wayMs, chance, warn, level: engine === "disk" ? "disk" : "memory" });
    this.nodes.add(log);
    return log;
  }

  /** Asks the engine; rejects with `lost` if it is not there, or dies before it answers. */
  ask<Answer>(act: (engine: Log) => Promise<Answer>, lost: (wasAsked: boolean) => unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const engine = this.#engine;
      if (engine === null) {
        reject(lost(false));
        return;
      }
      const died = (): void => reject(lost(true));
      this.#died.push(died);
      const over = (): void => {
        const place = this.#died.indexOf(died);
        if (place >= 0) this.#died.splice(place, 1);
      };
      act(engine).then(
        (answer) => {
          over();
          resolve(answer);
        },
        (error) => {
          over();
          reject(error);
        },
      );
    });
  }
}

interface NodeLogOptions {
  readonly store: Store;
  readonly owner: Owner;
  readonly time: Time;
  readonly wayMs: number;
  readonly chance: Chance;
  readonly warn: (sentence: string) => void;
  readonly level: "memory" | "disk";
}

/** The shared log as one node has it: at the other end of a way that takes time, where wake-ups can be missed. */
export class NodeLog implements Log {
  readonly name = "shared";
  readonly level: "memory" | "disk";
  /** Every other wake-up comes as `changed`. */
  isForgetful = false;
  /** It cannot reach the store. */
  isCutOff = false;
  /** Until then it gets no answer from the store, and hears nothing. */
  hangsUntilMs = 0;
  readonly #options: NodeLogOptions;
  readonly #followers = new Followers(() => {});
  readonly #listeners = new Set<(notice: Notice) => void>();
  /** When what is said on a channel is heard first. */
  readonly #hearsFromMs = new Map<string, number>();
  #isClosed = false;

  constructor(options: NodeLogOptions) {
    this.#options = options;
    this.level = options.level;
  }

  /** Whether anything goes between it and the store. */
  get isDeaf(): boolean {
    return this.isCutOff || this.#options.time.nowMs < this.hangsUntilMs;
  }

  get retention(): Retention {
    return this.#options.store.retention;
  }

  get follows(): boolean {
    return ["chat/a", "chat/b", "chat/c"].some((channel) => this.#followers.has(channel));
  }

  async open(): Promise<void> {}

  append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    const lost = (wasAsked: boolean) =>
      wasAsked
        ? new ThroughlineError("unknown", "The store died while it wrote. Publish again with the same key.")
        : new ThroughlineError("not_stored", "The store is not there: nothing was stored.");
    return this.#ask((engine) => engine.append(channel, drafts), lost);
  }

  read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    return this.#ask(
      (engine) => engine.read(channel, after, limit),
      () => new Error("the store is not there"),
    );
  }

  remove(channel: string): Promise<void> {
    return this.#ask(
      (engine) => engine.remove!(channel),
      () => new ThroughlineError("not_stored", "The store is not there."),
    );
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    const { store, time } = this.#options;
    if (!this.#followers.has(channel)) this.#hearsFromMs.set(channel, time.nowMs + store.notices.followMs());
    return this.#followers.follow(channel, follower);
  }

  notify(notice: Notice): void {
    const { store, owner, warn } = this.#options;
    if (!owner.isAlive) return;
    if (this.#isClosed) warn(`a log that was closed is to tell others ${notice.body}`);
    else store.notices.carry(this, store.nodes, notice);
  }

  listen(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#followers.clear();
    this.#listeners.clear();
    this.#options.store.nodes.delete(this);
  }

  tell(channel: string, told: Told): void {
    const { chance } = this.#options;
    const missed = (this.isForgetful && chance.is(0.5)) || this.isCutOff;
    this.#go(() => this.#followers.tell(channel, missed ? { type: "changed" } : told));
  }

  /** Where the channel is followed. */
  hear(notice: Notice, lateMs: number): void {
    const { store, time } = this.#options;
    this.#go(() => {
      if (!this.#followers.has(notice.channel) || time.nowMs < this.#hearsFromMs.get(notice.channel)!) return;
      store.notices.heard(this, notice);
      for (const listener of this.#listeners) listener(notice);
    }, lateMs);
  }

  /** There and back. A node that has died meanwhile never hears the answer. */
  async #ask<Answer>(act: (engine: Log) => Promise<Answer>, lost: (wasAsked: boolean) => unknown): Promise<Answer> {
    const { store, wayMs, time } = this.#options;
    while (time.nowMs < this.hangsUntilMs) await new Promise<void>((resolve) => this.#go(resolve, this.hangsUntilMs - time.nowMs));
    if (wayMs > 0) await new Promise<void>((resolve) => this.#go(resolve));
    if (this.isCutOff) throw lost(false);
    try {
      return await store.ask(act, lost);
    } finally {
      if (wayMs > 0 || !this.#options.owner.isAlive) await new Promise<void>((resolve) => this.#go(resolve));
    }
  }

  #go(act: () => void, lateMs = 0): void {
    const { time, wayMs, owner } = this.#options;
    if (wayMs > 0) time.after(wayMs + lateMs, act, owner);
    else if (owner.isAlive) act();
  }
}
