import { Followers } from "../../core/followers.ts";
import type { Page, PageLimit, Told } from "../../core/log.ts";
import { epochOf, readAfter, resume, topOf } from "../../core/resume.ts";
import type { Entry } from "../../protocol/entry.ts";
import type { Position } from "../../protocol/position.ts";

/** What is read for one look, and so often. Who is further behind is told to look for himself. */
const LOOK: PageLimit = { count: 1_024, bytes: 1024 * 1024 };
const PAGES_MAX = 16;

export interface WatchContext {
  /** Reads the log as it is now, in this very turn. */
  readonly read: (channel: string, after: number, limit: PageLimit) => Page;
  /** The first follower of a channel has come. */
  readonly began: (channel: string) => void;
  /** The last has gone. */
  readonly ended: (channel: string) => void;
  readonly warn: (sentence: string) => void;
}

/**
 * What a worker follows. It is woken, and then reads what is new: no turn of the event loop stands between reading and telling, so what the followers were told is
 * always one place, and a look that finds nothing costs one row.
 */
export class Watch {
  readonly #context: WatchContext;
  readonly #followers: Followers;
  /** Of each followed channel what its followers were told last; null where it could not be read. The one looked at longest ago comes first. */
  readonly #places = new Map<string, Position | null>();
  /** Places at which a look found the next messages trimmed: they may be on their way. */
  readonly #doubted = new Map<string, Position>();

  constructor(context: WatchContext) {
    this.#context = context;
    this.#followers = new Followers((error) => context.warn(`A follower of the disk engine failed: ${String(error)}`));
  }

  get channels(): readonly string[] {
    return [...this.#places.keys()];
  }

  has(channel: string): boolean {
    return this.#places.has(channel);
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    const unfollow = this.#followers.follow(channel, follower);
    if (!this.#places.has(channel)) {
      this.#places.set(channel, this.#top(channel));
      this.#context.began(channel);
    }
    return () => {
      unfollow();
      if (!this.#followers.has(channel) && this.#places.delete(channel)) {
        this.#doubted.delete(channel);
        this.#context.ended(channel);
      }
    };
  }

  /** Tells the followers of a channel what they do not know. */
  look(channel: string): void {
    const known = this.#places.get(channel);
    if (known === undefined) return;
    try {
      if (known !== null) this.#tellNews(channel, known);
      else this.#tellChanged(channel, topOf(this.#read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 }).head));
    } catch {
      // Readers say what is wrong with it
      this.#places.set(channel, null);
      this.#followers.tell(channel, { type: "changed" });
    }
  }

  /** Tells the followers of a channel that keeps little what was stored there, so far as they do not know it. */
  told(channel: string, epoch: string, all: readonly Entry[]): void {
    const known = this.#places.get(channel);
    if (known === undefined) return;
    const isNext =
      known !== null && (known.epoch === epoch ? all[0]!.offset <= known.offset + 1 : known.offset === 0 && all[0]!.offset === 1);
    if (!isNext) {
      this.look(channel);
      return;
    }
    const entries = known.epoch === epoch ? all.filter(({ offset }) => offset > known.offset) : all;
    if (entries.length > 0) this.#tell(channel, epoch, entries);
  }

  /** Looks at those that were looked at longest ago: a wake-up may have been lost. */
  lookAtSome(count: number): void {
    for (const channel of this.channels.slice(0, count)) {
      this.look(channel);
      const place = this.#places.get(channel);
      if (this.#places.delete(channel) && place !== undefined) this.#places.set(channel, place);
    }
  }

  clear(): void {
    this.#followers.clear();
    this.#places.clear();
    this.#doubted.clear();
  }

  #tellNews(channel: string, from: Position): void {
    let known = from;
    for (let pages = 0; ; pages++) {
      const page = this.#pageAfter(channel, known);
      const top = topOf(page.head);
      const { gap, entries } = resume(known, page);
      if (gap === null && top.epoch === known.epoch && top.offset === known.offset) return;
      if (gap?.reason === "trimmed" && this.#doubted.get(channel) !== known) {
        this.#doubted.set(channel, known);
        return;
      }
      if (gap !== null || page.head === null || entries.length === 0 || pages === PAGES_MAX) {
        this.#tellChanged(channel, top);
        return;
      }
      for (let first = 0; first < entries.length; ) {
        const epoch = epochOf(page.head, entries[first]!.offset);
        const next = entries.findIndex(({ offset }, index) => index > first && epochOf(page.head!, offset) !== epoch);
        const told = entries.slice(first, next < 0 ? entries.length : next);
        first += told.length;
        known = this.#tell(channel, epoch, told);
      }
      // A follower may have left in its turn
      if (!this.#places.has(channel) || known.offset === top.offset) return;
    }
  }

  /** A page that has the entry at the position, whose tag is compared, and more than that. */
  #pageAfter(channel: string, known: Position): Page {
    const after = readAfter(known);
    const page = this.#read(channel, after, { count: LOOK.count + 1, bytes: LOOK.bytes });
    const { head, entries } = page;
    if (head === null || head.top <= known.offset || entries.length !== 1 || entries[0]!.offset !== known.offset) return page;
    return this.#read(channel, after, { count: 2, bytes: Number.MAX_SAFE_INTEGER });
  }

  #read(channel: string, after: number, limit: PageLimit): Page {
    return this.#context.read(channel, after, limit);
  }

  #top(channel: string): Position | null {
    try {
      return topOf(this.#read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 }).head);
    } catch {
      return null;
    }
  }

  #tell(channel: string, epoch: string, entries: readonly Entry[]): Position {
    const { offset, tag } = entries.at(-1)!;
    const known = { epoch, offset, tag };
    this.#places.set(channel, known);
    this.#followers.tell(channel, { type: "appended", epoch, entries });
    return known;
  }

  #tellChanged(channel: string, known: Position): void {
    this.#places.set(channel, known);
    this.#followers.tell(channel, { type: "changed" });
  }
}
