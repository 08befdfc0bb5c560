import type { Page, PageLimit, Retention } from "../../core/log.ts";
import { firstKept, isPastAge } from "../../core/retention.ts";
import type { Entry } from "../../protocol/entry.ts";
import type { Store } from "./environment.ts";
import { headOf } from "./stand.ts";
import { entryOf, markOf, readStand } from "./tables.ts";

/** Entries after an offset, and the head of the same moment: no await stands between, so LMDB answers from one snapshot. */
export function readPage(
  store: Pick<Store, "get">,
  channel: string,
  after: number,
  limit: PageLimit,
  retention: Retention,
  nowMs: number,
): Page {
  const stand = readStand(store, channel);
  if (stand === null) return { head: null, entries: [] };
  const mark = (offset: number) => markOf(store, channel, stand.id, offset);
  // What is past its age is passed over, whether or not it was trimmed yet
  const first = firstKept(stand.first, stand.top, (offset) => !isPastAge(mark(offset).at, nowMs, retention));
  const boundaryTag = first > stand.first ? mark(first - 1).tag : stand.boundaryTag;
  const entries: Entry[] = [];
  let bytes = 0;
  for (let offset = Math.max(after + 1, first); offset <= stand.top && entries.length < limit.count; offset++) {
    const entry = entryOf(store, channel, stand.id, offset);
    bytes += entry.size;
    if (bytes > limit.bytes && entries.length > 0) break;
    entries.push(entry);
  }
  return { head: headOf(stand, first, boundaryTag), entries };
}
