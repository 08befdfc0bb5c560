import type { Clock } from "../protocol/clock.ts";
import type { Log, Page, PageLimit } from "./log.ts";

/** The same is read again after this at the earliest: however many come, and however spread, they cost 200 reads a second. */
export const SPACING_MS = 5;

/**
 * Reads of a log, shared by whoever asks for the same: a storm of readers that come back at once costs a few, not one each. Nobody is given what was
 * so before he asked: a read begins in the turn after all have asked that it is for, and who asks after that waits for the next one.
 *
 *     asked ──(a turn later; SPACING_MS after the last one of the same)──> begun ──> answered, to all who asked
 */
export class SharedReads implements Pick<Log, "read"> {
  readonly #log: Pick<Log, "read">;
  readonly #clock: Pick<Clock, "soon" | "after" | "elapsed">;
  readonly #asked = new Map<string, Promise<Page>>();
  /** When each was begun last, the oldest first; those of long ago make room when the next is begun. */
  readonly #begunMs = new Map<string, number>();

  constructor(log: Pick<Log, "read">, clock: Pick<Clock, "soon" | "after" | "elapsed">) {
    this.#log = log;
    this.#clock = clock;
  }

  read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    const what = `${channel} ${after} ${limit.count} ${limit.bytes}`;
    const known = this.#asked.get(what);
    if (known !== undefined) return known;
    const asked = this.#turnOf(what).then(() => {
      this.#note(what);
      return this.#log.read(channel, after, limit);
    });
    this.#asked.set(what, asked);
    return asked;
  }

  async #turnOf(what: string): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.soon(resolve));
    const restMs = (this.#begunMs.get(what) ?? Number.NEGATIVE_INFINITY) + SPACING_MS - this.#clock.elapsed();
    if (restMs > 0) await new Promise<void>((resolve) => this.#clock.after(restMs, resolve));
  }

  /** It begins: whoever asks from here on asks for the next. */
  #note(what: string): void {
    const nowMs = this.#clock.elapsed();
    for (const [other, thenMs] of this.#begunMs) {
      if (thenMs + SPACING_MS > nowMs) break;
      this.#begunMs.delete(other);
    }
    this.#asked.delete(what);
    this.#begunMs.delete(what);
    this.#begunMs.set(what, nowMs);
  }
}
