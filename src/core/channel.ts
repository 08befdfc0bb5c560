import type { Clock } from "../protocol/clock.ts";
import type { Entry } from "../protocol/entry.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { SignalFrame } from "../protocol/frame.ts";
import type { Start } from "../protocol/from.ts";
import type { Limits } from "../protocol/limits.ts";
import { formatPosition, ORIGIN, type Position } from "../protocol/position.ts";
import { fanOut } from "./fan-out.ts";
import type { Flushable, Flusher } from "./flusher.ts";
import { LiveSet } from "./live-set.ts";
import { locate } from "./locate.ts";
import type { Log, Told } from "./log.ts";
import type { Codec, Encoded } from "./outlet.ts";
import { LogPage, readPage } from "./page.ts";
import type { Reader, Source } from "./reader.ts";
import { resume, topOf } from "./resume.ts";
import { Signals } from "./signals.ts";
import { SharedBatch, same, Tail } from "./tail.ts";
import type { Turns } from "./turns.ts";

/** What a channel needs of the hub. */
export interface ChannelContext {
  readonly log: Log;
  /** The same log, for what many readers ask alike when they come. */
  readonly reads: Pick<Log, "read">;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly flusher: Flusher;
  readonly turns: Pick<Turns, "next">;
  readonly warn: (sentence: string) => void;
  /** The last reader has gone. */
  readonly onEmpty: (channel: Channel) => void;
}

/** How long a log that failed is left alone. Pipes stay open meanwhile. */
const LOG_RETRY_MS = 1_000;

/** A flush under way. It may take several slices. What is much goes in parts, since a reader is asked before each whether it has room (D7). */
interface Flush {
  readonly parts: { readonly batch: SharedBatch; readonly before: Position }[];
  readonly sets: { readonly live: LiveSet<Reader>; readonly codec: Codec; readonly bound: number; index: number }[];
}

/**
 * One channel as the readers of this node see it: it follows the log, keeps the tail, and writes what is new to those that are live.
 * It exists while it has readers.
 */
export class Channel implements Flushable, Source {
  readonly name: string;
  readonly #context: ChannelContext;
  readonly #live = new Map<Codec, LiveSet<Reader>>();
  readonly #signals: Signals;
  readonly #reads = new Map<string, Promise<LogPage>>();
  #tail: Tail;
  /** Told by the log and not flushed yet, all of one epoch, right after the tail. */
  #pending: Entry[] = [];
  #pendingBatch: SharedBatch | null = null;
  #flush: Flush | null = null;
  #readers = 0;
  #unfollow: (() => void) | null = null;
  #opening: Promise<void> | null = null;
  #isOpen = false;
  #refreshing: Promise<void> | null = null;
  /** Something was told that only a look at the log explains. */
  #again = false;
  /** Someone sees to `again`. */
  #looking = false;
  #resting: { readonly over: Promise<void>; readonly end: () => void } | null = null;
  #ended: ThroughlineError | null = null;
  head: Position = ORIGIN;

  constructor(name: string, context: ChannelContext) {
    this.name = name;
    this.#context = context;
    this.#tail = new Tail(ORIGIN, context.limits.tailBytesMax);
    this.#signals = new Signals(context.limits.signalsPendingMax);
  }

  get readers(): number {
    return this.#readers;
  }

  /** A reader takes hold of the channel. Each `hold` is let go by one `release`. */
  hold(): void {
    this.#readers++;
  }

  release(): void {
    if (--this.#readers === 0) this.#context.onEmpty(this);
  }

  /** Follows the log. Follow first, then look: what is told in between makes it look again, so nothing falls between the two. */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Follows the log no longer. Whoever still reads is refused: the live ones now, the others when they next want to join. */
  close(error: ThroughlineError): void {
    this.#ended = error;
    this.#unfollow?.();
    this.#resting?.end();
    for (const reader of this.#liveReaders()) reader.refuse(error);
  }

  async locate(start: Start): Promise<Position> {
    await this.open();
    if (this.#ended !== null) throw this.#ended;
    return start.type === "now" ? this.head : locate(this.#context.reads, this.name, start);
  }

  async isRetained(position: Position): Promise<boolean> {
    if (position.offset >= this.head.offset) return true;
    try {
      const { head } = await this.#context.reads.read(this.name, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 });
      return head === null || position.offset >= head.first - 1;
    } catch {
      // Not known: the reader asks the log for a page, again and again if it must, and that is where a failing log is told of.
      return false;
    }
  }

  /**
   * A page after a position, one read for however many readers ask for it at once. The very same position, not only the same offset: to a
   * position that came to be since, a read that began before would show a log that does not have it yet.
   */
  page(position: Position): Promise<LogPage> {
    const place = formatPosition(position);
    const known = this.#reads.get(place);
    if (known !== undefined) return known;
    const read = this.#read(position).finally(() => this.#reads.delete(place));
    this.#reads.set(place, read);
    return read;
  }

  turn(): Promise<void> {
    return this.#context.turns.next();
  }

  /** If the reader's position lies in the tail: writes it what it lacks and takes it into the live set, in this very turn. */
  join(reader: Reader): boolean {
    if (this.#ended !== null) {
      reader.refuse(this.#ended);
      return true;
    }
    if (reader.mustReadLog) return false;
    const batches = this.#after(reader.position!);
    if (batches === null) return false;
    if (!reader.write(batches)) return true;
    reader.state = "live";
    reader.position = null;
    const { codec } = reader.outlet;
    let live = this.#live.get(codec);
    if (live === undefined) {
      live = new LiveSet();
      this.#live.set(codec, live);
    }
    live.join(reader, this.head.offset);
    reader.sayLive();
    return true;
  }

  /** Takes a reader out of the live set. */
  leave(reader: Reader): void {
    const live = this.#live.get(reader.outlet.codec);
    if (live === undefined || !live.leave(reader)) return;
    // A flush closes the empty places itself when it is done.
    if (this.#flush === null && live.isHollow) this.#compact(reader.outlet.codec, live);
  }

  /** Sends a signal to whoever is live and has room. */
  signal(frame: SignalFrame): void {
    if (this.#live.size === 0) return;
    this.#signals.keep(frame);
    this.#context.flusher.want(this);
  }

  get waiting(): number {
    return this.#pending.length + this.#signals.size;
  }

  /** Writes what was pending when it began to the live readers, until the deadline. False if it must go on. */
  flush(deadline: number): boolean {
    if (this.#flush === null && this.#pending.length > 0) this.#beginFlush();
    if (this.#flush !== null && !this.#continueFlush(this.#flush, deadline)) return false;
    this.#flushSignals();
    return true;
  }

  /** Looks at the log, and makes the head what it says. Readers that are live and can't go on there are sent to look for themselves. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh()
      .catch((error) => {
        this.#again = true;
        void this.#lookAgain();
        throw error;
      })
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  /** The log failed: tells the operator, and resolves when it is time to ask again. One wait for however many were failed. */
  rest(error: unknown): Promise<void> {
    if (this.#ended !== null) return Promise.resolve();
    if (this.#resting === null) {
      this.#context.warn(`The log of ${this.name} could not be read; its readers wait and try again. ${String(error)}`);
      let wake = () => {};
      const over = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const cancel = this.#context.clock.after(LOG_RETRY_MS, () => this.#resting?.end());
      const end = () => {
        this.#resting = null;
        cancel();
        wake();
      };
      this.#resting = { over, end };
    }
    return this.#resting.over;
  }

  async #read(position: Position): Promise<LogPage> {
    const { log, limits } = this.#context;
    const limit = { count: limits.catchUpCountMax, bytes: limits.catchUpBytesMax };
    return new LogPage(this.name, await readPage(log, this.name, position, limit));
  }

  async #open(): Promise<void> {
    const { log } = this.#context;
    this.#unfollow = log.follow(this.name, (told) => this.#onTold(told));
    try {
      const { head } = await log.read(this.name, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 });
      if (this.#ended !== null) throw this.#ended;
      this.#place(topOf(head));
    } catch (error) {
      this.#unfollow();
      this.#opening = null;
      throw error;
    }
    this.#isOpen = true;
    if (this.#again) void this.#lookAgain();
  }

  #onTold(told: Told): void {
    // While a look is due, not even what seems to go on from the head is taken: the head itself may be gone.
    if (this.#isOpen && this.#refreshing === null && !this.#again && told.type === "appended") {
      const first = told.entries[0]!.offset;
      const continues = told.epoch === this.head.epoch || this.head === ORIGIN;
      if (continues && first === this.head.offset + 1) {
        this.#append(told.epoch, told.entries);
        return;
      }
      if (told.epoch === this.head.epoch && told.entries.at(-1)!.offset <= this.head.offset) return;
    }
    this.#again = true;
    if (this.#isOpen) void this.#lookAgain();
  }

  /** Looks at the log until it has answered: live readers wait for what it has to say, whoever asked first. */
  async #lookAgain(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    while (this.#again && this.#ended === null) {
      try {
        await this.refresh();
      } catch (error) {
        await this.rest(error);
      }
    }
    this.#looking = false;
  }

  #append(epoch: string, entries: readonly Entry[]): void {
    if (epoch !== this.head.epoch) this.flushNow();
    for (const entry of entries) this.#pending.push(entry);
    this.#pendingBatch = null;
    const last = entries[entries.length - 1]!;
    this.head = { epoch, offset: last.offset, tag: last.tag };
    this.#context.flusher.want(this);
  }

  async #refresh(): Promise<void> {
    let bytes = 0;
    do {
      this.#again = false;
      // A read of its own: one that is shared may have begun before what we were told.
      const page = await this.#read(this.head);
      if (this.#ended !== null) return;
      const { gap, entries } = resume(this.head, page);
      const top = topOf(page.head);
      if (gap === null) {
        for (const batch of page.batches(entries, Number.MAX_SAFE_INTEGER)) {
          this.#append(batch.epoch, batch.entries);
          bytes += batch.bytes;
        }
      }
      if (gap === null && same(this.head, top)) bytes = 0;
      // More than the tail may hold is no news but a past: who is live reads it from the log like anyone, at the pace of his outlet.
      else if (gap !== null || top.offset === this.head.offset || bytes > this.#context.limits.tailBytesMax) this.#doubt(top);
      else if (entries.length > 0) this.#again = true;
      else throw new Error(`It gives nothing after ${formatPosition(this.head)}, though it goes on to ${formatPosition(top)}.`);
    } while (this.#again);
  }

  /** The tail begins anew at a position. */
  #place(position: Position): void {
    this.head = position;
    this.#pending = [];
    this.#pendingBatch = null;
    this.#tail = new Tail(position, this.#context.limits.tailBytesMax);
  }

  /** The log does not go on from our head but from `position`: everyone, having got all that was told, looks for himself. */
  #doubt(position: Position): void {
    this.flushNow();
    const { head } = this;
    const live = this.#liveReaders();
    this.#place(position);
    for (const reader of live) reader.doubt(head);
  }

  #liveReaders(): Reader[] {
    return [...this.#live.values()].flatMap(({ readers }) => readers.filter((reader) => reader !== undefined));
  }

  /** Writes all that is pending, however long it takes. */
  flushNow(): void {
    // Twice: one that is under way is ended, then what came meanwhile goes out.
    this.flush(Number.POSITIVE_INFINITY);
    this.flush(Number.POSITIVE_INFINITY);
  }

  #after(position: Position): SharedBatch[] | null {
    const flushed = this.#tail.head;
    if (position.offset > flushed.offset) {
      const place = position.offset - flushed.offset - 1;
      const entry = this.#pending[place];
      if (entry === undefined || !same(position, { epoch: this.head.epoch, offset: entry.offset, tag: entry.tag })) return null;
      return place === this.#pending.length - 1 ? [] : [this.#batchPending().after(position.offset)];
    }
    const batches = this.#tail.after(position);
    if (batches !== null && this.#pending.length > 0) batches.push(this.#batchPending());
    return batches;
  }

  #batchPending(): SharedBatch {
    this.#pendingBatch ??= new SharedBatch(this.name, this.head.epoch, this.#pending.slice());
    return this.#pendingBatch;
  }

  #beginFlush(): void {
    const parts = this.#batchPending()
      .parts(this.#context.limits.sinkBytesMax / 2)
      .map((batch) => {
        const before = this.#tail.head;
        this.#tail.push(batch);
        return { batch, before };
      });
    this.#pending = [];
    this.#pendingBatch = null;
    const sets = [...this.#live].map(([codec, live]) => ({ live, codec, bound: live.readers.length, index: 0 }));
    this.#flush = { parts, sets };
  }

  #continueFlush({ parts, sets }: Flush, deadline: number): boolean {
    const { clock } = this.#context;
    for (; parts.length > 0; parts.shift()) {
      const { batch, before } = parts[0]!;
      for (const set of sets) {
        if (set.index === set.bound) continue;
        set.index = fanOut(set.live, set.index, set.bound, set.codec, before, batch, clock, deadline);
        // Also between sets: a codec that is not shared is a set of its own for each reader.
        if (set.index < set.bound || clock.elapsed() >= deadline) return false;
      }
      for (const set of sets) set.index = 0;
    }
    this.#flush = null;
    for (const { live, codec } of sets) this.#compact(codec, live);
    return true;
  }

  #compact(codec: Codec, live: LiveSet<Reader>): void {
    live.close();
    if (live.size === 0) this.#live.delete(codec);
  }

  #flushSignals(): void {
    if (this.#signals.size === 0) return;
    const frames = this.#signals.take();
    for (const [codec, live] of this.#live) {
      const encoded = frames.map((frame) => codec.frame(frame)).filter((one): one is NonNullable<Encoded> => one !== null);
      // A copy: whoever leaves meanwhile may close the holes.
      for (const reader of live.readers.slice()) {
        for (const one of encoded) if (reader?.state === "live" && !reader.outlet.full()) reader.outlet.write(one);
      }
    }
  }
}
