import type { Retention } from "../../core/log.ts";

/**
 * What is trimmed, said without looking at it: entries below an offset, entries with fewer bytes before them than so many, and entries that are no younger than a time. An append
 * raises the floors, which stand in its sheet; so it trims in the same step, and needs to know nothing of the entries that it trims. Whoever reads finds the first one above all three.
 */
export interface Floors {
  readonly count: number;
  readonly bytes: number;
  readonly at: number;
}

export const NO_FLOORS: Floors = { count: 1, bytes: 0, at: 0 };

/** Where an entry stands, as far as trimming asks. */
export interface Mark {
  readonly offset: number;
  readonly below: number;
  readonly at: number;
}

export function isAbove({ offset, below, at }: Mark, floors: Floors): boolean {
  return offset >= floors.count && below >= floors.bytes && at > floors.at;
}

/** The floors by age alone, as of now. */
export function aged(floors: Floors, nowMs: number, { secondsMax }: Retention): Floors {
  const at = nowMs - secondsMax * 1_000;
  return at > floors.at ? { ...floors, at } : floors;
}

/** The floors of a log whose newest entry is `newest`, of so many bytes. The newest is spared by all but its age. */
export function raised(floors: Floors, newest: Mark, size: number, { countMax, bytesMax }: Retention): Floors {
  const { offset, below } = newest;
  const isAlone = size > bytesMax;
  return {
    count: Math.max(floors.count, isAlone ? offset : offset - Math.max(1, countMax) + 1),
    bytes: Math.max(floors.bytes, isAlone ? 0 : below + size - bytesMax),
    at: floors.at,
  };
}
