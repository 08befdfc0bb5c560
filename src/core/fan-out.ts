import type { Clock } from "../protocol/clock.ts";
import type { Position } from "../protocol/position.ts";
import type { Codec, Outlet } from "./outlet.ts";
import type { SharedBatch } from "./tail.ts";

/** A reader in the live set, as the hot loop sees it. */
export interface LiveReader {
  readonly outlet: Outlet;
  /** The offset written last. */
  offset: number;
  /** Writes what it lacks of a batch after `before`, made for it alone: it joined while the batch was pending, or shares its codec with nobody. */
  catchUpTo(batch: SharedBatch, before: Position): void;
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
  readers: readonly (LiveReader | undefined)[],
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
    if (reader.offset !== base || encoded === null) reader.catchUpTo(batch, before);
    else if (reader.outlet.full()) reader.lag(before);
    else {
      reader.outlet.write(encoded);
      reader.offset = last;
    }
    if (++writes % WRITES_PER_LOOK === 0 && clock.elapsed() >= deadline) return index + 1;
  }
  return bound;
}
