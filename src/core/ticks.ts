import type { Cancel, Clock } from "../protocol/clock.ts";

/** So many of them may come at once after a standstill, of the sixty in a heartbeat: else two heartbeats of one connection would leave no time for its answer. */
const BEHIND_MAX = 15;

/**
 * Calls `act` every so many milliseconds until it is cancelled. Each is due by the first and not by the one before: on a busy machine all of them come late, and a heartbeat
 * that is late by sixty of them is a silence for which clients give up a server that only has much to do.
 */
export function ticks(clock: Pick<Clock, "elapsed" | "after">, everyMs: number, act: () => void): Cancel {
  let dueMs = clock.elapsed() + everyMs;
  let cancel = clock.after(everyMs, tick);

  function tick(): void {
    const nowMs = clock.elapsed();
    dueMs = Math.max(dueMs, nowMs - (BEHIND_MAX - 1) * everyMs) + everyMs;
    cancel = clock.after(Math.max(0, dueMs - nowMs), tick);
    act();
  }

  return () => cancel();
}
