import type { Cancel, Clock } from "../../src/protocol/clock.ts";

interface Due {
  readonly atMs: number;
  readonly order: number;
  act: (() => void) | null;
  readonly owner: Owner;
}

/** Whoever sets timers: a server node, a client, the network. What is dead is not woken any more. */
export interface Owner {
  isAlive: boolean;
  /** Timers that have not fired: 0 when all is closed (D7). */
  timers: number;
  readonly wall: Wall;
}

/** The clock on the wall of a machine, which may be set, forward and back, while the durations that it measures go on. */
export interface Wall {
  /** Ahead of the true time by so much. */
  skewMs: number;
  /** When it was set last, in the time of the story. */
  setAtMs: number;
}

export function newWall(): Wall {
  return { skewMs: 0, setAtMs: Number.NEGATIVE_INFINITY };
}

export function newOwner(wall = newWall()): Owner {
  return { isAlive: true, timers: 0, wall };
}

/** The wall clock at the beginning of every story. */
export const STORY_BEGINS_MS = Date.UTC(2026, 0, 1);

/** Acts in one moment, beyond which time is taken to stand still. */
const ACTS_PER_MOMENT_MAX = 20_000;

/**
 * The one time of a story: what is due next happens next, whoever asked for it. Between two acts promises settle, as they do between two
 * turns of an event loop.
 */
export class Time {
  nowMs = 0;
  readonly #due: Due[] = [];
  #order = 0;

  /** Calls `act` in so many milliseconds, if `owner` is still alive then. */
  after(delayMs: number, act: () => void, owner: Owner): Cancel {
    const due: Due = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, act, owner };
    owner.timers++;
    push(this.#due, due);
    return () => {
      if (due.act === null) return;
      due.act = null;
      owner.timers--;
    };
  }

  /** Time as one owner has it. */
  clockOf(owner: Owner): Clock {
    return {
      now: () => STORY_BEGINS_MS + Math.floor(this.nowMs) + owner.wall.skewMs,
      elapsed: () => this.nowMs,
      after: (delayMs, act) => this.after(delayMs, act, owner),
      soon: (act) => void this.after(0, act, owner),
    };
  }

  /** Lets all happen that is due until then. Rejects if time stands still. */
  passUntil(untilMs: number): Promise<void> {
    let momentMs = -1;
    let acts = 0;
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          const due = this.#next(untilMs);
          if (due === null) {
            this.nowMs = Math.max(this.nowMs, untilMs);
            resolve();
            return;
          }
          if (due.atMs > momentMs) {
            momentMs = due.atMs;
            acts = 0;
          } else if (++acts > ACTS_PER_MOMENT_MAX)
            throw new Error(`Time stands still at ${momentMs} ms: one act begets the next without end.`);
          this.nowMs = Math.max(this.nowMs, due.atMs);
          const { act } = due;
          due.act = null;
          due.owner.timers--;
          act?.();
          setImmediate(turn);
        } catch (error) {
          reject(error);
        }
      };
      setImmediate(turn);
    });
  }

  pass(ms: number): Promise<void> {
    return this.passUntil(this.nowMs + ms);
  }

  #next(untilMs: number): Due | null {
    for (;;) {
      const first = this.#due[0];
      if (first === undefined) return null;
      if (first.act !== null && first.owner.isAlive) {
        if (first.atMs > untilMs) return null;
        pop(this.#due);
        return first;
      }
      pop(this.#due);
      if (first.act === null) continue;
      first.act = null;
      first.owner.timers--;
    }
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** A binary heap, the earliest first. */
function push(heap: Due[], due: Due): void {
  let at = heap.push(due) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(due, heap[parent]!)) break;
    heap[at] = heap[parent]!;
    at = parent;
  }
  heap[at] = due;
}

function pop(heap: Due[]): void {
  const last = heap.pop()!;
  if (heap.length === 0) return;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
    if (!isBefore(heap[child]!, last)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = last;
}
