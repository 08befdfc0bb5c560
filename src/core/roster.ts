import type { Clock } from "../protocol/clock.ts";
import type { Limits } from "../protocol/limits.ts";
import { utf8Length } from "../protocol/message.ts";
import type { Member, PresenceChange, Shown } from "../protocol/presence.ts";
import { tagOf } from "./print.ts";
import { TagSum } from "./tag-sum.ts";

/** What a node says of a member. */
interface Claim {
  readonly owner: string;
  readonly member: Member;
}

interface Standing {
  shown: Shown;
  /** By the nodes that have it, one as a rule: a client that moved is held by the one before until its lease is over. */
  readonly claims: Claim[];
  /** The number of its last update among the changes. */
  updated: number;
}

/** Some of the members, in the order of their keys. */
export interface RosterPage {
  readonly members: readonly Shown[];
  /** Where the next page begins; null behind the last one. */
  readonly more: string | null;
  /** Where a watcher stands who has all pages from the first one on. */
  readonly position: string;
  readonly count: number;
}

interface Snapshot {
  readonly takenMs: number;
  /** The number of the last change that it has. */
  readonly number: number;
  readonly position: string;
  readonly keys: readonly string[];
  readonly members: readonly Shown[];
  /** Those that were asked for, by where they begin. */
  readonly pages: Map<string, RosterPage>;
  /** Members on them. */
  paged: number;
}

/** What brings a watcher on: all that it lacks, or as much of it as is written in one go. */
export interface Step {
  readonly changes: readonly PresenceChange[];
  /** Where the watcher stands then. */
  readonly position: string;
  readonly isAll: boolean;
}

interface Answer {
  readonly all: readonly PresenceChange[];
  readonly step: Step;
}

/** A snapshot of more than one page is taken at most so often: those that come in between are given the same, and what changed since. */
const SNAPSHOT_MS = 1_000;
/** Watchers stand where the last news led, or the one before, or for a while nowhere near: answers to as many are kept, since anyone may ask from anywhere. */
const ANSWERS_MAX = 8;
/** What a member takes beyond its name and data where it is told. */
const TOLD_BYTES = 120;

/** The name of a member within its channel. A client has no spaces, so no two pairs make one key. */
export function keyOf({ user, client }: Pick<Member, "user" | "client">): string {
  return `${client} ${user}`;
}

/**
 * Who is on a channel, by all nodes together: someone is there while any of them says so. Pure.
 *
 * A watcher is a position, as a reader is: the sum of what it knows. The last changes are kept with where they lead, so that it is told what it lacks;
 * whoever stands nowhere among them is given the members anew, in pages. Nothing is made or kept for a watcher.
 */
export class Roster {
  /** Told apart from any other roster by this. */
  readonly #name: string;
  readonly #limits: Limits;
  readonly #clock: Pick<Clock, "elapsed">;
  readonly #onChange: (change: PresenceChange) => void;
  readonly #standing = new Map<string, Standing>();
  readonly #sum = new TagSum();
  /** By their number, the oldest first. An update is taken out by a later one of the same member. */
  readonly #changes = new Map<number, PresenceChange>();
  /** The number of the last change that led to a position. */
  readonly #places: Map<string, number>;
  #changesBytes = 0;
  readonly #answers = new Map<number, Answer>();
  #last = 0;
  /** Changes up to this number are forgotten. */
  #floor = 0;
  #snapshot: Snapshot | null = null;

  constructor(name: string, limits: Limits, clock: Pick<Clock, "elapsed">, onChange: (change: PresenceChange) => void) {
    this.#name = name;
    this.#limits = limits;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#places = new Map([[this.position, 0]]);
  }

  /** Nobody was ever here. */
  get isUntouched(): boolean {
    return this.#last === 0;
  }

  get count(): number {
    return this.#sum.count;
  }

  get position(): string {
    return this.#sum.position;
  }

  get(key: string): Member | undefined {
    return this.#standing.get(key)?.shown.member;
  }

  /** All of them, in the order in which they came. */
  *members(): Iterable<Member> {
    for (const { shown } of this.#standing.values()) yield shown.member;
  }

  /** A node has this member. */
  put(owner: string, member: Member): void {
    const key = keyOf(member);
    const standing = this.#standing.get(key);
    if (standing === undefined) {
      const shown = show(key, member);
      const first = { shown, claims: [{ owner, member }], updated: 0 };
      this.#standing.set(key, first);
      this.#sum.add(shown.tag);
      this.#tell("join", first);
      return;
    }
    const own = standing.claims.findIndex((claim) => claim.owner === owner);
    standing.claims.splice(own < 0 ? standing.claims.length : own, 1, { owner, member });
    this.#judge(key, standing);
  }

  /** A node no longer has it. */
  drop(owner: string, key: string): void {
    const standing = this.#standing.get(key);
    const own = standing?.claims.findIndex((claim) => claim.owner === owner) ?? -1;
    if (standing === undefined || own < 0) return;
    standing.claims.splice(own, 1);
    if (standing.claims.length > 0) {
      this.#judge(key, standing);
      return;
    }
    this.#standing.delete(key);
    this.#sum.remove(standing.shown.tag);
    this.#tell("leave", standing);
  }

  /** What a watcher lacks that stands there, the same list for all of them; null if that is not known. */
  since(position: string): readonly PresenceChange[] | null {
    return this.#answer(position)?.all ?? null;
  }

  /** The first of it. */
  step(position: string): Step | null {
    return this.#answer(position)?.step ?? null;
  }

  /** The members whose key is behind `after`, empty for the first. */
  page(after = ""): RosterPage {
    const snapshot = this.#look();
    const known = snapshot.pages.get(after);
    if (known !== undefined) return known;
    const { keys, position, pages } = snapshot;
    const from = after === "" ? 0 : firstBehind(keys, after);
    const behind = snapshot.members.slice(from, from + this.#limits.presencePageMax);
    const members = this.#firstOf(behind);
    const to = from + members.length;
    const page = { members, more: to < keys.length ? keys[to - 1]! : null, position, count: keys.length };
    // A cursor may be made up: pages that begin nowhere are not kept, nor more of the others than make the whole twice
    if (after !== "" && keys[from - 1] !== after) return page;
    snapshot.paged += members.length;
    if (snapshot.paged > 2 * keys.length + this.#limits.presencePageMax) {
      pages.clear();
      snapshot.paged = members.length;
    }
    pages.set(after, page);
    return page;
  }

  #answer(position: string): Answer | null {
    const place = this.#placeOf(position);
    if (place === undefined || place < this.#floor) return null;
    let answer = this.#answers.get(place);
    if (answer === undefined) {
      const lacking = [...this.#changes].filter(([number]) => number > place);
      const all = lacking.map(([, change]) => change);
      const changes = this.#firstOf(all);
      const isAll = changes === all;
      // Before the last one it lacks updates that later ones have replaced: it does not know what the position there says, and its number alone is true
      const leads = isAll ? this.position : `${this.position}.${this.#name}.${lacking[changes.length - 1]![0]}`;
      answer = { all, step: { changes, position: leads, isAll } };
      if (this.#answers.size === ANSWERS_MAX) this.#answers.clear();
      this.#answers.set(place, answer);
    }
    return answer;
  }

  /** As many as one page of catching up has bytes, or one; the same list if those are all. */
  #firstOf<One extends Shown>(list: readonly One[]): readonly One[] {
    let bytes = 0;
    const end = list.findIndex((one, index) => {
      bytes += bytesOf(one);
      return index > 0 && bytes > this.#limits.catchUpBytesMax;
    });
    return end < 0 ? list : list.slice(0, end);
  }

  /**
   * Pages are read one after the other, and later ones may show what came and went since the first: the set is the same again then, and its sum, and yet
   * he who read that page must be told. So where pages lead is told with the number of the change, which is good on this roster alone.
   */
  #placeOf(position: string): number | undefined {
    const [count, sum, name, text] = position.split(".", 4);
    const number = Number(text);
    return name === this.#name && Number.isInteger(number) && number <= this.#last ? number : this.#places.get(`${count}.${sum}`);
  }

  #look(): Snapshot {
    const known = this.#snapshot;
    const nowMs = this.#clock.elapsed();
    const isLarge = this.count > this.#limits.presencePageMax;
    if (known !== null) {
      if (known.number === this.#last) return known;
      if (isLarge && nowMs - known.takenMs < SNAPSHOT_MS && this.since(known.position) !== null) return known;
    }
    const keys = [...this.#standing.keys()].sort();
    const members = keys.map((key) => this.#standing.get(key)!.shown);
    const position = `${this.position}.${this.#name}.${this.#last}`;
    this.#snapshot = { takenMs: nowMs, number: this.#last, position, keys, members, pages: new Map(), paged: 0 };
    return this.#snapshot;
  }

  /** Of several claims the latest is shown; of two alike, the same one on every node. */
  #judge(key: string, standing: Standing): void {
    const best = standing.claims.reduce((one, other) => (isLater(other, one) ? other : one));
    const { shown } = standing;
    if (best.member === shown.member) return;
    standing.shown = show(key, best.member);
    if (standing.shown.tag === shown.tag) return;
    this.#sum.remove(shown.tag);
    this.#sum.add(standing.shown.tag);
    this.#tell("update", standing);
  }

  #tell(type: PresenceChange["type"], standing: Standing): void {
    const { presenceChangesMax, pageBytesMax } = this.#limits;
    const number = ++this.#last;
    const change = { type, ...standing.shown, position: this.position };
    if (type === "update") {
      this.#forget(standing.updated);
      standing.updated = number;
    }
    this.#changes.set(number, change);
    this.#changesBytes += bytesOf(change);
    while (this.#changes.size > presenceChangesMax || (this.#changesBytes > pageBytesMax && this.#changes.size > 1)) {
      this.#floor = this.#changes.keys().next().value as number;
      this.#forget(this.#floor);
    }
    this.#places.delete(change.position);
    this.#places.set(change.position, number);
    if (this.#places.size > 2 * presenceChangesMax) this.#places.delete(this.#places.keys().next().value as string);
    this.#answers.clear();
    this.#onChange(change);
  }

  #forget(number: number): void {
    const change = this.#changes.get(number);
    if (change === undefined) return;
    this.#changes.delete(number);
    this.#changesBytes -= bytesOf(change);
  }
}

function show(key: string, member: Member): Shown {
  return { member, tag: tagOf(`${key}\n${member.data}`) };
}

function bytesOf({ member: { user, client, data } }: Shown): number {
  return TOLD_BYTES + user.length + client.length + utf8Length(data);
}

function isLater(one: Claim, other: Claim): boolean {
  return one.member.turn === other.member.turn ? one.owner > other.owner : one.member.turn > other.member.turn;
}

function firstBehind(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! > key) high = middle;
    else low = middle + 1;
  }
  return low;
}
