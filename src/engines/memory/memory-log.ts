import type { Appended, Draft, Head, LogContext, Page, PageLimit, Retention } from "../../core/log.ts";
import { firstKept, isKeyKept, isPastAge, isTooLarge } from "../../core/retention.ts";
import type { Entry } from "../../protocol/entry.ts";
import { NO_TAG, TAG_LENGTH } from "../../protocol/position.ts";
import { KeyTable } from "./key-table.ts";
import { Ring } from "./ring.ts";

/** The log of one channel: a ring of entries, a table of keys, and where both stand. */
export class MemoryLog {
  readonly epoch: string;
  readonly #context: LogContext;
  readonly #entries = new Ring<Entry>();
  readonly #keys = new KeyTable();
  #bytes = 0;
  #top = 0;
  #topTag = NO_TAG;
  #boundaryTag = NO_TAG;
  #lastAt = 0;

  constructor(epoch: string, context: LogContext) {
    this.epoch = epoch;
    this.#context = context;
  }

  get #first(): number {
    return this.#top - this.#entries.length + 1;
  }

  /** One draft: look the key up, give offset and tag, store, remember the key, trim. A stored entry is added to `stored`. */
  append(draft: Draft, retention: Retention, stored: Entry[]): Appended {
    const nowMs = Math.floor(this.#context.clock.now());
    this.#trim(nowMs, retention);
    if (draft.key !== undefined) {
      const answer = this.#answerFromKey(draft.key, draft.print, nowMs);
      if (answer !== null) return answer;
    }
    const entry: Entry = {
      offset: this.#top + 1,
      tag: this.#context.random.letters(TAG_LENGTH),
      at: Math.max(this.#lastAt, nowMs),
      event: draft.event,
      kind: draft.kind,
      data: draft.data,
      size: draft.size,
    };
    this.#entries.push(entry);
    this.#bytes += entry.size;
    this.#top = entry.offset;
    this.#topTag = entry.tag;
    this.#lastAt = entry.at;
    const { epoch } = this;
    const { offset, tag, at } = entry;
    if (draft.key !== undefined) this.#keys.remember(draft.key, { print: draft.print ?? "", epoch, offset, tag, at });
    this.#trim(nowMs, retention);
    stored.push(entry);
    return { type: "stored", position: { epoch, offset, tag } };
  }

  /** Entries past their age are passed over here, so that a reader never waits for a trim. */
  read(after: number, limit: PageLimit, retention: Retention): Page {
    const nowMs = this.#context.clock.now();
    const first = firstKept(this.#first, this.#top, (offset) => !isPastAge(this.#at(offset).at, nowMs, retention));
    const entries: Entry[] = [];
    let bytes = 0;
    for (let offset = Math.max(after + 1, first); offset <= this.#top && entries.length < limit.count; offset++) {
      const entry = this.#at(offset);
      bytes += entry.size;
      if (bytes > limit.bytes && entries.length > 0) break;
      entries.push(entry);
    }
    return { head: this.#head(first), entries };
  }

  /** Lets go of what has expired in a channel that nobody publishes to. */
  sweep(retention: Retention): void {
    const nowMs = this.#context.clock.now();
    this.#trim(nowMs, retention);
    this.#keys.drop(this.#first, nowMs, this.#context.keySecondsMin);
  }

  #answerFromKey(key: string, print: string | undefined, nowMs: number): Appended | null {
    const { keysMax, keySecondsMin } = this.#context;
    this.#keys.drop(this.#first, nowMs, keySecondsMin);
    const known = this.#keys.find(key);
    if (known !== undefined && isKeyKept(known, this.#first, nowMs, keySecondsMin)) {
      if (known.print !== (print ?? "")) return { type: "conflict" };
      return { type: "duplicate", position: { epoch: known.epoch, offset: known.offset, tag: known.tag } };
    }
    return this.#keys.size >= keysMax ? { type: "keys_full" } : null;
  }

  #at(offset: number): Entry {
    return this.#entries.at(offset - this.#first);
  }

  #head(first: number): Head {
    const boundaryTag = first > this.#first ? this.#at(first - 1).tag : this.#boundaryTag;
    return { lineage: [{ epoch: this.epoch, start: 1 }], first, boundaryTag, top: this.#top, topTag: this.#topTag };
  }

  #trim(nowMs: number, retention: Retention): void {
    const entries = this.#entries;
    while (entries.length > 0 && (isTooLarge(entries.length, this.#bytes, retention) || isPastAge(entries.at(0).at, nowMs, retention))) {
      const trimmed = entries.shift();
      this.#bytes -= trimmed.size;
      this.#boundaryTag = trimmed.tag;
    }
  }
}
