import type { Performance as PerformanceOfNode } from "node:perf_hooks";
import type { Clock, Random } from "../protocol/clock.ts";

const LOOK_MS = 20;

/** Time as the machine has it. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs);
    timer.unref?.();
    return () => clearTimeout(timer);
  },
  soon: typeof setImmediate === "function" ? (act) => void setImmediate(act) : (act) => void setTimeout(act, 0),
  ...busyOfNode(),
};

/** Node's own measure, looked at every 20 ms or more, so that a few flushes are in it. */
function busyOfNode(): Pick<Clock, "busy"> {
  const node = performance as unknown as PerformanceOfNode;
  if (typeof node.eventLoopUtilization !== "function") return {};
  let from = node.eventLoopUtilization();
  let share = 0;
  return {
    busy() {
      const { active, idle, utilization } = node.eventLoopUtilization(from);
      if (active + idle >= LOOK_MS) {
        from = node.eventLoopUtilization();
        share = utilization;
      }
      return share;
    },
  };
}

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Bytes at 4 x 62 and above would make the first letters likelier than the rest: they are left out. */
const UNBIASED = 4 * LETTERS.length;
const POOL_LETTERS = 8192;

// Letters are made many at a time: a call into crypto for each tag costs a microsecond, a slice of this text 20 ns
let pool = "";
let used = 0;

function fillPool(): void {
  const letters = new Uint8Array(POOL_LETTERS);
  const bytes = new Uint8Array(POOL_LETTERS);
  for (let filled = 0; filled < POOL_LETTERS; ) {
    crypto.getRandomValues(bytes);
    for (const byte of bytes) {
      if (byte < UNBIASED && filled < POOL_LETTERS) letters[filled++] = LETTERS.charCodeAt(byte % LETTERS.length);
    }
  }
  pool = new TextDecoder().decode(letters);
  used = 0;
}

/** Chance from the operating system's generator: nobody outside can guess a tag or an epoch. */
export const systemRandom: Random = {
  fraction: () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32,
  letters(length) {
    if (used + length > pool.length) {
      if (length > POOL_LETTERS) throw new RangeError(`At most ${POOL_LETTERS} letters at a time, not ${length}.`);
      fillPool();
    }
    used += length;
    return pool.slice(used - length, used);
  },
};
