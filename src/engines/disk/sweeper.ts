import type { LogContext, Retention } from "../../core/log.ts";
import { isKeyKept, isPastAge } from "../../core/retention.ts";
import type { Cancel } from "../../protocol/clock.ts";
import type { Store } from "./environment.ts";
import { idKey, readJson } from "./record.ts";
import type { Stand } from "./stand.ts";
import { markOf, NAMES } from "./tables.ts";
import type { Writer } from "./writer.ts";

/** How often idle channels are looked at, how many in one turn of the event loop, and the pause between two turns: 10,000 channels a second, a few percent of a core. */
const SWEEP_SECONDS = 30;
const CHANNELS_PER_TURN_MAX = 200;
const TURN_PAUSE_MS = 20;
const [FIRST_KEY, LAST_KEY] = NAMES;

/** Ages channels that nobody publishes to, and deletes the rows of removed logs: a little at a time, through the same commits as everything else. */
export class Sweeper {
  readonly #writer: Writer;
  readonly #context: LogContext;
  readonly #retentionOf: (channel: string) => Retention;
  #cancel: Cancel = () => {};
  #isStopped = false;

  constructor(writer: Writer, context: LogContext, retentionOf: (channel: string) => Retention) {
    this.#writer = writer;
    this.#context = context;
    this.#retentionOf = retentionOf;
    this.#later(SWEEP_SECONDS * 1000, FIRST_KEY);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #later(delayMs: number, start: Buffer): void {
    if (!this.#isStopped) this.#cancel = this.#context.clock.after(delayMs, () => void this.#turn(start));
  }

  async #turn(start: Buffer): Promise<void> {
    let next: Buffer | null = null;
    try {
      const store = await this.#writer.store();
      if (start === FIRST_KEY) await this.#purge(store);
      next = await this.#sweep(store, start);
    } catch (error) {
      if (!this.#isStopped)
        this.#context.warn(`Old messages could not be deleted; it is tried again in ${SWEEP_SECONDS} s. ${(error as Error).message}`);
    }
    if (next === null) this.#later(SWEEP_SECONDS * 1000, FIRST_KEY);
    else this.#later(TURN_PAUSE_MS, next);
  }

  async #sweep(store: Store, start: Buffer): Promise<Buffer | null> {
    const rows = store.rows("channels", start, LAST_KEY, CHANNELS_PER_TURN_MAX);
    const stands = rows.map(({ key, value }) => [key.toString(), readJson<Stand>(key, value, `The head of channel ${key}`)] as const);
    const due = stands.filter(([channel, stand]) => this.#isDue(store, channel, stand));
    for (const [channel] of due) {
      const retention = this.#retentionOf(channel);
      while (!this.#isStopped && (await this.#writer.submit(0, (transaction) => transaction.sweep(channel, retention)))) {}
    }
    const last = rows.at(-1);
    // The key behind the last one: a zero byte longer
    return last === undefined || rows.length < CHANNELS_PER_TURN_MAX ? null : Buffer.concat([last.key, FIRST_KEY]);
  }

  #isDue(store: Store, channel: string, stand: Stand): boolean {
    const nowMs = this.#context.clock.now();
    if (stand.lowest < stand.first) return true;
    if (stand.oldestKey !== null && !isKeyKept(stand.oldestKey, stand.first, nowMs, this.#context.keySecondsMin)) return true;
    return stand.first <= stand.top && isPastAge(markOf(store, channel, stand.id, stand.first).at, nowMs, this.#retentionOf(channel));
  }

  async #purge(store: Store): Promise<void> {
    for (const key of store.keys("removed", idKey(0), LAST_KEY, CHANNELS_PER_TURN_MAX)) {
      const id = key.readUIntBE(0, 6);
      while (!this.#isStopped && (await this.#writer.submit(0, (transaction) => transaction.purge(id)))) {}
    }
  }
}
