import type { Entry } from "../protocol/entry.ts";
import type { GapReason } from "../protocol/frame.ts";
import { NO_TAG, ORIGIN, type Position } from "../protocol/position.ts";
import type { Head, Page } from "./log.ts";

/** A loss, told to a reader in place of the messages. It is itself a position: reading goes on from `resumeFrom`. */
export interface Gap {
  readonly reason: GapReason;
  readonly since: Position;
  readonly resumeFrom: Position;
  readonly missing: number | null;
}

/** What a page means to the reader that asked for it. */
export interface Step {
  readonly gap: Gap | null;
  /** Contiguous, the first one right after the reader's position, or after the gap. */
  readonly entries: readonly Entry[];
}

/** The offset after which a reader at `position` must read, so that the page holds the entry its tag is compared with. */
export function readAfter(position: Position): number {
  return Math.max(0, position.offset - 1);
}

/**
 * PROTOCOL.md §6: may a reader at `position` go on with this page, read after `readAfter(position)`? The six rules, in its order.
 * Every page of catching up is judged so, not only the first: a log can be trimmed, cut or replaced between two reads.
 */
export function resume(position: Position, page: Page): Step {
  const { head, entries } = page;
  const since = position;
  const atOrigin = position.epoch === ORIGIN.epoch && position.offset === 0;
  if (head === null) {
    return atOrigin ? { gap: null, entries: [] } : { gap: { reason: "epoch", since, resumeFrom: ORIGIN, missing: null }, entries: [] };
  }
  const place = atOrigin ? 0 : head.lineage.findIndex((era) => era.epoch === position.epoch);
  if (place < 0) {
    return { gap: { reason: "epoch", since, resumeFrom: beforeFirst(head), missing: null }, entries: from(entries, head.first) };
  }
  const next = head.lineage[place + 1];
  const last = next === undefined ? head.top : next.start - 1;
  if (position.offset > last) {
    const keptFrom = Math.max(last, head.first - 1);
    const resumeFrom = positionAt(head, entries, keptFrom);
    // Only an epoch that another follows is known to have ended there: the newest may have lost its end unnoticed, and grown again over what this reader had
    const missing = next === undefined || next.isUnvouched ? null : keptFrom - last;
    return { gap: { reason: "truncated", since, resumeFrom, missing }, entries: from(entries, keptFrom + 1) };
  }
  if (position.offset < head.first - 1) {
    const missing = head.first - 1 - position.offset;
    return { gap: { reason: "trimmed", since, resumeFrom: beforeFirst(head), missing }, entries: from(entries, head.first) };
  }
  const present = tagAt(head, entries, position.offset);
  if (present !== position.tag && present !== NO_TAG && position.tag !== NO_TAG) {
    const resumeFrom = { epoch: epochOf(head, position.offset), offset: position.offset, tag: present };
    return { gap: { reason: "truncated", since, resumeFrom, missing: null }, entries: from(entries, position.offset + 1) };
  }
  return { gap: null, entries: from(entries, position.offset + 1) };
}

/** The position of the last entry: where `now` is. */
export function topOf(head: Head | null): Position {
  return head === null ? ORIGIN : { epoch: epochOf(head, head.top), offset: head.top, tag: head.topTag };
}

/** The position just before the first retained entry: where `start` is. */
export function beforeFirst(head: Head | null): Position {
  return head === null ? ORIGIN : { epoch: epochOf(head, head.first - 1), offset: head.first - 1, tag: head.boundaryTag };
}

/** The epoch that an offset belongs to. Offset 0, and what the lineage no longer remembers, belong to its oldest. */
export function epochOf(head: Head, offset: number): string {
  let epoch = head.lineage[0]!.epoch;
  for (const era of head.lineage) if (era.start <= offset) epoch = era.epoch;
  return epoch;
}

/** The position at an offset, its tag being NO_TAG where the page does not show it. */
export function positionAt(head: Head, entries: readonly Entry[], offset: number): Position {
  return { epoch: epochOf(head, offset), offset, tag: tagAt(head, entries, offset) };
}

function tagAt(head: Head, entries: readonly Entry[], offset: number): string {
  if (offset === head.top) return head.topTag;
  if (offset === head.first - 1) return head.boundaryTag;
  const first = entries[0];
  return first === undefined ? NO_TAG : (entries[offset - first.offset]?.tag ?? NO_TAG);
}

function from(entries: readonly Entry[], offset: number): readonly Entry[] {
  const first = entries[0];
  if (first === undefined || first.offset === offset) return entries;
  return first.offset > offset ? [] : entries.slice(offset - first.offset);
}
