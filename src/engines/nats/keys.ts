import { type Floors, isAbove, type Mark } from "./floors.ts";

/** A key as it is remembered: where its message stands, or stood. */
export interface KnownKey extends Mark {
  readonly key: string;
  readonly print: string;
  readonly epoch: string;
  readonly tag: string;
}

/** A message that holds keys whose own messages are deleted, or about to be. */
export interface Segment {
  readonly seq: number;
  /** When its youngest key was made. */
  readonly lastAt: number;
}

export interface Expired {
  readonly places: number;
  readonly keys: number;
}

const NONE_EXPIRED: Expired = { places: 0, keys: 0 };

/** A key is kept for `keyMsMin` or while its message is retained, whichever is longer (D5). */
export function isKept(known: KnownKey, floors: Floors, nowMs: number, keyMsMin: number): boolean {
  return isAbove(known, floors) || nowMs - known.at < keyMsMin;
}

/** The idempotency keys of one channel, as the log and its segments say. */
export class KeyTable {
  readonly #byKey = new Map<string, KnownKey>();
  /** In the order of their offsets, which is that of their ages; those before `#start` are dropped. */
  #byAge: KnownKey[] = [];
  #start = 0;
  /** Keys up to this offset stand in segments, or need not be kept. */
  through = 0;
  segments: Segment[] = [];
  /** The last message where the segments are, of whatever log. */
  lastSegmentSeq = 0;

  get size(): number {
    return this.#byKey.size;
  }

  find(key: string): KnownKey | undefined {
    return this.#byKey.get(key);
  }

  /** Keys are added in the order of their offsets; one that is there already is passed over. */
  add(known: KnownKey): void {
    const last = this.#byAge.at(-1);
    if (this.#byAge.length > this.#start && last !== undefined && known.offset <= last.offset) return;
    this.#byKey.set(known.key, known);
    this.#byAge.push(known);
  }

  /** Drops what need not be kept: always the oldest. */
  drop(floors: Floors, nowMs: number, keyMsMin: number): void {
    for (let oldest = this.#byAge[this.#start]; oldest !== undefined; oldest = this.#byAge[this.#start]) {
      if (isKept(oldest, floors, nowMs, keyMsMin)) break;
      // An expired key may have been used again: then the table has its younger self
      if (this.#byKey.get(oldest.key) === oldest) this.#byKey.delete(oldest.key);
      this.#start++;
    }
    if (this.#start > 1_000 && this.#start * 2 > this.#byAge.length) {
      this.#byAge = this.#byAge.slice(this.#start);
      this.#start = 0;
    }
  }

  /** How many of the oldest would be dropped, which stay as they are: `done` is what was counted before under lower floors. */
  expired(floors: Floors, nowMs: number, keyMsMin: number, done: Expired = NONE_EXPIRED): Expired {
    let { places, keys } = done;
    for (let next = this.#byAge[this.#start + places]; next !== undefined; next = this.#byAge[this.#start + places]) {
      if (isKept(next, floors, nowMs, keyMsMin)) break;
      places++;
      if (this.#byKey.get(next.key) === next) keys++;
    }
    return { places, keys };
  }

  /** Those after one offset, up to another. */
  between(after: number, upTo: number): KnownKey[] {
    const from = Math.max(this.#start, firstIndex(this.#byAge, after + 1));
    return this.#byAge.slice(from, Math.max(from, firstIndex(this.#byAge, upTo + 1)));
  }
}

/** The index of the first one at an offset or behind it. */
function firstIndex(byAge: readonly KnownKey[], offset: number): number {
  let [low, high] = [0, byAge.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byAge[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
