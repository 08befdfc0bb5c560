import { Followers } from "../../src/core/followers.ts";
import type { Appended, Draft, Era, Head, Log, LogContext, Page, PageLimit, Told } from "../../src/core/log.ts";
import type { Clock, Random } from "../../src/protocol/clock.ts";
import type { Entry } from "../../src/protocol/entry.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import { makeEpoch, NO_EPOCH, NO_TAG, TAG_LENGTH } from "../../src/protocol/position.ts";
import { Truth } from "./truth.ts";

/** How a log behaves until told otherwise: at once, and without fault. Chances are in [0, 1]. */
export interface Habits {
  /** A read, or a commit, takes up to so long, each its own time: reads answer in any order. */
  readMsMax: number;
  commitMsMax: number;
  readFails: number;
  /** Half of the appends that fail were stored all the same: `unknown`. */
  appendFails: number;
  /** Followers are told `changed` in place of the entries. */
  tellsChanged: number;
  /** Appends are not answered at all. */
  hangs: boolean;
}

const GOOD: Habits = { readMsMax: 0, commitMsMax: 0, readFails: 0, appendFails: 0, tellsChanged: 0, hangs: false };

interface State {
  lineage: Era[];
  entries: Entry[];
  boundaryTag: string;
  top: number;
  topTag: string;
}

/**
 * A log of one channel that does on demand all that the contract of `Log` lets a log do, and keeps the truth about it. It can lose its tail,
 * go back to an older copy, be removed, trimmed, written by another node, be slow, be out of order and fail.
 */
export class ScriptedLog implements Log {
  readonly name = "scripted";
  readonly level = "memory";
  readonly retention = { countMax: 1_000_000, bytesMax: 1e9, secondsMax: 1e9 };
  readonly truth = new Truth();
  readonly habits: Habits = { ...GOOD };
  readonly faults: string[] = [];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #followers = new Followers((error) => this.faults.push(`a follower threw: ${String(error)}`));
  readonly #keys = new Map<string, { print: string; position: { epoch: string; offset: number; tag: string }; life: number }>();
  #lineageMax = 32;
  #state: State | null = null;
  #copy: State | null = null;
  #life = 0;
  #lastEpoch = NO_EPOCH;
  #committing: Promise<void> = Promise.resolve();
  #held: (() => void)[] = [];
  #isOpen = false;
  /** Stands between the log and each follower, who may be kept deaf, or told again. */
  between: (told: Told, follower: (told: Told) => void) => void = (told, follower) => follower(told);
  follows = 0;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  get head(): Head | null {
    if (this.#state === null) return null;
    const { lineage, entries, boundaryTag, top, topTag } = this.#state;
    return { lineage: lineage.slice(), first: top - entries.length + 1, boundaryTag, top, topTag };
  }

  async open(context: Pick<LogContext, "lineageMax">): Promise<void> {
    this.#lineageMax = context.lineageMax;
    this.#isOpen = true;
  }

  async close(): Promise<void> {
    this.behave({});
    await this.#committing;
    this.#isOpen = false;
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    const unfollow = this.#followers.follow(channel, (told) => this.between(told, follower));
    let follows = true;
    this.follows++;
    return () => {
      if (follows) this.follows--;
      follows = false;
      unfollow();
    };
  }

  async read(_channel: string, after: number, limit: PageLimit): Promise<Page> {
    if (!this.#isOpen) throw new ThroughlineError("restart", "The scripted log is not open.");
    const early = this.#chance(0.5) ? this.#page(after, limit) : null;
    await this.#takeTime(this.habits.readMsMax);
    if (this.#chance(this.habits.readFails)) throw new Error("a read failed, as scripted");
    return early ?? this.#page(after, limit);
  }

  append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    if (!this.#isOpen) return Promise.reject(new ThroughlineError("not_stored", "The scripted log is not open."));
    const done = this.#committing.then(() => this.#commit(channel, drafts));
    this.#committing = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  async remove(channel: string): Promise<void> {
    this.truth.end();
    this.#state = null;
    this.#copy = null;
    this.#life++;
    this.#tellChanged(channel);
  }

  /** Behaves well but for what is named. Whatever hung goes on. */
  behave(habits: Partial<Habits>): void {
    Object.assign(this.habits, GOOD, habits);
    if (this.habits.hangs) return;
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  /** Another node appends. */
  appendElsewhere(channel: string, data: string): void {
    const stored: Entry[] = [];
    this.#store({ event: "message", kind: "text", data, size: data.length }, stored);
    this.#tell(channel, stored);
  }

  trim(count: number): void {
    const state = this.#state;
    if (state === null) return;
    for (const trimmed of state.entries.splice(0, count)) state.boundaryTag = trimmed.tag;
    this.truth.sawFirst(state.top - state.entries.length + 1);
  }

  /** The newest messages are gone, and the log knows: what comes now is of a new epoch. */
  loseTail(channel: string, count: number): void {
    if (this.#state === null) return;
    this.#cut(this.#state, count);
    this.#addEra(this.#state);
    this.#tellChanged(channel);
  }

  /** The same, but nobody knows: offsets are given again under the same epoch. */
  rewriteTail(channel: string, count: number, data: () => string): void {
    if (this.#state === null) return;
    const { top, lineage } = this.#state;
    // Not beyond the last epoch: messages of another are not given its name.
    this.#cut(this.#state, Math.min(count, top + 1 - lineage.at(-1)!.start));
    this.truth.rewrite();
    while (this.#state.top < top) this.#store({ event: "message", kind: "text", data: data(), size: 2 }, []);
    this.#tellChanged(channel);
  }

  addEra(channel: string): void {
    if (this.#state === null) return;
    this.#addEra(this.#state);
    this.#tellChanged(channel);
  }

  backUp(): void {
    const state = this.#state;
    this.#copy = state === null ? null : { ...state, lineage: state.lineage.slice(), entries: state.entries.slice() };
  }

  /** The log is what it was at the last `backUp`, and knows: a new epoch. */
  restore(channel: string): void {
    const copy = this.#copy;
    if (copy === null || this.#state === null) return;
    this.#loseAfter(copy.top);
    for (const era of this.#state.lineage) if (!copy.lineage.some(({ epoch }) => epoch === era.epoch)) this.truth.forget(era.epoch);
    this.#state = { ...copy, lineage: copy.lineage.slice(), entries: copy.entries.slice() };
    this.#copy = null;
    this.truth.restore();
    this.#addEra(this.#state);
    this.#tellChanged(channel);
  }

  async #commit(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    await this.#takeTime(this.habits.commitMsMax);
    if (this.habits.hangs) await new Promise<void>((resolve) => this.#held.push(resolve));
    const fails = this.#chance(this.habits.appendFails);
    if (fails && this.#chance(0.5)) throw new ThroughlineError("not_stored", "An append failed, as scripted.");
    const stored: Entry[] = [];
    const answers = drafts.map((draft) => this.#append(draft, stored));
    if (stored.length > 0) this.#tell(channel, stored);
    if (fails) throw new Error("an append failed after it was stored, as scripted");
    if (this.#chance(0.3)) await this.#takeTime(this.habits.commitMsMax);
    return answers;
  }

  #append(draft: Draft, stored: Entry[]): Appended {
    const known = draft.key === undefined ? undefined : this.#keys.get(draft.key);
    if (known !== undefined && known.life === this.#life) {
      return known.print === draft.print ? { type: "duplicate", position: known.position } : { type: "conflict" };
    }
    const { offset, tag } = this.#store(draft, stored);
    const position = { epoch: this.#lastEpoch, offset, tag };
    if (draft.key !== undefined) this.#keys.set(draft.key, { print: draft.print ?? "", position, life: this.#life });
    return { type: "stored", position };
  }

  #store({ event, kind, data, size }: Draft, stored: Entry[]): Entry {
    if (this.#state === null) {
      const epoch = this.#newEpoch();
      this.truth.begin(epoch);
      this.#state = { lineage: [{ epoch, start: 1 }], entries: [], boundaryTag: NO_TAG, top: 0, topTag: NO_TAG };
    }
    const state = this.#state;
    const at = Math.max(state.entries.at(-1)?.at ?? 0, this.#clock.now());
    const entry: Entry = { offset: state.top + 1, tag: this.#random.letters(TAG_LENGTH), at, event, kind, data, size };
    this.truth.store(this.#lastEpoch, entry, state.topTag);
    state.entries.push(entry);
    state.top = entry.offset;
    state.topTag = entry.tag;
    stored.push(entry);
    return entry;
  }

  #cut(state: State, count: number): void {
    state.top -= state.entries.splice(Math.max(0, state.entries.length - count)).length;
    this.#loseAfter(state.top);
    state.topTag = state.entries.at(-1)?.tag ?? state.boundaryTag;
    this.#copy = null;
  }

  /** What was known by its key is forgotten with it. */
  #loseAfter(top: number): void {
    this.truth.loseAfter(top);
    for (const [key, { position }] of this.#keys) if (position.offset > top) this.#keys.delete(key);
  }

  #addEra(state: State): void {
    const epoch = this.#newEpoch();
    this.truth.addEra(epoch);
    // An epoch of which nothing is left may stay in the lineage, or not.
    const keepsEmpty = this.#chance(0.5);
    const lineage: Era[] = [];
    for (const { epoch, start } of state.lineage) {
      if (keepsEmpty || start <= state.top) lineage.push({ epoch, start: Math.min(start, state.top + 1) });
      else this.truth.forget(epoch);
    }
    lineage.push({ epoch, start: state.top + 1 });
    while (lineage.length > this.#lineageMax) this.truth.forget(lineage.shift()!.epoch);
    state.lineage = lineage;
  }

  #newEpoch(): string {
    this.#lastEpoch = makeEpoch(this.#clock.now(), this.#random.letters(8), this.#lastEpoch);
    return this.#lastEpoch;
  }

  #page(after: number, { count, bytes }: PageLimit): Page {
    const entries: Entry[] = [];
    let size = 0;
    for (const entry of this.#state?.entries ?? []) {
      if (entry.offset <= after) continue;
      size += entry.size;
      if (entries.length === count || (size > bytes && entries.length > 0)) break;
      entries.push(entry);
    }
    return { head: this.head, entries };
  }

  #tell(channel: string, entries: readonly Entry[]): void {
    if (this.#chance(this.habits.tellsChanged)) this.#tellChanged(channel);
    else this.#followers.tell(channel, { type: "appended", epoch: this.#lastEpoch, entries });
  }

  #tellChanged(channel: string): void {
    this.#followers.tell(channel, { type: "changed" });
  }

  #chance(chance: number): boolean {
    return chance > 0 && this.#random.fraction() < chance;
  }

  /** A turn, or some time, or none. */
  async #takeTime(msMax: number): Promise<void> {
    const ms = Math.floor(this.#random.fraction() * (msMax + 1));
    if (ms > 0) await new Promise<void>((resolve) => this.#clock.after(ms, resolve));
  }
}
