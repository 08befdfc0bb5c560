import { Hub } from "../../src/core/hub.ts";
import type { Identity } from "../../src/core/identity.ts";
import type { Log, Notice } from "../../src/core/log.ts";
import { type Limits, withLimits } from "../../src/protocol/limits.ts";
import { ScriptedLog } from "../model/scripted-log.ts";
import { type HandClock, handClock, seededRandom } from "./clock.ts";

export const ADA = { id: "ada" };
export const LOBBY = "chat/lobby";
/** Two heartbeats. */
export const LEASE_MS = 30_000;

/** What connects the nodes: it carries what they say to each other, while it is there. */
export class Bus {
  readonly ends: { readonly node: BusLog; readonly listener: (notice: Notice) => void }[] = [];
  readonly said: Notice[] = [];
  isAway = false;
  /** Of every so many notices one is lost. */
  loses = Number.POSITIVE_INFINITY;
  /** Each comes so often. */
  copies = 1;
  /** How many milliseconds one is under way: where they differ, notices overtake each other. */
  delayMs: () => number = () => 0;
  readonly #clock: HandClock;

  constructor(clock: HandClock) {
    this.#clock = clock;
  }

  carry(from: BusLog, notice: Notice): void {
    this.said.push(notice);
    if (this.isAway || this.said.length % this.loses === 0) return;
    const delayMs = this.delayMs();
    if (delayMs === 0) this.#deliver(from, notice);
    else this.#clock.after(delayMs, () => this.#deliver(from, notice));
  }

  #deliver(from: BusLog, notice: Notice): void {
    for (const { node, listener } of this.ends) {
      if (node === from || !node.isFollowed(notice.channel)) continue;
      for (let copy = 0; copy < this.copies; copy++) listener(notice);
    }
  }
}

class BusLog extends ScriptedLog implements Log {
  readonly #bus: Bus;
  readonly #followed = new Map<string, number>();

  constructor(clock: HandClock, bus: Bus, seed: number) {
    super(clock, seededRandom(seed));
    this.#bus = bus;
  }

  isFollowed(channel: string): boolean {
    return (this.#followed.get(channel) ?? 0) > 0;
  }

  override follow(channel: string, follower: Parameters<Log["follow"]>[1]): () => void {
    this.#followed.set(channel, (this.#followed.get(channel) ?? 0) + 1);
    const unfollow = super.follow(channel, follower);
    return () => {
      this.#followed.set(channel, this.#followed.get(channel)! - 1);
      unfollow();
    };
  }

  notify(notice: Notice): void {
    this.#bus.carry(this, notice);
  }

  listen(listener: (notice: Notice) => void): () => void {
    const end = { node: this, listener };
    this.#bus.ends.push(end);
    return () => this.#bus.ends.splice(this.#bus.ends.indexOf(end), 1);
  }
}

export interface Node {
  readonly hub: Hub;
  readonly log: ScriptedLog;
  /** What it told of the lobby, since last asked. */
  told(): string[];
  enter(client: string, data?: string, turn?: number, identity?: Identity): Promise<unknown>;
  leave(client: string, turn?: number): Promise<unknown>;
  who(): Promise<string[]>;
  /** SIGKILL: it says nothing any more, and hears nothing. */
  kill(): void;
}

export function world(limits: Partial<Limits> = {}) {
  const clock = handClock();
  const bus = new Bus(clock);
  let nodes = 0;

  /** Does it, and lets happen at once whatever follows from it. */
  async function act<T>(hub: Hub, deed: () => T): Promise<T> {
    await hub.open();
    const done = deed();
    await clock.advanceAsync(5);
    return done;
  }

  function node(
    alone = false,
    options: { authorize?: (question: { action: string; identity: Identity }) => boolean | Promise<boolean> } = {},
  ): Node {
    const seed = ++nodes;
    const log = alone ? new ScriptedLog(clock, seededRandom(seed)) : new BusLog(clock, bus, seed);
    const hub = new Hub({ engine: log, clock, random: seededRandom(100 + seed), limits: withLimits(limits), warn: () => {}, ...options });
    const told: string[] = [];
    hub.on("presence", ({ change, member: { client, data } }) => told.push(`${change} ${client} ${data}`));
    return {
      hub,
      log,
      told: () => told.splice(0),
      enter: (client, data, turn, identity = ADA) =>
        act(hub, () => hub.presence.enter(identity, hub.gate.moment, LOBBY, { client, data, turn })),
      leave: (client, turn) => act(hub, () => hub.presence.leave(ADA, LOBBY, { client, turn })),
      async who() {
        const gathering = await act(hub, () => hub.presence.gathering(LOBBY));
        return Array.from(gathering.roster.members(), ({ client, data }) => `${client} ${data}`).sort();
      },
      kill() {
        const end = bus.ends.findIndex((one) => one.node === log);
        if (end >= 0) bus.ends.splice(end, 1);
        log.close().catch(() => undefined);
        (log as Partial<BusLog>).notify = () => {};
      },
    };
  }

  /** Time passes, and whoever is named says again that he is there. */
  async function pass(ms: number, ...staying: (() => Promise<unknown>)[]): Promise<void> {
    for (let passed = 0; passed < ms; passed += 5_000) {
      for (const stay of staying) await stay();
      await clock.advanceAsync(Math.min(5_000, ms - passed));
    }
  }

  return { clock, bus, node, pass };
}
