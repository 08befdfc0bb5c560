import type { Cancel, Clock } from "../protocol/clock.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Member, PresenceChange } from "../protocol/presence.ts";
import type { Flushable, Flusher } from "./flusher.ts";
import type { Identity } from "./identity.ts";
import type { PresenceNotice } from "./presence-notice.ts";
import { tagOf } from "./print.ts";
import { Replica, type Sighting } from "./replica.ts";
import { keyOf, Roster } from "./roster.ts";
import { TagSum } from "./tag-sum.ts";

/** What a gathering needs of the node. */
export interface GatheringContext {
  /** Names this gathering among those of other nodes. What the node said before it was started anew, or had forgotten the channel, was said by another. */
  readonly node: string;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly flusher: Pick<Flusher, "want">;
  readonly leaseMs: number;
  /** To the other nodes; null where there are none. */
  readonly notify: ((channel: string, notice: PresenceNotice) => void) | null;
  readonly onChange: (channel: string, change: PresenceChange) => void;
}

/** Who watches: told that there is news, and asks the roster what. */
export interface Watcher {
  readonly identity: Identity;
  /** The moment, as the gate has it, when it began to ask who it is. */
  readonly asked: number;
  news(): void;
  /** May no longer watch. */
  dismiss(error: ThroughlineError): void;
}

/** A member that this node has, and how many things it had said then. */
interface Own {
  readonly n: number;
  readonly member: Member;
  readonly tag: number;
}

/** Another node, as long as it is heard. */
interface Other {
  readonly replica: Replica;
  heardMs: number;
  askedMs: number;
  cancel: Cancel;
}

/** News waits for company: so many milliseconds after the last, and more where many watch, since each of them costs a write. */
const NEWS_MS_MIN = 20;
const NEWS_MS_PER_WATCHER = 0.1;
const NEWS_MS_MAX = 1_000;
/** A node whose digest differs is asked for what it has, at most so often. */
const ASK_MS = 1_000;
/** Whoever begins to look asks the others so often and so late: the first time they may not hear it yet. */
const ASKS_MS = [20, 100, 250, 1_000];
/** Then it knows who is there, as a rule: a first page waits for so long. */
const SETTLE_MS = 300;
/** Members in one notice, characters of data in it, and the pause behind one of many. */
const NOTICE_COUNT_MAX = 200;
const NOTICE_CHARS_MAX = 100_000;
const NOTICE_PAUSE_MS = 5;

/**
 * The members of one channel, as this node knows them: its own, and those of others by what they say. Each node has its own members alone and says what
 * becomes of them; someone is there while any node has him. So a client that moved is one member, and the late news of a node that died concerns
 * that node's claim and no other.
 */
export class Gathering implements Flushable {
  readonly channel: string;
  readonly roster: Roster;
  readonly #context: GatheringContext;
  readonly #own = new Map<string, Own>();
  readonly #sum = new TagSum();
  /** Counts what this node has said. */
  #n = 0;
  #unsaid: Sighting[] = [];
  readonly #others = new Map<string, Other>();
  readonly #watchers = new Set<Watcher>();
  /** Those that have not been told of the last news yet, while a flush is under way. */
  #telling: Watcher[] = [];
  #newsDue = false;
  #newsMs = Number.NEGATIVE_INFINITY;
  #isStretching = false;
  readonly #cancels = new Set<Cancel>();
  readonly #begunMs: number;
  #settled: Promise<void> | null = null;

  constructor(channel: string, context: GatheringContext) {
    const { limits, clock } = context;
    this.channel = channel;
    this.#context = context;
    this.#begunMs = clock.elapsed();
    this.roster = new Roster(context.node, limits, clock, (change) => {
      context.onChange(channel, change);
      this.#plan();
    });
    if (context.notify !== null) for (const ms of ASKS_MS) this.#after(ms, () => this.#say({ type: "ask", node: context.node, of: null }));
  }

  /** Whether anybody is here by way of this node. */
  get isIdle(): boolean {
    return this.#own.size === 0 && this.#watchers.size === 0;
  }

  get ownCount(): number {
    return this.#own.size;
  }

  /** For how long the node has looked: before a lease is over, somebody may be there of whom it has not heard. */
  get ageMs(): number {
    return this.#context.clock.elapsed() - this.#begunMs;
  }

  get watchers(): Iterable<Watcher> {
    return this.#watchers;
  }

  /** Resolves once the other nodes have had time to say what they have. */
  settle(): Promise<void> {
    if (this.#context.notify === null || this.ageMs >= SETTLE_MS) return Promise.resolve();
    this.#settled ??= new Promise((resolve) => this.#after(SETTLE_MS - this.ageMs, resolve));
    return this.#settled;
  }

  watch(watcher: Watcher): void {
    this.#watchers.add(watcher);
  }

  unwatch(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** This node has a member. */
  put(member: Member): void {
    const key = keyOf(member);
    const known = this.#own.get(key);
    if (known !== undefined && known.member.data === member.data && known.member.turn === member.turn) return;
    this.#forget(known);
    const tag = tagOf(`${key}\n${member.data}`);
    this.#own.set(key, { n: ++this.#n, member, tag });
    this.#sum.add(tag);
    this.roster.put(this.#context.node, member);
    this.#tellOthers({ n: this.#n, key, member });
  }

  /** It no longer has it. */
  drop(key: string): void {
    const known = this.#own.get(key);
    if (known === undefined) return;
    this.#forget(known);
    this.#own.delete(key);
    this.roster.drop(this.#context.node, key);
    this.#tellOthers({ n: ++this.#n, key, member: null });
  }

  /** It said at this node that it leaves; another may have it. */
  tellOut(key: string, turn: number): void {
    this.#say({ type: "out", node: this.#context.node, key, turn });
  }

  /** What this node has, and that it lives. */
  tellDigest(): void {
    if (this.#n > 0) this.#say({ type: "digest", node: this.#context.node, n: this.#n, count: this.#sum.count, sum: this.#sum.sum });
  }

  /** Another node said something. */
  hear(notice: Exclude<PresenceNotice, { type: "out" }>): void {
    const { node } = notice;
    if (node === this.#context.node) return;
    if (notice.type === "ask") {
      if (notice.of === this.#context.node) this.#stretch();
      else if (notice.of === null && this.#own.size > NOTICE_COUNT_MAX) this.tellDigest();
      else if (notice.of === null) this.#stretch();
      return;
    }
    const other = this.#other(node);
    if (other === null) return;
    const { replica } = other;
    switch (notice.type) {
      case "changed":
        for (const sighting of notice.sightings) this.#apply(node, replica.hear(sighting));
        break;
      case "stretch":
        this.#apply(node, replica.take(notice));
        break;
      case "digest":
        if (replica.compare(notice) === "differs") this.#ask(node, other);
    }
  }

  /** However much there is: it has a window of its own. */
  readonly waiting = 1;

  /** Tells the watchers, until the deadline. */
  flush(deadline: number): boolean {
    if (this.#telling.length === 0) {
      this.#newsDue = false;
      this.#newsMs = this.#context.clock.elapsed();
      this.#telling = [...this.#watchers];
    }
    for (let watcher = this.#telling.pop(); watcher !== undefined; watcher = this.#telling.pop()) {
      if (this.#watchers.has(watcher)) watcher.news();
      if (this.#context.clock.elapsed() >= deadline) break;
    }
    return this.#telling.length === 0;
  }

  close(): void {
    for (const cancel of this.#cancels) cancel();
    for (const { cancel } of this.#others.values()) cancel();
    this.#others.clear();
  }

  #forget(known: Own | undefined): void {
    if (known !== undefined) this.#sum.remove(known.tag);
  }

  #plan(): void {
    if (this.#newsDue || this.#watchers.size === 0) return;
    this.#newsDue = true;
    const { clock, flusher } = this.#context;
    const windowMs = Math.min(NEWS_MS_MAX, NEWS_MS_MIN + NEWS_MS_PER_WATCHER * this.#watchers.size);
    const waitMs = this.#newsMs + windowMs - clock.elapsed();
    if (waitMs > 0) this.#after(waitMs, () => flusher.want(this));
    else flusher.want(this);
  }

  #tellOthers(sighting: Sighting): void {
    const { notify, clock, node } = this.#context;
    if (notify === null) return;
    if (this.#unsaid.push(sighting) > 1) return;
    clock.soon(() => {
      const unsaid = this.#unsaid;
      this.#unsaid = [];
      for (const sightings of portions(unsaid)) this.#say({ type: "changed", node, sightings });
    });
  }

  /** All that this node has, in portions, and the digest behind them. One round at a time serves whoever asks meanwhile. */
  #stretch(): void {
    if (this.#isStretching || this.#n === 0) return;
    this.#isStretching = true;
    const ends = portions([...this.#own].sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, own]) => ({ key, ...own })));
    const bounds = ends.slice(0, -1).map((portion) => portion.at(-1)!.key);
    this.#stretchOn("", bounds);
  }

  #stretchOn(after: string, bounds: readonly string[]): void {
    const [upTo = null, ...rest] = bounds;
    // What it has now: some came since the bounds were drawn
    const members: Sighting[] = [];
    for (const [key, { n, member }] of this.#own) if (key > after && (upTo === null || key <= upTo)) members.push({ n, key, member });
    this.#say({ type: "stretch", node: this.#context.node, n: this.#n, after, upTo, members });
    if (upTo !== null) {
      this.#after(NOTICE_PAUSE_MS, () => this.#stretchOn(upTo, rest));
      return;
    }
    this.tellDigest();
    this.#isStretching = false;
  }

  /** Null: as many other nodes are known as may be. */
  #other(node: string): Other | null {
    const { clock, limits } = this.#context;
    let other = this.#others.get(node);
    if (other === undefined) {
      if (this.#others.size >= limits.presenceNodesMax) return null;
      other = { replica: new Replica(limits.presenceMembersMax), heardMs: 0, askedMs: Number.NEGATIVE_INFINITY, cancel: () => {} };
      this.#others.set(node, other);
      this.#expect(node, other, this.#context.leaseMs);
    }
    other.heardMs = clock.elapsed();
    return other;
  }

  /** Who says nothing for a lease has gone, and its members with it. */
  #expect(node: string, other: Other, ms: number): void {
    const { clock, leaseMs } = this.#context;
    other.cancel = clock.after(ms, () => {
      const leftMs = other.heardMs + leaseMs - clock.elapsed();
      if (leftMs > 0) {
        this.#expect(node, other, leftMs);
        return;
      }
      this.#others.delete(node);
      for (const key of other.replica.keys()) this.roster.drop(node, key);
    });
  }

  #ask(of: string, other: Other): void {
    const nowMs = this.#context.clock.elapsed();
    if (nowMs - other.askedMs < ASK_MS) return;
    other.askedMs = nowMs;
    this.#say({ type: "ask", node: this.#context.node, of });
  }

  #apply(node: string, sightings: readonly Sighting[]): void {
    for (const { key, member } of sightings) {
      if (member === null) this.roster.drop(node, key);
      else this.roster.put(node, member);
    }
  }

  #say(notice: PresenceNotice): void {
    this.#context.notify?.(this.channel, notice);
  }

  #after(ms: number, act: () => void): void {
    const cancel = this.#context.clock.after(ms, () => {
      this.#cancels.delete(cancel);
      act();
    });
    this.#cancels.add(cancel);
  }
}

/** In lists that one notice can carry. */
function portions<One extends Pick<Sighting, "member">>(all: readonly One[]): One[][] {
  const lists: One[][] = [[]];
  let chars = 0;
  for (const one of all) {
    const size = one.member?.data.length ?? 0;
    const list = lists.at(-1)!;
    if (list.length === NOTICE_COUNT_MAX || (chars + size > NOTICE_CHARS_MAX && list.length > 0)) {
      lists.push([one]);
      chars = size;
    } else {
      list.push(one);
      chars += size;
    }
  }
  return lists;
}
