import type { Clock } from "../protocol/clock.ts";
import type { Position } from "../protocol/position.ts";
import type { LiveSet, Placed } from "./live-set.ts";
import type { Codec } from "./outlet.ts";
import type { SharedBatch } from "./tail.ts";

/** A reader in the live set, as the hot loop sees it. */
export interface LiveReader extends Placed {
  /** Writes what it lacks of a batch after `before`, `offset` being the last it was written, made for it alone: it joined while the batch was pending, or shares its codec with nobody. */
  catchUpTo(batch: SharedBatch, before: Position, offset: number): void;
  /** Its outlet was full before the message after `position` could be written: it leaves the live set. */
  lag(position: Position): void;
}

/** How many writes between two looks at the clock: some 100 microseconds of work. */
const WRITES_PER_LOOK = 16;

/**
 * The seam of the hot path: the same bytes to many readers, one write each. Everything that costs per delivery is in this loop, and
 * nearly all of it is the kernel's (reference: two thirds of 6-10 us a write). A native writer could take its place.
 *
 * It stops at the deadline and returns where to go on, because 5,000 writes in one go keep the event loop for 50 ms; a count of
 * writes instead of a time does not bound it, since large batches make slower writes. Readers that join meanwhile stand
 * at or beyond `bound` and have the batch already; those that leave are undefined in their place.
 */
export function fanOut(
  { readers, outlets, offsets }: LiveSet<LiveReader>,
  from: number,
  bound: number,
  codec: Codec,
  before: Position,
  batch: SharedBatch,
  clock: Clock,
  deadline: number,
): number {
  const base = before.offset;
  const last = batch.last.offset;
  // What is made for one reader must be written to it: whether it has room is asked first.
  const encoded = codec.shared ? batch.encode(codec, before.epoch) : null;
  let writes = 0;
  for (let index = from; index < bound; index++) {
    const reader = readers[index];
    if (reader === undefined) continue;
    const offset = offsets[index]!;
    if (offset !== base || encoded === null) {
      if (offset < last) reader.catchUpTo(batch, before, offset);
    } else if (outlets[index]!.full()) reader.lag(before);
    else outlets[index]!.write(encoded);
    if (offset < last) offsets[index] = last;
    if (++writes % WRITES_PER_LOOK === 0 && clock.elapsed() >= deadline) return index + 1;
  }
  return bound;
}
