import type { Era, Head } from "../../core/log.ts";
import { NO_TAG } from "../../protocol/position.ts";
import { type Floors, NO_FLOORS } from "./floors.ts";
import type { Sheet } from "./record.ts";

/** How a channel's log stands after its last sheet. */
export interface Standing {
  /** Where that sheet stands in the stream; 0 if there is none. */
  readonly seq: number;
  readonly fence: string;
  readonly born: string;
  readonly bornAt: number;
  /** Empty if there is no log. */
  readonly lineage: readonly Era[];
  /** The last epoch of a log that was removed: what follows it gets a later one. */
  readonly removed: string | null;
  readonly floors: Floors;
  readonly keyTop: number;
  readonly top: number;
  readonly topTag: string;
  readonly lastAt: number;
  /** Bytes of all entries ever stored, and of all but the last. */
  readonly bytes: number;
  readonly belowTop: number;
}

export const NOTHING: Standing = {
  ...{ seq: 0, fence: "", born: "", bornAt: 0, lineage: [], removed: null, floors: NO_FLOORS, keyTop: 0 },
  ...{ top: 0, topTag: NO_TAG, lastAt: 0, bytes: 0, belowTop: 0 },
};

export function standingAfter(sheet: Sheet): Standing {
  const { seq, fence, born, bornAt, lineage, floors, keyTop } = sheet;
  const last = sheet.lines.at(-1);
  if (last === undefined) return { ...NOTHING, seq, removed: lineage.at(-1)!.epoch };
  const { offset: top, tag: topTag, at: lastAt, size } = last.entry;
  return {
    ...{ seq, fence, born, bornAt, lineage, removed: null, floors, keyTop },
    ...{ top, topTag, lastAt, bytes: last.below + size, belowTop: last.below },
  };
}

export function headOf({ lineage, top, topTag }: Standing, first: number, boundaryTag: string): Head {
  return { lineage, first, boundaryTag, top, topTag };
}
