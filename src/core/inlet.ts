import type { Cancel, Clock } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { engineFault } from "./engine-fault.ts";
import type { Flusher } from "./flusher.ts";
import type { Appended, Draft, Log } from "./log.ts";

interface Waiting {
  readonly draft: Draft;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: ThroughlineError) => void;
}

/** The log is to be removed, after what was published before and before what is published later. */
interface Removal {
  readonly draft: null;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One channel's way into the log: what is published while the log is busy goes in one call when it is free again. One call at a time, so
 * that the order of publishing is the order of the log, and so that a slow log makes larger calls instead of more of them. The flusher sets their pace.
 *
 * Bounded by `publishQueueMax` and `publishQueueBytesMax`: beyond, a publish is refused with `overloaded`, which means not stored.
 */
export class Inlet {
  readonly #channel: string;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #flusher: Pick<Flusher, "pace">;
  readonly #onIdle: () => void;
  #queue: (Waiting | Removal)[] = [];
  #bytes = 0;
  /** When the oldest of the queue came. */
  #since = 0;
  #busy = false;
  /** The log has kept a call for too long, and has it still. */
  #stuck = false;

  constructor(channel: string, context: { log: Log; clock: Clock; limits: Limits; flusher: Pick<Flusher, "pace">; onIdle: () => void }) {
    this.#channel = channel;
    this.#log = context.log;
    this.#clock = context.clock;
    this.#limits = context.limits;
    this.#flusher = context.flusher;
    this.#onIdle = context.onIdle;
  }

  append(draft: Draft): Promise<Appended> {
    if (this.#stuck) return Promise.reject(this.#notStored());
    if (this.#isFull(draft.size)) return Promise.reject(this.#overloaded());
    this.#bytes += draft.size;
    const appended = new Promise<Appended>((resolve, reject) => this.#queue.push({ draft, resolve, reject }));
    this.#wake();
    return appended;
  }

  /** Removes the log, in the order of the calls. */
  remove(): Promise<void> {
    if (this.#stuck) return Promise.reject(this.#notStored());
    if (this.#isFull(0)) return Promise.reject(this.#overloaded());
    const removed = new Promise<void>((resolve, reject) => this.#queue.push({ draft: null, resolve, reject }));
    this.#wake();
    return removed;
  }

  /** One more waits. */
  #wake(): void {
    if (this.#queue.length === 1) this.#since = this.#clock.elapsed();
    if (this.#busy) return;
    this.#busy = true;
    // The rest of this turn's publishes come along.
    this.#clock.soon(() => void this.#drain());
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const startMs = this.#clock.elapsed();
      const taken = this.#take();
      if (taken.length === 0) {
        await this.#remove(this.#queue.shift() as Removal);
        continue;
      }
      const cancel = this.#timeOut(taken);
      try {
        const drafts = taken.map((one) => one.draft);
        const results = await this.#log.append(this.#channel, drafts);
        for (const [index, one] of taken.entries()) one.resolve(results[index]!);
      } catch (error) {
        const known = error instanceof ThroughlineError ? (engineFault(error) as ThroughlineError) : this.#unknown(error);
        for (const one of taken) one.reject(known);
      }
      cancel();
      this.#stuck = false;
      await this.#flusher.pace(this.#clock.elapsed() - startMs);
    }
    this.#busy = false;
    this.#onIdle();
  }

  async #remove(removal: Removal): Promise<void> {
    const cancel = this.#timeOut([removal]);
    await this.#log.remove!(this.#channel).then(removal.resolve, (error) => removal.reject(engineFault(error)));
    cancel();
    this.#stuck = false;
  }

  /** What was published before the log is to be removed, or all. */
  #take(): Waiting[] {
    const removal = this.#queue.findIndex(({ draft }) => draft === null);
    const taken = this.#queue.splice(0, removal < 0 ? this.#queue.length : removal) as Waiting[];
    for (const { draft } of taken) this.#bytes -= draft.size;
    return taken;
  }

  /**
   * A log that does not answer leaves what it was given unknown, and what it was not given not stored: what waits now, and what comes
   * until it answers. Counted from when the oldest came, so that nobody waits longer.
   */
  #timeOut(taken: readonly (Waiting | Removal)[]): Cancel {
    const waitedMs = this.#clock.elapsed() - this.#since;
    return this.#clock.after(this.#limits.publishSecondsMax * 1_000 - waitedMs, () => {
      this.#stuck = true;
      for (const one of taken) one.reject(this.#unknown(undefined));
      for (const one of this.#queue) one.reject(this.#notStored());
      this.#queue = [];
      this.#bytes = 0;
    });
  }

  #isFull(bytes: number): boolean {
    return this.#queue.length >= this.#limits.publishQueueMax || this.#bytes + bytes > this.#limits.publishQueueBytesMax;
  }

  #overloaded(): ThroughlineError {
    if (!this.#busy) this.#onIdle();
    const sentence = `Too much is waiting to be stored on ${this.#channel}. Nothing of this was stored; send it again later.`;
    return new ThroughlineError("overloaded", sentence, { retryAfterMs: 1_000 });
  }

  #notStored(): ThroughlineError {
    const sentence = `The log of ${this.#channel} does not answer. Nothing of this was stored; send it again later.`;
    return new ThroughlineError("not_stored", sentence, { retryAfterMs: 1_000 });
  }

  #unknown(cause: unknown): ThroughlineError {
    const sentence = `The log of ${this.#channel} did not say whether this was stored. Send it again, with the same key.`;
    return new ThroughlineError("unknown", sentence, { retryAfterMs: 1_000, cause });
  }
}
