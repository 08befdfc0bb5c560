import type { Batch, Entry } from "../protocol/entry.ts";
import { NO_TAG, type Position } from "../protocol/position.ts";
import type { Codec, Encoded } from "./outlet.ts";

/** A batch that remembers what it was encoded to, so that however many readers it meets, each codec does the work once. */
export class SharedBatch implements Batch {
  readonly channel: string;
  readonly epoch: string;
  readonly entries: readonly Entry[];
  readonly bytes: number;
  #encodings: Map<Codec, Encoded> | null = null;

  constructor(channel: string, epoch: string, entries: readonly Entry[]) {
    this.channel = channel;
    this.epoch = epoch;
    this.entries = entries;
    let bytes = 0;
    for (const entry of entries) bytes += costOf(entry);
    this.bytes = bytes;
  }

  get first(): number {
    return this.entries[0]!.offset;
  }

  get last(): Position {
    return this.at(this.first + this.entries.length - 1);
  }

  /** The position of one of its offsets. */
  at(offset: number): Position {
    return { epoch: this.epoch, offset, tag: this.entries[offset - this.first]!.tag };
  }

  /** The whole batch for readers that were told `epochTold` last. */
  encode(codec: Codec, epochTold: string): Encoded {
    if (!codec.shared || epochTold !== this.epoch) return codec.batch(this, epochTold);
    const known = this.#encodings?.get(codec);
    if (known !== undefined) return known;
    const made = codec.batch(this, epochTold);
    this.#encodings ??= new Map();
    this.#encodings.set(codec, made);
    return made;
  }

  /** The same in parts of at most so many bytes, of one message at least. */
  parts(bytesMax: number): SharedBatch[] {
    if (this.bytes <= bytesMax || this.entries.length === 1) return [this];
    const parts: SharedBatch[] = [];
    let from = 0;
    let bytes = 0;
    for (const [index, entry] of this.entries.entries()) {
      if (index > from && bytes + costOf(entry) > bytesMax) {
        parts.push(new SharedBatch(this.channel, this.epoch, this.entries.slice(from, index)));
        from = index;
        bytes = 0;
      }
      bytes += costOf(entry);
    }
    parts.push(new SharedBatch(this.channel, this.epoch, this.entries.slice(from)));
    return parts;
  }

  /** What of it stands after `offset`. */
  after(offset: number): SharedBatch {
    return offset < this.first ? this : new SharedBatch(this.channel, this.epoch, this.entries.slice(offset + 1 - this.first));
  }
}

/** What an entry costs beside its data: the object, its tag, its share of the encodings. */
const ENTRY_OVERHEAD_BYTES = 128;

function costOf({ size }: Entry): number {
  return size + ENTRY_OVERHEAD_BYTES;
}

/**
 * The last messages of a channel, in memory, as the batches in which they were flushed: what a reader that is only a little behind is
 * served from, without asking the log. Bounded by `tailBytesMax`; what falls off is still in the log.
 */
export class Tail {
  #base: Position;
  #batches: SharedBatch[] = [];
  #bytes = 0;
  readonly #bytesMax: number;

  constructor(base: Position, bytesMax: number) {
    this.#base = base;
    this.#bytesMax = bytesMax;
  }

  /** The position after the last message. */
  get head(): Position {
    return this.#batches.at(-1)?.last ?? this.#base;
  }

  push(batch: SharedBatch): void {
    this.#batches.push(batch);
    this.#bytes += batch.bytes;
    let drop = 0;
    // Also the newest, if it alone is too large: whoever lacks a part of it reads that part from the log.
    while (this.#bytes > this.#bytesMax) this.#bytes -= this.#batches[drop++]!.bytes;
    if (drop === 0) return;
    this.#base = this.#batches[drop - 1]!.last;
    this.#batches.splice(0, drop);
  }

  /** The batches after a position, the first one cut to begin right after it; or null if the position is not in the tail. */
  after(position: Position): SharedBatch[] | null {
    const { offset } = position;
    if (offset === this.#base.offset) return same(position, this.#base) ? this.#batches.slice() : null;
    if (offset < this.#base.offset || offset > this.head.offset) return null;
    let index = this.#batches.length - 1;
    while (index > 0 && this.#batches[index]!.first > offset) index--;
    const batch = this.#batches[index]!;
    if (!same(position, batch.at(offset))) return null;
    const rest = this.#batches.slice(index + 1);
    return offset === batch.last.offset ? rest : [batch.after(offset), ...rest];
  }
}

/** Two positions are one place; a tag that is not known is any. */
export function same(a: Position, b: Position): boolean {
  return a.epoch === b.epoch && a.offset === b.offset && (a.tag === b.tag || a.tag === NO_TAG || b.tag === NO_TAG);
}
