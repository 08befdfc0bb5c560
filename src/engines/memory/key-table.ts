import { isKeyKept, type KnownKey } from "../../core/retention.ts";
import { Ring } from "./ring.ts";

/** Expired keys dropped per call: more than one, so that the table shrinks faster than it grows; few, so that no call is long. */
const DROPPED_PER_CALL_MAX = 64;

interface Remembered extends KnownKey {
  readonly key: string;
}

/** The idempotency keys of one channel, found by key and dropped by age. */
export class KeyTable {
  readonly #byKey = new Map<string, Remembered>();
  /** Oldest first; a Map's own order would be walked past its deleted places each time. */
  readonly #byAge = new Ring<Remembered>();

  get size(): number {
    return this.#byKey.size;
  }

  find(key: string): KnownKey | undefined {
    return this.#byKey.get(key);
  }

  remember(key: string, known: KnownKey): void {
    const remembered = { ...known, key };
    this.#byKey.set(key, remembered);
    this.#byAge.push(remembered);
  }

  /** Drops the oldest keys that need not be kept, a bounded number of them. True if any are left to drop. */
  drop(first: number, nowMs: number, secondsMin: number): boolean {
    for (let dropped = 0; this.#byAge.length > 0; dropped++) {
      const oldest = this.#byAge.at(0);
      if (isKeyKept(oldest, first, nowMs, secondsMin)) return false;
      if (dropped === DROPPED_PER_CALL_MAX) return true;
      this.#byAge.shift();
      // An expired key may have been used again: then the table has its younger self
      if (this.#byKey.get(oldest.key) === oldest) this.#byKey.delete(oldest.key);
    }
    return false;
  }
}
