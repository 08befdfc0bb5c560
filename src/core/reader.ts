import type { ThroughlineError } from "../protocol/error.ts";
import type { Start } from "../protocol/from.ts";
import { formatPosition, type Position } from "../protocol/position.ts";
import type { LiveReader } from "./fan-out.ts";
import type { Outlet } from "./outlet.ts";
import type { LogPage } from "./page.ts";
import { type Gap, resume, topOf } from "./resume.ts";
import type { SharedBatch } from "./tail.ts";

/** A channel, as its readers see it. */
export interface Source {
  readonly name: string;
  /** The last message that this node knows of. */
  readonly head: Position;
  locate(start: Start): Promise<Position>;
  /** False if retention has taken what stands right after the position, though the tail may still hold it. */
  isRetained(position: Position): Promise<boolean>;
  /** The page of the log that a reader at this position must judge. */
  page(position: Position): Promise<LogPage>;
  /** Resolves when it is this reader's turn to write a page. */
  turn(): Promise<void>;
  /** If the position lies in the tail: writes what is lacking, and takes the reader into the live set. False if it does not. */
  join(reader: Reader): boolean;
  leave(reader: Reader): void;
  /** Looks at the log anew. */
  refresh(): Promise<void>;
  release(): void;
  /** The log failed: resolves when it is time to ask again. */
  rest(error: unknown): Promise<void>;
}

/** So often a reader looks in vain, at the log and at the channel in turn, before it takes the log to have failed. */
const LOOKS_MAX = 3;

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
  /** While not live: where it stands. The live set knows it of those that are. */
  position: Position | null = null;
  /** Its place in the live set. */
  slot = -1;
  #toldLive = false;
  /** The log must judge it first: the tail would serve what has been trimmed. */
  mustReadLog = false;
  /** The loop is under way. There is never a second one. */
  #looping = false;

  constructor(channel: Source, outlet: Outlet) {
    this.channel = channel;
    this.outlet = outlet;
  }

  /** Finds the place where it begins. */
  async locate(start: Start): Promise<void> {
    const position = await this.channel.locate(start);
    this.mustReadLog = start.type === "after" && !(await this.channel.isRetained(position));
    this.position = position;
  }

  /** Says `subscribed`, with the asker's `id`, and reads from the place that was located. */
  begin(id?: number): void {
    if (this.state === "ended" || this.position === null) return;
    const position = formatPosition(this.position);
    this.outlet.say({ type: "subscribed", channel: this.channel.name, ...(id === undefined ? {} : { id }), position });
    void this.#loop();
  }

  /** The outlet has room again. */
  drained(): void {
    if (this.state !== "waiting") return;
    this.state = "reading";
    void this.#loop();
  }

  /** In the live set, the outlet was full before the message after `position` could be written. */
  lag(position: Position): void {
    this.channel.leave(this);
    this.position = position;
    this.state = "waiting";
  }

  /** In the live set, but it has some of this batch already, or is alone with its codec. */
  catchUpTo(batch: SharedBatch, before: Position, offset: number): void {
    const position = offset === before.offset ? before : batch.at(offset);
    if (this.outlet.full()) {
      this.lag(position);
      return;
    }
    this.outlet.write(batch.after(offset).encode(this.outlet.codec, position.epoch));
  }

  /** The channel's past is no longer certain: look at the log again from here. */
  doubt(position: Position): void {
    if (this.state !== "live") return;
    this.channel.leave(this);
    this.position = position;
    this.state = "reading";
    void this.#loop();
  }

  /** Writes the batches after its position; false if the outlet filled before the end, or ended. */
  write(batches: readonly SharedBatch[]): boolean {
    for (const batch of batches) {
      if (this.outlet.full()) {
        this.state = "waiting";
        return false;
      }
      this.outlet.write(batch.encode(this.outlet.codec, this.position!.epoch));
      this.position = batch.last;
      // An outlet may end its readers while it writes.
      if (this.state !== "reading") return false;
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

  /** The hub ends it, and says why. */
  refuse(error: ThroughlineError): void {
    if (this.state === "ended") return;
    this.end();
    this.outlet.refuse(this.channel.name, error);
  }

  /** Reads on until it is live, or waits, or has ended. */
  async #loop(): Promise<void> {
    if (this.#looping) return;
    this.#looping = true;
    let inVain = 0;
    while (this.state === "reading") {
      if (this.#join()) continue;
      try {
        if (await this.#readPage()) inVain = 0;
        else if (++inVain < LOOKS_MAX) await this.channel.refresh();
        else throw new Error(`It gives nothing after ${formatPosition(this.position!)}, which is not its end.`);
      } catch (error) {
        inVain = 0;
        await this.channel.rest(error);
      }
    }
    this.#looping = false;
  }

  /** Ends the reading, in this turn: it is live now, or it waits, or the channel refused it. False if it must read on first. */
  #join(): boolean {
    if (!this.outlet.full()) return this.channel.join(this);
    this.state = "waiting";
    return true;
  }

  /** One page of the log. False if it brought nothing, so that it is the channel that must look anew. */
  async #readPage(): Promise<boolean> {
    const position = this.position!;
    const page = await this.channel.page(position);
    await this.channel.turn();
    if (this.state !== "reading") return true;
    this.mustReadLog = false;
    const { gap, entries } = resume(position, page);
    if (gap !== null) this.#tell(gap);
    else if (entries.length === 0) return this.#settle(topOf(page.head));
    const batches = page.batches(entries, this.channel.head.offset);
    this.write(batches);
    return gap !== null || batches.length > 0;
  }

  /** It stands at the end of the log, but under another epoch: at the origin of a log that was made since, say. It takes the log's own. */
  #settle(top: Position): boolean {
    const position = this.position!;
    if (top.offset !== position.offset || top.epoch === position.epoch) return false;
    this.position = top;
    this.outlet.say({ type: "epoch", channel: this.channel.name, epoch: top.epoch });
    return true;
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
