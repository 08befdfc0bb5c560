import type { Log } from "../core/log.ts";
import type { Clock, Random } from "../protocol/clock.ts";

/** A clock that the suite moves. */
export interface HandheldClock extends Clock {
  advance(ms: number): void;
  /** Moves the wall clock alone, forward or back. */
  setNow(nowMs: number): void;
}

/** Storage of its own for one test. */
export interface LogSubject {
  /** A Log on this storage, not opened. Called once more for each reopening, after the one before was closed. */
  make(): Log;
  readonly clock: HandheldClock;
  readonly random: Random;
  /** Called at the end, the last Log being closed: lets go of the storage. */
  dispose(): Promise<void>;
}

/** What an engine can do beyond the least. */
export interface LogPowers {
  /** What was stored is there after a close and an open. */
  readonly reopen: boolean;
  /** The log then goes on under its epoch. False: where it is not certain that it has all of its end, the next append begins another. Default: true. */
  readonly keepsEpoch?: boolean;
  readonly remove: boolean;
}
