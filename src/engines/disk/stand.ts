import type { Era, Head } from "../../core/log.ts";
import { NO_TAG } from "../../protocol/position.ts";

/** Where a channel's log stands: one row of the table `channels`. */
export interface Stand {
  /** Names the log's rows in the other tables; never used again. */
  readonly id: number;
  readonly lineage: readonly Era[];
  first: number;
  boundaryTag: string;
  top: number;
  topTag: string;
  /** `at` of entry `top`: time never goes back in a log. */
  lastAt: number;
  /** Bytes of all entries ever appended, and of those before `first`. */
  bytesTop: number;
  bytesBelow: number;
  /** The lowest offset whose row may still be there: trimming moves `first` at once, and deletes rows a bounded number at a time. */
  lowest: number;
  /** Keys remembered, and the oldest of them. */
  keyCount: number;
  oldestKey: { readonly offset: number; readonly at: number } | null;
}

export function newStand(id: number, epoch: string): Stand {
  return {
    id,
    lineage: [{ epoch, start: 1 }],
    first: 1,
    boundaryTag: NO_TAG,
    top: 0,
    topTag: NO_TAG,
    lastAt: 0,
    bytesTop: 0,
    bytesBelow: 0,
    lowest: 1,
    keyCount: 0,
    oldestKey: null,
  };
}

export function epochOf(stand: Stand): string {
  return (stand.lineage.at(-1) as Era).epoch;
}

export function headOf(stand: Stand, first: number, boundaryTag: string): Head {
  return { lineage: stand.lineage, first, boundaryTag, top: stand.top, topTag: stand.topTag };
}
