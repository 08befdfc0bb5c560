import type { Start } from "../protocol/from.ts";
import { formatPosition, type Position } from "../protocol/position.ts";
import type { LiveReader } from "./fan-out.ts";
import type { Outlet } from "./outlet.ts";
import type { LogPage } from "./page.ts";
import { type Gap, resume } from "./resume.ts";
import type { SharedBatch } from "./tail.ts";

/** A channel, as its readers see it. */
export interface Source {
  readonly name: string;
  /** The last message that this node knows of. */
  readonly head: Position;
  locate(start: Start): Promise<Position>;
  /** The page of the log that a reader at this position must judge. */
  page(position: Position): Promise<LogPage>;
  /** If the position lies in the tail: writes what is lacking, and takes the reader into the live set. False if it does not. */
  join(reader: Reader): boolean;
  leave(reader: Reader): void;
  /** Looks at the log anew. */
  refresh(): Promise<void>;
  release(): void;
  pause(ms: number): Promise<void>;
  warn(error: unknown): void;
}

/** How long a reader waits before it asks a log again that failed. The pipe stays open meanwhile. */
const LOG_RETRY_MS = 1_000;

/**
 * One reader of one channel: a position and a way out, and nothing else. It has no queue; the log is the queue.
 *
 *     start ──> reading ──(position is in the tail)──> live
 *                 ^  │                                  │ outlet full
 *                 │  └──(outlet full)──> waiting <──────┘
 *                 └──────(drained)──────────┘              end() from anywhere: ended
 *
 * Attaching and catching up are one loop: read pages from the log; once the position lies in the channel's tail, write from there and join the
 * live set in the same turn. No await stands between the two, so nothing can be told in between.
 */
export class Reader implements LiveReader {
  readonly channel: Source;
  readonly outlet: Outlet;
  state: "reading" | "waiting" | "live" | "ended" = "reading";
  /** While live: the offset written last. Kept apart from `position` because the hot loop compares and sets it. */
  offset = 0;
  /** While not live: where it stands. */
  position: Position | null = null;
  /** Its place in the live set. */
  slot = -1;
  #toldLive = false;

  constructor(channel: Source, outlet: Outlet) {
    this.channel = channel;
    this.outlet = outlet;
  }

  /** Finds the place where it begins. */
  async locate(start: Start): Promise<void> {
    this.position = await this.channel.locate(start);
  }

  /** Says `subscribed`, with the asker's `id`, and reads from the place that was located. */
  begin(id?: number): void {
    if (this.state === "ended" || this.position === null) return;
    const position = formatPosition(this.position);
    this.outlet.say({ type: "subscribed", channel: this.channel.name, ...(id === undefined ? {} : { id }), position });
    void this.#read();
  }

  /** The outlet has room again. */
  drained(): void {
    if (this.state !== "waiting") return;
    this.state = "reading";
    void this.#read();
  }

  /** In the live set, the outlet was full before the message after `position` could be written. */
  lag(position: Position): void {
    this.channel.leave(this);
    this.position = position;
    this.state = "waiting";
  }

  /** In the live set, but it joined while this batch was pending and has some of it, or all. */
  catchUpTo(batch: SharedBatch): void {
    if (this.offset >= batch.last.offset) return;
    const entry = batch.entries[this.offset - batch.first]!;
    if (this.outlet.full()) this.lag({ epoch: batch.epoch, offset: this.offset, tag: entry.tag });
    else {
      this.outlet.write(batch.after(this.offset).encode(this.outlet.codec, batch.epoch));
      this.offset = batch.last.offset;
    }
  }

  /** The channel's past is no longer certain: look at the log again from here. */
  doubt(position: Position): void {
    this.channel.leave(this);
    this.position = position;
    this.state = "reading";
    void this.#read();
  }

  /** Writes the batches after its position; false if the outlet filled before the end. */
  write(batches: readonly SharedBatch[]): boolean {
    for (const batch of batches) {
      if (this.outlet.full()) {
        this.state = "waiting";
        return false;
      }
      this.outlet.write(batch.encode(this.outlet.codec, this.position!.epoch));
      this.position = batch.last;
    }
    return true;
  }

  /** Said once, when it first has everything. */
  sayLive(): void {
    if (this.#toldLive) return;
    this.#toldLive = true;
    this.outlet.say({ type: "live", channel: this.channel.name });
  }

  end(): void {
    if (this.state === "ended") return;
    const wasLive = this.state === "live";
    this.state = "ended";
    if (wasLive) this.channel.leave(this);
    this.channel.release();
  }

  async #read(): Promise<void> {
    while (this.state === "reading") {
      if (this.outlet.full()) {
        this.state = "waiting";
        return;
      }
      if (this.channel.join(this)) return;
      try {
        if (!(await this.#readPage())) await this.channel.refresh();
      } catch (error) {
        this.channel.warn(error);
        await this.channel.pause(LOG_RETRY_MS);
      }
    }
  }

  /** One page of the log. False if it brought nothing, so that it is the channel that must look anew. */
  async #readPage(): Promise<boolean> {
    const position = this.position!;
    const page = await this.channel.page(position);
    if (this.state !== "reading" || this.position !== position) return true;
    const { gap, entries } = resume(position, page);
    if (gap !== null) this.#tell(gap);
    const batches = page.batches(entries, this.channel.head.offset);
    this.write(batches);
    return gap !== null || batches.length > 0;
  }

  #tell(gap: Gap): void {
    this.position = gap.resumeFrom;
    this.outlet.say({
      type: "gap",
      channel: this.channel.name,
      reason: gap.reason,
      since: formatPosition(gap.since),
      resumeFrom: formatPosition(gap.resumeFrom),
      missing: gap.missing,
    });
  }
}
