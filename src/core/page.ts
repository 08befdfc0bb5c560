import type { Entry } from "../protocol/entry.ts";
import type { Head, Page } from "./log.ts";
import { epochOf } from "./resume.ts";
import { SharedBatch } from "./tail.ts";

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
