import type { Clock } from "../protocol/clock.ts";
import type { Log, Page, PageLimit } from "./log.ts";

/** The same is read so often within a spell, and then again in the next: however many come, and however spread, they cost 600 reads a second. One who asks again and again waits for none. */
export const SPELL_READS_MAX = 3;
export const SPELL_MS = 5;

/**
 * Reads of a log, shared by whoever asks for the same: a storm of readers that come back at once costs a few, not one each. Nobody is given what was
 * so before he asked: a read begins in the turn after all have asked that it is for, and who asks after that waits for the next one.
 *
 *     asked ──(a turn later; in the next spell, if this one has had its reads)──> begun ──> answered, to all who asked
 */
export class SharedReads implements Pick<Log, "read"> {
  readonly #log: Pick<Log, "read">;
  readonly #clock: Pick<Clock, "soon" | "after" | "elapsed">;
  readonly #asked = new Map<string, Promise<Page>>();
  /** The spell of each, the oldest first; those of long ago make room when the next read is begun. */
  readonly #spells = new Map<string, { readonly sinceMs: number; reads: number }>();

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
    const { sinceMs, reads } = this.#spells.get(what) ?? { sinceMs: 0, reads: 0 };
    const restMs = sinceMs + SPELL_MS - this.#clock.elapsed();
    if (reads >= SPELL_READS_MAX && restMs > 0) await new Promise<void>((resolve) => this.#clock.after(restMs, resolve));
  }

  /** It begins: whoever asks from here on asks for the next. */
  #note(what: string): void {
    this.#asked.delete(what);
    const nowMs = this.#clock.elapsed();
    for (const [other, { sinceMs }] of this.#spells) {
      if (sinceMs + SPELL_MS > nowMs) break;
      this.#spells.delete(other);
    }
    const spell = this.#spells.get(what);
    if (spell === undefined) this.#spells.set(what, { sinceMs: nowMs, reads: 1 });
    else spell.reads++;
  }
}
