import { KeyTable } from "./keys.ts";
import type { Sheet } from "./record.ts";
import { NOTHING, type Standing, standingAfter } from "./standing.ts";

/** Channels, and idempotency keys in all, that a node remembers; one that was not published to for long is read again when it is. */
const CHANNELS_MAX = 10_000;
const KEYS_MAX = 2_000_000;

/** What this node knows of a channel to which it publishes. */
export class Publishing {
  readonly channel: string;
  standing: Standing = NOTHING;
  /** The connection by which it was looked at last; 0 if it must be looked at again. */
  generation = 0;
  /** Null until a key is asked for. */
  keys: KeyTable | null = null;
  /** It was seen further on than it stands now: its end was lost, and what comes next begins a new era. */
  hasLost = false;
  /** Calls, trims and removals that hold it. */
  uses = 0;
  isTrimming = false;
  /** Until then it is left to others. */
  yieldsUntil = 0;
  /** Offset and bytes at which it was trimmed last. */
  trimmedTop = -1;
  trimmedBytes = 0;

  constructor(channel: string) {
    this.channel = channel;
  }

  /** The next sheet, of this node or another. */
  apply(sheet: Sheet): void {
    const isNewLog = sheet.born !== this.standing.born || sheet.lines.length === 0;
    this.standing = standingAfter(sheet);
    this.hasLost = false;
    if (this.keys === null) return;
    if (isNewLog) {
      const { lastSegmentSeq } = this.keys;
      this.keys = new KeyTable();
      this.keys.lastSegmentSeq = lastSegmentSeq;
    }
    const { epoch } = sheet.lineage.at(-1)!;
    for (const { entry, below, key, print } of sheet.lines) {
      const { offset, at, tag } = entry;
      if (key !== null) this.keys.add({ offset, below, at, key, print, epoch, tag });
    }
  }
}

/** The channels to which this node publishes, those of long ago forgotten. */
export class Channels {
  readonly #channels = new Map<string, Publishing>();
  #keys = 0;

  /** To be given back by `release`. */
  use(channel: string): Publishing {
    const known = this.#channels.get(channel) ?? new Publishing(channel);
    if (known.uses === 0) {
      this.#channels.delete(channel);
      this.#keys -= known.keys?.size ?? 0;
    }
    known.uses++;
    this.#channels.set(channel, known);
    return known;
  }

  release(known: Publishing): void {
    if (--known.uses > 0) return;
    this.#keys += known.keys?.size ?? 0;
    for (const [channel, oldest] of this.#channels) {
      if (this.#channels.size <= CHANNELS_MAX && this.#keys <= KEYS_MAX) return;
      if (oldest.uses > 0) continue;
      this.#channels.delete(channel);
      this.#keys -= oldest.keys?.size ?? 0;
    }
  }

  /** This node is about to write to it, or to learn how it stands. */
  isUsed(channel: string): boolean {
    return (this.#channels.get(channel)?.uses ?? 0) > 0;
  }

  /** Another node could not get in, and is given so long. */
  yield(channel: string, untilMs: number): void {
    const known = this.#channels.get(channel);
    if (known !== undefined) known.yieldsUntil = untilMs;
  }

  yieldsUntil(channel: string): number {
    return this.#channels.get(channel)?.yieldsUntil ?? 0;
  }

  /** What is told of a channel that is published to here, if it is the very next thing. */
  heard(channel: string, sheet: Sheet): void {
    const known = this.#channels.get(channel);
    // One that is in use has its own way to learn of it
    if (known === undefined || known.uses > 0 || known.generation === 0) return;
    const { seq, topTag } = known.standing;
    const isInItsPlace = sheet.seq === seq && standingAfter(sheet).topTag !== topTag;
    const isBehindAnother = sheet.previous === seq && sheet.tagBefore !== topTag;
    // Another one stands where this node's last was: the stream has lost its end, and has come as far again
    if (isInItsPlace || isBehindAnother) known.generation = 0;
    if (sheet.previous !== seq || known.generation === 0) return;
    const before = known.keys?.size ?? 0;
    known.apply(sheet);
    this.#keys += (known.keys?.size ?? 0) - before;
  }
}
