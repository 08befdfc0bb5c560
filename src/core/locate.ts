import type { Start } from "../protocol/from.ts";
import type { Position } from "../protocol/position.ts";
import type { Log, Page } from "./log.ts";
import { beforeFirst, positionAt, topOf } from "./resume.ts";

/** The position at which a reader begins. */
export async function locate(log: Pick<Log, "read">, channel: string, start: Start): Promise<Position> {
  if (start.type === "after") return start.position;
  const { head } = await read(log, channel, Number.MAX_SAFE_INTEGER, 0);
  if (head === null || start.type === "now") return topOf(head);
  if (start.type === "start") return beforeFirst(head);
  const offset = start.type === "last" ? head.top - start.count : await beforeTime(log, channel, start.atMs, head.first, head.top);
  return offset < head.first ? beforeFirst(head) : placeAt(log, channel, offset);
}

/** The present position at an offset, as far back as is retained. */
export async function placeAt(log: Pick<Log, "read">, channel: string, offset: number): Promise<Position> {
  const page = await read(log, channel, Math.max(0, offset - 1), 1);
  if (page.head === null || offset >= page.head.top) return topOf(page.head);
  return offset < page.head.first ? beforeFirst(page.head) : positionAt(page.head, page.entries, offset);
}

/** The last offset stored before a time: a binary search, since times in a log never go back. */
async function beforeTime(log: Pick<Log, "read">, channel: string, atMs: number, first: number, top: number): Promise<number> {
  let low = first;
  let high = top + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const entry = (await read(log, channel, middle - 1, 1)).entries[0];
    if (entry === undefined || entry.at >= atMs) high = middle;
    else low = Math.max(middle, entry.offset) + 1;
  }
  return low - 1;
}

function read(log: Pick<Log, "read">, channel: string, after: number, count: number): Promise<Page> {
  return log.read(channel, after, { count, bytes: Number.MAX_SAFE_INTEGER });
}
