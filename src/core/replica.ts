import type { Member } from "../protocol/presence.ts";
import { tagOf } from "./print.ts";
import { keyOf } from "./roster.ts";
import { TagSum } from "./tag-sum.ts";

/** A node says of one of its own members that it came, was altered, or (null) went. `n` counts what the node has said on this channel. */
export interface Sighting {
  readonly n: number;
  readonly key: string;
  readonly member: Member | null;
}

/** What a node has, after so many sightings. */
export interface Digest {
  readonly n: number;
  readonly count: number;
  readonly sum: number;
}

/** All that a node has behind one key up to another (null: to the end), after so many sightings. */
export interface Stretch {
  readonly n: number;
  readonly after: string;
  readonly upTo: string | null;
  readonly members: readonly Sighting[];
}

interface Entry {
  readonly n: number;
  /** Null: it went. Kept until a digest has shown that nothing older can matter. */
  readonly member: Member | null;
  readonly tag: number;
}

/**
 * What one node says of its members, as another holds it. One node alone writes, and numbers what it says; of each member the highest number is
 * right. So notices may come in any order, twice or not at all: what came is never undone by what is older, and a digest that differs says that something is
 * lacking, which a stretch then brings. Pure. Each act returns what it altered.
 */
export class Replica {
  readonly #entries = new Map<string, Entry>();
  readonly #sum = new TagSum();
  readonly #membersMax: number;
  /** The highest number that was heard of. */
  #top = 0;
  /** A digest has shown that everything up to this number is known. */
  #floor = 0;

  constructor(membersMax: number) {
    this.#membersMax = membersMax;
  }

  /** The keys of those that are there. */
  *keys(): Iterable<string> {
    for (const [key, { member }] of this.#entries) if (member !== null) yield key;
  }

  hear(sighting: Sighting): readonly Sighting[] {
    this.#top = Math.max(this.#top, sighting.n);
    return sighting.n > this.#floor && this.#set(sighting) ? [sighting] : [];
  }

  /** `old`: it says nothing that is not known. `same`: this is what the node has. `differs`: something is lacking. */
  compare({ n, count, sum }: Digest): "old" | "same" | "differs" {
    if (n < this.#top) return "old";
    this.#top = n;
    if (count !== this.#sum.count || sum !== this.#sum.sum) return "differs";
    this.#floor = n;
    this.#forgetGone();
    return "same";
  }

  take({ n, after, upTo, members }: Stretch): readonly Sighting[] {
    if (n < this.#floor) return [];
    this.#top = Math.max(this.#top, n);
    const listed = new Set(members.map(({ key }) => key));
    const gone: Sighting[] = [];
    for (const [key, entry] of this.#entries) {
      // One of whom something later is known stays: `set` sees to that
      const isWithin = key > after && (upTo === null || key <= upTo);
      if (isWithin && entry.member !== null && !listed.has(key)) gone.push({ n, key, member: null });
    }
    return [...gone, ...members].filter((sighting) => this.#set(sighting));
  }

  #set({ n, key, member }: Sighting): boolean {
    const known = this.#entries.get(key);
    if (known !== undefined && known.n >= n) return false;
    const isThere = known !== undefined && known.member !== null;
    // More than a node may have is not believed
    if (!isThere && member !== null && this.#sum.count >= this.#membersMax) return false;
    if (isThere) this.#sum.remove(known.tag);
    const tag = member === null ? 0 : tagOf(`${keyOf(member)}\n${member.data}`);
    if (member !== null) this.#sum.add(tag);
    this.#entries.set(key, { n, member, tag });
    // Nobody has shown for long that they match: one that comes late may be believed for a moment then
    if (this.#entries.size > 2 * this.#membersMax) this.#forgetGone();
    return isThere || member !== null;
  }

  #forgetGone(): void {
    for (const [key, { member }] of this.#entries) if (member === null) this.#entries.delete(key);
  }
}
