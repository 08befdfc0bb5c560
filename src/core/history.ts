import type { Entry } from "../protocol/entry.ts";
import type { Start } from "../protocol/from.ts";
import type { Position } from "../protocol/position.ts";
import { locate, placeAt } from "./locate.ts";
import type { Head, Log, PageLimit } from "./log.ts";
import { epochOf, type Gap, readAfter, resume } from "./resume.ts";

/** Which page of a channel's history. */
export interface HistoryQuery {
  readonly from: Start;
  /** Instead of `from`: the messages that end just before this one. */
  readonly before?: Position;
  readonly limit: PageLimit;
}

/** A page of history. */
export interface History {
  readonly entries: readonly Entry[];
  readonly head: Head | null;
  readonly gap: Gap | null;
  /** Where to go on. */
  readonly position: Position;
  /** Nothing is stored beyond. */
  readonly upToDate: boolean;
}

/** Reads a page: what a reader would get that begins at the same place. */
export async function readHistory(log: Log, channel: string, query: HistoryQuery): Promise<History> {
  const { before, limit } = query;
  if (before === undefined) return readFrom(log, channel, await locate(log, channel, query.from), limit);
  // A page backwards never tells a gap: it has no position to lose.
  const start = await placeAt(log, channel, Math.max(0, before.offset - 1 - limit.count));
  const count = Math.min(limit.count, Math.max(0, before.offset - 1 - start.offset));
  const page = await readFrom(log, channel, start, { count, bytes: limit.bytes });
  return { ...page, gap: null };
}

async function readFrom(log: Log, channel: string, position: Position, limit: PageLimit): Promise<History> {
  const page = await log.read(channel, readAfter(position), { count: limit.count + 1, bytes: limit.bytes });
  const { gap, entries: all } = resume(position, page);
  const entries = all.slice(0, limit.count);
  const start = gap?.resumeFrom ?? position;
  const last = entries.at(-1);
  const end =
    last === undefined || page.head === null ? start : { epoch: epochOf(page.head, last.offset), offset: last.offset, tag: last.tag };
  return { entries, head: page.head, gap, position: end, upToDate: page.head === null || end.offset >= page.head.top };
}
