import type { HistoryQuery } from "../../src/core/history.ts";
import { Hub } from "../../src/core/hub.ts";
import type { Log, Page } from "../../src/core/log.ts";
import { same } from "../../src/core/tail.ts";
import { memory } from "../../src/engines/memory/memory.ts";
import type { Clock, Random } from "../../src/protocol/clock.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import type { Start } from "../../src/protocol/from.ts";
import { type Limits, withLimits } from "../../src/protocol/limits.ts";
import { formatPosition, NO_TAG, ORIGIN, type Position, parsePosition } from "../../src/protocol/position.ts";
import { type HandClock, handClock, seededRandom } from "../support/clock.ts";
import { type Habits, ScriptedLog } from "./scripted-log.ts";
import { Truth } from "./truth.ts";
import { Watch, WatchCodec } from "./watch.ts";

export const CHANNEL = "chat/lobby";
/** What one write costs of the loop's time: a slice of fan-out ends after 16 of them. */
const WRITE_MS = 0.3;
/** So often it is looked whether all is done: who catches up writes a page a turn, and some have a long way. */
const CALM_ROUNDS = 400;
/** More reads than this in one step is a loop without end. */
const READS_PER_STEP_MAX = 3_000;

/** Small enough that a short story reaches them. */
const SMALL: Partial<Limits> = {
  tailBytesMax: 1_000,
  catchUpCountMax: 4,
  catchUpBytesMax: 40,
  signalsPendingMax: 2,
  publishQueueMax: 8,
  publishQueueBytesMax: 400,
  publishSecondsMax: 2,
  lineageMax: 3,
};

interface Publish {
  readonly data: string;
  /** The last offset that was acknowledged when this was asked. */
  readonly after: Position;
  outcome: "asked" | "stored" | "duplicate" | "refused" | "unknown";
  /** Where it was stored. */
  at: Position | null;
}

export interface WorldOptions {
  readonly seed: number;
  readonly engine: "memory" | "scripted";
}

/** The real core over a log, on a clock that moves when it is told, with many readers that are watched. One seed is one history. */
export class World {
  readonly hand: HandClock = handClock();
  readonly random: Random;
  readonly hub: Hub;
  readonly faults: string[] = [];
  /** What came to pass, of what a story can tell. */
  readonly seen = new Set<string>();
  readonly watches: Watch[] = [];
  readonly truth: Truth;
  /** Null where the engine is memory. */
  readonly scripted: ScriptedLog | null;
  readonly #codecs = [new WatchCodec(true), new WatchCodec(true)];
  readonly #known: Position[] = [ORIGIN];
  readonly #publishes: Publish[] = [];
  readonly #keyed = new Map<string, string>();
  #lastAcked: Position = ORIGIN;
  #soon: (() => void)[] = [];
  #workedMs = 0;
  #reads = 0;
  #made = 0;

  constructor({ seed, engine }: WorldOptions) {
    this.random = seededRandom(seed);
    const { hand } = this;
    const clock: Clock = {
      now: () => hand.now(),
      elapsed: () => hand.elapsed() + this.#workedMs,
      after: (ms, act) => hand.after(ms, act),
      soon: (act) => void this.#soon.push(act),
    };
    const random = seededRandom(seed + 1);
    this.scripted = engine === "scripted" ? new ScriptedLog(clock, random) : null;
    this.truth = this.scripted?.truth ?? new Truth();
    const log = this.#guarded(this.scripted ?? memory({ retain: { countMax: 12, secondsMax: 60 } }));
    this.hub = new Hub({
      engine: log,
      clock,
      random,
      limits: withLimits(SMALL),
      warn: (text) => this.#heard(text),
      onSlice: (ms) => ms > 4 && this.seen.add("a slice"),
    });
  }

  /** In [0, count). */
  dice(count: number): number {
    return Math.floor(this.random.fraction() * count);
  }

  one<T>(choices: readonly T[]): T {
    return choices[this.dice(choices.length)]!;
  }

  /** A reader sets out. Where it is to begin is drawn, if not given. */
  attach(start: Start = this.#anywhere(), { forged = false } = {}): Watch {
    const codec = this.dice(4) === 0 ? new WatchCodec(false) : this.one(this.#codecs);
    const temper = this.dice(12);
    const onWrite = (one: Watch) => {
      this.#workedMs += WRITE_MS;
      if (temper === 0 && this.dice(6) === 0) one.reader.end();
      if (temper === 1) queueMicrotask(() => one.drain());
      if (temper === 2 && this.dice(6) === 0) this.detach();
    };
    const room = this.one([1, 2, 3, 1_000]);
    const onFault = (fault: string) => this.faults.push(fault);
    // Of memory alone: a scripted log may tell of what it stored when it has trimmed it already
    const isBehind = this.scripted === null && start.type === "after" && this.truth.isTrimmedAfter(start.position);
    const watch = new Watch({ codec, truth: this.truth, room, onWrite, onFault, onTold: (told) => this.seen.add(told), forged, isBehind });
    const reader = this.hub.read(CHANNEL, watch);
    watch.reader = reader;
    this.watches.push(watch);
    this.hub.locate(reader, start).then(
      () => reader.begin(),
      (error) => this.#expectCode(error, ["internal"]),
    );
    return watch;
  }

  /** A reader leaves, and may come back later to where it was. */
  detach(watch: Watch | undefined = this.one(this.watches)): void {
    if (watch === undefined) return;
    if (watch.position !== null && !watch.isForged) this.#known.push(watch.position);
    watch.reader.end();
    this.watches.splice(this.watches.indexOf(watch), 1);
  }

  /** With a key: its own content once more, or by mistake some other. */
  publish(key?: string, { isMistaken = false } = {}): void {
    const known = key === undefined || isMistaken ? undefined : this.#keyed.get(key);
    const data = known ?? `${this.#made++}.${"x".repeat(this.one([0, 5, 30, 100]))}`;
    if (key !== undefined && !isMistaken) this.#keyed.set(key, data);
    const publish: Publish = { data, after: this.#lastAcked, outcome: "asked", at: null };
    this.#publishes.push(publish);
    this.hub.publish({ id: "ada" }, { channel: CHANNEL, kind: "text", data, size: data.length, key }).then(
      ({ position, duplicate }) => this.#acknowledged(publish, parsePosition(position), duplicate),
      (error: ThroughlineError) => {
        this.seen.add(error.code);
        publish.outcome = error.code === "unknown" ? "unknown" : "refused";
        this.#expectCode(error, ["unknown", "not_stored", "overloaded", "key_conflict"]);
      },
    );
  }

  signal(): void {
    this.hub.signal(CHANNEL, this.one(["typing", "seen", "gone"]), this.#made++, this.one(["ada", "bob"]));
  }

  async page(): Promise<void> {
    const limit = { count: 1 + this.dice(5), bytes: 60 };
    const before = this.#somewhere();
    const query: HistoryQuery = this.dice(2) === 0 ? { from: this.#anywhere(), limit } : { from: { type: "now" }, before, limit };
    const page = await this.hub.history(CHANNEL, query).catch(() => null);
    if (page !== null && page.entries.length > limit.count) this.faults.push("A page of history has more than was asked for.");
  }

  async remove(): Promise<void> {
    await this.hub.remove(CHANNEL).catch(({ code }: { code?: string }) => {
      // It waits behind what was published, for a log that hangs too
      if (code !== "not_stored" && code !== "unknown" && code !== "overloaded") this.faults.push(`A removal was answered ${code}.`);
    });
  }

  behave(habits: Partial<Habits>): void {
    this.scripted?.behave(habits);
  }

  makeData(): string {
    return `${this.#made++}.`;
  }

  /** What was asked for `soon` once runs: so may a slice of fan-out, while others still wait for theirs. */
  turn(): void {
    const acts = this.#soon;
    this.#soon = [];
    for (const act of acts) act();
  }

  /** Lets promises settle, and looks whether all is well. */
  async settle(): Promise<void> {
    this.#reads = 0;
    await new Promise((resolve) => setImmediate(resolve));
    this.faults.push(...(this.scripted?.faults.splice(0) ?? []));
  }

  async pass(ms: number): Promise<void> {
    await this.hand.advanceAsync(ms);
    await this.settle();
  }

  /** Faults stop, outlets drain, time passes. */
  async calmDown(): Promise<void> {
    this.behave({});
    for (let rounds = 0; rounds < CALM_ROUNDS; rounds++) {
      for (const watch of this.watches) watch.drain();
      await this.settle();
      if (this.#soon.length > 0) this.turn();
      else if (rounds % 4 === 3) await this.pass(400);
    }
  }

  /** D10: everyone is at the end, and D4, D5: every publish was answered truly. */
  async checkCalm(): Promise<void> {
    const { position } = await this.hub.place(CHANNEL);
    for (const { position: at, reader, isLive } of this.watches) {
      if (reader.state === "ended") continue;
      if (at === null || !same(at, parsePosition(position)))
        this.faults.push(`A reader is ${reader.state} at ${JSON.stringify(at)}, not at the end, ${position}.`);
      else if (reader.state !== "live" || !isLive) this.faults.push(`A reader is at the end, but ${reader.state}.`);
    }
    for (const { data, outcome } of this.#publishes) {
      if (outcome === "asked") this.faults.push(`A publish of ${data} was never answered.`);
      if (outcome === "stored" && !this.truth.holds(data)) this.faults.push(`${data} was acknowledged, but not stored.`);
    }
    this.#checkOrder();
    const refused = this.#publishes.filter(
      ({ data, outcome }) => outcome === "refused" && !this.#publishes.some((other) => other.data === data && other.outcome !== "refused"),
    );
    for (const { data } of refused) if (this.truth.holds(data)) this.faults.push(`${data} was refused, but stored.`);
    for (const watch of this.watches) {
      if (!watch.codec.shared && watch.codec.made !== watch.written)
        this.faults.push("What was made for one reader was not written to it.");
    }
  }

  /** D1: what was handed over first stands first, of what was not lost since. */
  #checkOrder(): void {
    let last: Publish | null = null;
    for (const publish of this.#publishes) {
      const { at, data } = publish;
      if (at === null || this.truth.wasLost(at)) continue;
      if (last !== null && this.truth.isSameLog(at, last.at!) && at.offset <= last.at!.offset) {
        this.faults.push(`${data} was published after ${last.data}, and stands before it.`);
      }
      last = publish;
    }
  }

  /** D7: when all have left nothing is left of them. */
  async leaveAndClose(): Promise<void> {
    for (const watch of [...this.watches]) this.detach(watch);
    const made = this.#codecs.map((codec) => codec.made);
    this.publish();
    for (let turns = 0; turns < 4; turns++) {
      this.turn();
      await this.settle();
    }
    if (this.#codecs.some((codec, index) => codec.made !== made[index])) this.faults.push("Something was encoded for nobody.");
    await this.pass(6_000);
    if ((this.scripted?.follows ?? 0) !== 0) this.faults.push("A channel is followed though its readers have gone.");
    const stays = this.attach({ type: "now" });
    await this.settle();
    const closed = this.hub.close();
    for (let turns = 0; turns < 4; turns++) {
      this.turn();
      await this.pass(5);
    }
    await closed;
    if (!stays.hasEnded) this.faults.push("A reader was left behind by a hub that closed.");
    if (this.hand.timers !== 0) this.faults.push(`${this.hand.timers} timers are left by a hub that closed.`);
  }

  #acknowledged(publish: Publish, position: Position, duplicate: boolean): void {
    publish.outcome = duplicate ? "duplicate" : "stored";
    this.seen.add(publish.outcome);
    if (this.truth.dataAt(position) !== publish.data) this.faults.push(`${publish.data} was acknowledged with the position of another.`);
    if (duplicate) return;
    publish.at = position;
    if (this.truth.isSameLog(position, publish.after) && position.offset <= publish.after.offset && !this.truth.wasLost(publish.after)) {
      this.faults.push(`${publish.data} was asked after ${formatPosition(publish.after)} was acknowledged, but stands before it.`);
    }
    this.#lastAcked = position;
    this.#known.push(position);
  }

  #anywhere(): Start {
    switch (this.dice(6)) {
      case 0:
        return { type: "start" };
      case 1:
        return { type: "last", count: this.dice(6) };
      case 2:
        return { type: "since", atMs: this.hand.now() - this.dice(5_000) };
      case 3:
        return { type: "after", position: this.#somewhere() };
      default:
        return { type: "now" };
    }
  }

  #somewhere(): Position {
    return this.one(this.#known);
  }

  /** A position that a client made up of one it had. */
  forged(): Position {
    const { epoch, offset, tag } = this.#somewhere();
    switch (this.dice(5)) {
      case 0:
        return { epoch, offset, tag: "tagOther" };
      case 1:
        return { epoch, offset: offset + this.dice(4), tag: NO_TAG };
      case 2:
        return { epoch: this.#somewhere().epoch, offset, tag };
      case 3:
        return { epoch: this.#somewhere().epoch, offset: this.dice(20), tag: NO_TAG };
      default:
        return { epoch: "00000000000aStranger", offset, tag };
    }
  }

  #heard(sentence: string): void {
    if (!/^The log of .* could not be read/.test(sentence) || /gives nothing/.test(sentence)) this.faults.push(`Warned: ${sentence}`);
  }

  #expectCode(error: unknown, codes: readonly string[]): void {
    if (!(error instanceof ThroughlineError) || !codes.includes(error.code))
      this.faults.push(`Unexpected: ${String((error as Error).stack)}`);
  }

  /** The same log, but a loop that reads it for ever is stopped, and what memory stores is told to the truth. */
  #guarded(log: Log): Log {
    const { truth } = this;
    const read = log.read.bind(log);
    log.read = (...asked) => {
      if (++this.#reads <= READS_PER_STEP_MAX) return this.scripted === null ? read(...asked).then(seen) : read(...asked);
      if (this.#reads === READS_PER_STEP_MAX + 1) this.faults.push("The log is read over and over, without end.");
      return new Promise(() => undefined);
    };
    const seen = (page: Page) => {
      if (page.head !== null) truth.sawFirst(page.head.first);
      return page;
    };
    if (this.scripted !== null) return log;
    const remove = log.remove!.bind(log);
    log.remove = (channel) => {
      truth.end();
      return remove(channel);
    };
    let before = { epoch: "", tag: NO_TAG };
    log.follow(CHANNEL, (told) => {
      if (told.type !== "appended") return;
      for (const entry of told.entries) {
        truth.store(told.epoch, entry, before.epoch === told.epoch ? before.tag : NO_TAG);
        before = { epoch: told.epoch, tag: entry.tag };
      }
    });
    return log;
  }
}
