import type { LogContext } from "../../core/log.ts";
import type { Channels, Publishing } from "./channels.ts";
import type { JetStream } from "./jetstream.ts";
import type { Ledger } from "./ledger.ts";
import type { Places } from "./places.ts";
import type { Reader } from "./reader.ts";
import type { Sheet } from "./record.ts";
import { standingAfter } from "./standing.ts";

/** What is trimmed is deleted once so many messages or bytes were stored since the last time. */
const TRIM_COUNT = 256;
const TRIM_BYTES = 1_048_576;

export interface TrimmerContext {
  readonly log: LogContext;
  readonly js: JetStream;
  readonly places: Places;
  readonly reader: Reader;
  readonly channels: Channels;
  readonly ledger: Ledger;
}

/**
 * Deletes from the stream what readers no longer see. It decides nothing: what is trimmed is said by the last sheet, which is never deleted, so that head and positions outlive all messages.
 * It may be late, fail, or be done by two nodes at once.
 */
export class Trimmer {
  readonly #context: TrimmerContext;
  #running = new Set<Promise<void>>();

  constructor(context: TrimmerContext) {
    this.#context = context;
  }

  /** After an append. */
  stored(state: Publishing): void {
    const { top, bytes, floors } = state.standing;
    if (state.trimmedTop < 0) [state.trimmedTop, state.trimmedBytes] = [top, bytes];
    if (top - state.trimmedTop < TRIM_COUNT && bytes - state.trimmedBytes < TRIM_BYTES) return;
    if ((floors.count <= 1 && floors.bytes <= 0 && floors.at < state.standing.bornAt) || state.isTrimming) return;
    [state.trimmedTop, state.trimmedBytes] = [top, bytes];
    const running = this.trim(state.channel).then(
      () => {},
      () => {
        // The next one trims it too
      },
    );
    this.#running.add(running);
    void running.then(() => this.#running.delete(running));
  }

  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** True if anything is left that is not the head. */
  async trim(channel: string): Promise<boolean> {
    const { channels, places, reader, js } = this.#context;
    const state = channels.use(channel);
    state.isTrimming = true;
    try {
      const place = places.of(channel);
      // Before the log, so that what stands here is of a log no younger than that one
      const lastKeys = await js.last(place.stream, place.keys);
      const last = await reader.last(place);
      if (last === null) return false;
      if (last.lines.length === 0) {
        if (lastKeys !== null) await js.purge(place.stream, place.keys, lastKeys.seq + 1);
        await js.purge(place.stream, place.log, last.seq);
        return false;
      }
      const { sheet, offset } = await reader.first(channel, place, last);
      const oldest = await reader.next(place, 1);
      if (oldest === null || oldest.seq >= sheet.seq) return offset <= standingAfter(last).top;
      if (await this.#saveKeys(state, last, sheet.first - 1)) await js.purge(place.stream, place.log, sheet.seq);
      return true;
    } finally {
      state.isTrimming = false;
      channels.release(state);
    }
  }

  /** Keys of what goes are put where they stay. False if that was not possible now. */
  async #saveKeys(state: Publishing, last: Sheet, upTo: number): Promise<boolean> {
    const { ledger, places } = this.#context;
    if (last.keyTop === 0) return true;
    const place = places.of(state.channel);
    // The table of who publishes here, if it is as far as what is deleted
    const isThere = state.keys !== null && state.standing.born === last.born && state.standing.top >= upTo;
    const own = { standing: standingAfter(last) } as Publishing;
    const keys = isThere && state.keys !== null ? state.keys : await ledger.load(own, place);
    try {
      await ledger.save(isThere ? state : own, keys, place, upTo);
      return true;
    } catch {
      // Another node was quicker, or NATS is away: what is known of the segments is not certain any more
      if (isThere) state.keys = null;
      return false;
    }
  }
}
