import type { Entry } from "../protocol/entry.ts";
import type { Start } from "../protocol/from.ts";
import type { Position } from "../protocol/position.ts";
import { locate, placeAt } from "./locate.ts";
import type { Head, Log, PageLimit } from "./log.ts";
import { readPage } from "./page.ts";
import { epochOf, type Gap, resume } from "./resume.ts";

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
  return before === undefined
    ? readFrom(log, channel, await locate(log, channel, query.from), limit)
    : readBefore(log, channel, before.offset, limit);
}

/** Backwards: the messages that end just before an offset, and no gap, since a page has no position to lose. */
async function readBefore(log: Log, channel: string, before: number, limit: PageLimit): Promise<History> {
  const { head } = await log.read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 });
  const end = Math.min(before - 1, head?.top ?? 0);
  // A log fills a page from its beginning. Where not all of it fits, half of it is asked for, so that it still ends where it should.
  for (let asked = limit.count; ; asked = Math.floor(asked / 2)) {
    const start = await placeAt(log, channel, Math.max(0, end - asked));
    const count = Math.min(asked, Math.max(0, end - start.offset));
    const page = await readFrom(log, channel, start, { count, bytes: limit.bytes });
    if (asked <= 1 || page.entries.length === 0 || page.entries.at(-1)!.offset >= end) return { ...page, gap: null };
  }
}

async function readFrom(log: Log, channel: string, position: Position, limit: PageLimit): Promise<History> {
  const page = await readPage(log, channel, position, limit);
  const { gap, entries: all } = resume(position, page);
  const entries = all.slice(0, limit.count);
  const start = gap?.resumeFrom ?? position;
  const last = entries.at(-1);
  const end =
    last === undefined || page.head === null ? start : { epoch: epochOf(page.head, last.offset), offset: last.offset, tag: last.tag };
  return { entries, head: page.head, gap, position: end, upToDate: page.head === null || end.offset >= page.head.top };
}
