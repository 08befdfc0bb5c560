import type { Told } from "./log.ts";

type Follower = (told: Told) => void;

/** Who follows which channel inside this process: the bookkeeping of `Log.follow`, the same for every engine. */
export class Followers {
  // One object per call of follow, so that the same function may follow twice
  readonly #channels = new Map<string, Set<{ readonly follower: Follower }>>();
  readonly #waiting: { readonly channel: string; readonly told: Told }[] = [];
  readonly #onFault: (error: unknown) => void;
  #telling = false;

  /** `onFault` hears of a follower that threw: the others are told all the same. */
  constructor(onFault: (error: unknown) => void) {
    this.#onFault = onFault;
  }

  follow(channel: string, follower: Follower): () => void {
    const set = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, set);
    const one = { follower };
    set.add(one);
    return () => {
      set.delete(one);
      if (set.size === 0 && this.#channels.get(channel) === set) this.#channels.delete(channel);
    };
  }

  has(channel: string): boolean {
    return this.#channels.has(channel);
  }

  /** Tells all followers of a channel, before it returns unless it is called by a follower: then that one's turn is finished first, so that all see one order. */
  tell(channel: string, told: Told): void {
    if (this.#telling) {
      this.#waiting.push({ channel, told });
      return;
    }
    this.#telling = true;
    try {
      this.#tellNow(channel, told);
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#tellNow(next.channel, next.told);
    } finally {
      this.#telling = false;
    }
  }

  /** Tells every follower of every channel. */
  tellAll(told: Told): void {
    for (const channel of [...this.#channels.keys()]) this.tell(channel, told);
  }

  clear(): void {
    this.#channels.clear();
    this.#waiting.length = 0;
  }

  #tellNow(channel: string, told: Told): void {
    const set = this.#channels.get(channel);
    if (set === undefined) return;
    // A copy: one that follows now was not there when this happened, and one that has left is not told
    for (const one of [...set]) {
      if (!set.has(one)) continue;
      try {
        one.follower(told);
      } catch (error) {
        this.#onFault(error);
      }
    }
  }
}
