import type { Cancel, Clock, Random } from "../../src/protocol/clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly act: () => void;
}

/** A clock that stands still until a test moves it. */
export interface HandClock extends Clock {
  /** Moves time on, firing timers in the order they fall due, and what each `soon` asked for, until `ms` have passed. Does not wait for promises. */
  advance(ms: number): void;
  /** Like `advance`, but lets promises settle before and after each timer. */
  advanceAsync(ms: number): Promise<void>;
  /** Runs what `soon` asked for, and what that asked for. */
  turn(): void;
  /** Sets the wall clock alone, as an operator or NTP may; timers and `elapsed` do not notice. */
  setNow(nowMs: number): void;
  /** Timers that have not fired: 0 proves that whoever set them has stopped them. */
  readonly timers: number;
}

export function handClock(startMs = Date.UTC(2026, 0, 1)): HandClock {
  let elapsedMs = 0;
  let wallMs = startMs;
  let order = 0;
  const timers = new Set<Timer>();
  let asked: (() => void)[] = [];

  function turn(): void {
    for (let turns = 0; asked.length > 0; turns++) {
      if (turns === 100_000) throw new Error("The clock's soon() was asked for again 100,000 times without end.");
      const acts = asked;
      asked = [];
      for (const act of acts) act();
    }
  }

  /** The next timer due by `untilMs`, with time moved to it; or null, with time moved to `untilMs`. */
  function step(untilMs: number): Timer | null {
    let next: Timer | null = null;
    for (const timer of timers) {
      if (timer.dueMs > untilMs) continue;
      if (next === null || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.order < next.order)) next = timer;
    }
    const toMs = Math.max(elapsedMs, next?.dueMs ?? untilMs);
    wallMs += toMs - elapsedMs;
    elapsedMs = toMs;
    if (next !== null) timers.delete(next);
    return next;
  }

  return {
    now: () => Math.floor(wallMs),
    elapsed: () => elapsedMs,
    after(delayMs, act): Cancel {
      const timer: Timer = { dueMs: elapsedMs + Math.max(0, delayMs), order: order++, act };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    soon(act) {
      asked.push(act);
    },
    turn,
    advance(ms) {
      const untilMs = elapsedMs + ms;
      turn();
      for (let next = step(untilMs); next !== null; next = step(untilMs)) {
        next.act();
        turn();
      }
    },
    async advanceAsync(ms) {
      const untilMs = elapsedMs + ms;
      await settle();
      turn();
      await settle();
      for (let next = step(untilMs); next !== null; next = step(untilMs)) {
        next.act();
        await settle();
        turn();
        await settle();
      }
    },
    setNow(nowMs) {
      wallMs = nowMs;
    },
    get timers() {
      return timers.size;
    },
  };
}

/** Lets all promises that can settle without a timer do so. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** Chance that one seed replays (mulberry32). Print the seed where a test fails. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  function fraction(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  return {
    fraction,
    letters(length) {
      let word = "";
      for (let index = 0; index < length; index++) word += LETTERS[Math.floor(fraction() * LETTERS.length)];
      return word;
    },
  };
}
