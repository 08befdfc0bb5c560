import type { Retention } from "./log.ts";

/** True once an entry stored at `atMs` has reached its age: it is no longer given, whether or not it was deleted yet. */
export function isPastAge(atMs: number, nowMs: number, retention: Retention): boolean {
  return nowMs - atMs >= retention.secondsMax * 1000;
}

/**
 * True while a log of `count` entries and `bytes` is larger than it may be. The newest entry always stays: a message larger than
 * `bytesMax` would otherwise be acknowledged and gone in the same step.
 */
export function isTooLarge(count: number, bytes: number, retention: Retention): boolean {
  return count > 1 && (count > retention.countMax || bytes > retention.bytesMax);
}

/**
 * The first offset of `first … top` that is kept, or `top + 1`. What is kept is always a suffix, so the search doubles its stride from
 * `first` and then halves it: one question where nothing is to be trimmed, two where one entry is, a few where a million are.
 */
export function firstKept(first: number, top: number, isKept: (offset: number) => boolean): number {
  if (first > top || isKept(first)) return first;
  let trimmed = first;
  let stride = 1;
  while (trimmed + stride <= top && !isKept(trimmed + stride)) {
    trimmed += stride;
    stride *= 2;
  }
  let kept = Math.min(trimmed + stride, top + 1);
  while (kept - trimmed > 1) {
    const middle = trimmed + Math.floor((kept - trimmed) / 2);
    if (isKept(middle)) kept = middle;
    else trimmed = middle;
  }
  return kept;
}

/** An idempotency key as an engine remembers it: where its message stands, or stood. */
export interface KnownKey {
  readonly print: string;
  readonly epoch: string;
  readonly offset: number;
  readonly tag: string;
  readonly at: number;
}

/**
 * A key is kept for `keySecondsMin` or while its message is retained, whichever is longer (D5). Keys are made in the order of offsets
 * and of time, so those that are no longer kept are always the oldest: one look at the oldest tells whether there is any.
 */
export function isKeyKept(
  key: { readonly at: number; readonly offset: number },
  first: number,
  nowMs: number,
  secondsMin: number,
): boolean {
  return key.offset >= first || nowMs - key.at < secondsMin * 1000;
}
