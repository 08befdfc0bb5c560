import { randomBytes, randomFillSync } from "node:crypto";
import type { Clock, Random } from "../protocol/clock.ts";

/** Time as the machine has it. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs);
    timer.unref?.();
    return () => clearTimeout(timer);
  },
  soon(act) {
    setImmediate(act);
  },
};

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Bytes at 4 x 62 and above would make the first letters likelier than the rest: they are left out. */
const UNBIASED = 4 * LETTERS.length;
const POOL_LETTERS = 8192;

// letters are made many at a time: a call into crypto for each tag costs a microsecond, a slice of this text 20 ns
let pool = "";
let used = 0;

function fillPool(): void {
  const letters = Buffer.alloc(POOL_LETTERS);
  const bytes = Buffer.alloc(POOL_LETTERS);
  for (let filled = 0; filled < POOL_LETTERS; ) {
    randomFillSync(bytes);
    for (const byte of bytes) {
      if (byte < UNBIASED && filled < POOL_LETTERS) letters[filled++] = LETTERS.charCodeAt(byte % LETTERS.length);
    }
  }
  pool = letters.toString("latin1");
  used = 0;
}

/** Chance from the operating system's generator: nobody outside can guess a tag or an epoch. */
export const systemRandom: Random = {
  fraction: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  letters(length) {
    if (used + length > pool.length) {
      if (length > POOL_LETTERS) throw new RangeError(`At most ${POOL_LETTERS} letters at a time, not ${length}.`);
      fillPool();
    }
    used += length;
    return pool.slice(used - length, used);
  },
};
