import type { Entry } from "../protocol/entry.ts";
import type { Position } from "../protocol/position.ts";
import type { Head, Log, Page, PageLimit } from "./log.ts";
import { epochOf, readAfter } from "./resume.ts";
import { SharedBatch } from "./tail.ts";

/**
 * Reads what a reader at `position` must judge: its own entry, there for its tag, and what follows. A log gives one entry however large, and
 * that one is the reader's own: where nothing else fitted it is read again with the next, or the reader would stand there for ever.
 */
export async function readPage(log: Pick<Log, "read">, channel: string, position: Position, limit: PageLimit): Promise<Page> {
  const after = readAfter(position);
  const page = await log.read(channel, after, { count: limit.count + 1, bytes: limit.bytes });
  const { head, entries } = page;
  if (head === null || head.top <= position.offset || entries.length !== 1 || entries[0]!.offset !== position.offset) return page;
  return log.read(channel, after, { count: 2, bytes: Number.MAX_SAFE_INTEGER });
}

/** A page of the log on its way to one reader or many: readers that stand at the same place share its batches, and so what they were encoded to. */
export class LogPage implements Page {
  readonly head: Head | null;
  readonly entries: readonly Entry[];
  readonly #channel: string;
  #made: { readonly first: number; readonly last: number; readonly batches: SharedBatch[] } | null = null;

  constructor(channel: string, page: Page) {
    this.#channel = channel;
    this.head = page.head;
    this.entries = page.entries;
  }

  /** `entries`, a part of this page, up to `offsetMax`, as batches of one epoch each. */
  batches(entries: readonly Entry[], offsetMax: number): SharedBatch[] {
    const first = entries[0]?.offset;
    if (this.head === null || first === undefined || first > offsetMax) return [];
    const last = Math.min(entries.at(-1)!.offset, offsetMax);
    if (this.#made?.first === first && this.#made.last === last) return this.#made.batches;
    const batches: SharedBatch[] = [];
    for (let from = 0; from <= last - first; ) {
      const epoch = epochOf(this.head, first + from);
      const next = this.head.lineage.find((era) => era.start > first + from)?.start ?? Number.POSITIVE_INFINITY;
      const until = Math.min(last, next - 1) - first + 1;
      batches.push(new SharedBatch(this.#channel, epoch, entries.slice(from, until)));
      from = until;
    }
    this.#made = { first, last, batches };
    return batches;
  }
}
