import type { LogContext } from "../../core/log.ts";
import type { Cancel } from "../../protocol/clock.ts";
import { isLate } from "./failure.ts";
import type { JetStream } from "./jetstream.ts";
import type { Place, Places } from "./places.ts";
import type { Reader } from "./reader.ts";
import { encodeHeaders } from "./record.ts";
import type { Trimmer } from "./trimmer.ts";

/** All channels are gone through so often, by one of the nodes. */
const SWEEP_MS = 15 * 60_000;
/** A channel that was removed keeps its last epoch for so long, so that one that follows it gets a later one, however the clocks stand. */
const REMOVED_MS = 86_400_000;

export interface SweeperContext {
  readonly log: LogContext;
  readonly js: JetStream;
  readonly places: Places;
  readonly reader: Reader;
  readonly trimmer: Trimmer;
}

/** Deletes what has passed its age in channels to which nobody publishes any more. */
export class Sweeper {
  readonly #context: SweeperContext;
  #cancel: Cancel = () => {};
  #isClosed = false;

  constructor(context: SweeperContext) {
    this.#context = context;
  }

  begin(): void {
    const { clock, random } = this.#context.log;
    if (this.#isClosed) return;
    this.#cancel = clock.after(SWEEP_MS * (0.75 + random.fraction() / 2), () => {
      // Whatever went wrong, the next sweep is for it too
      void this.#take()
        .then((isOurs) => (isOurs ? this.sweep() : undefined))
        .catch(() => {})
        .then(() => this.begin());
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  async sweep(): Promise<void> {
    const { js, places, trimmer } = this.#context;
    for (const { name, log } of places.streams) {
      for (let offset = 0, total = 1; offset < total && !this.#isClosed; ) {
        const { state, total: all = 0 } = await js.info(name, { subjects_filter: log, offset });
        const subjects = Object.keys(state.subjects ?? {});
        for (const subject of subjects) {
          if (this.#isClosed) return;
          const channel = places.channelOf(subject);
          if (!(await trimmer.trim(channel))) await this.#forget(places.of(channel));
        }
        if (subjects.length === 0) break;
        offset += subjects.length;
        total = all;
      }
    }
  }

  /** Keys that nobody will ask for, and the mark of a channel that was removed long ago. */
  async #forget(place: Place): Promise<void> {
    const { log, js, reader } = this.#context;
    const lastKeys = await js.last(place.stream, place.keys);
    const last = await reader.last(place);
    if (last === null) return;
    const now = log.clock.now();
    const lastAt = last.lines.at(-1)?.entry.at ?? last.bornAt;
    const isForgotten = last.lines.length > 0 && now - lastAt >= log.keySecondsMin * 1_000;
    if (isForgotten && lastKeys !== null) await js.purge(place.stream, place.keys, lastKeys.seq + 1);
    if (last.lines.length === 0 && now - lastAt >= REMOVED_MS) await js.purge(place.stream, place.log, last.seq + 1);
  }

  /** One node sweeps for all: who says first that it does. */
  async #take(): Promise<boolean> {
    const { js, places, log } = this.#context;
    const { name, sweep } = places.fence;
    const last = await js.last(name, sweep);
    const now = log.clock.now();
    if (last !== null && now - Number(Buffer.from(last.data).toString()) < SWEEP_MS / 2) return false;
    try {
      await js.publish(sweep, encodeHeaders({ "Nats-Expected-Last-Subject-Sequence": String(last?.seq ?? 0) }), Buffer.from(String(now)));
      return true;
    } catch (error) {
      if (isLate(error)) return false;
      throw error;
    }
  }
}
