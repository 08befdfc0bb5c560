import { Followers } from "../../core/followers.ts";
import type { Appended, Draft, Log, LogContext, Page, PageLimit, Retention, Told } from "../../core/log.ts";
import type { Cancel } from "../../protocol/clock.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { makeEpoch, NO_EPOCH } from "../../protocol/position.ts";
import { MemoryLog } from "./memory-log.ts";

/** What memory keeps of a channel where the application names nothing else. */
export const MEMORY_RETENTION: Retention = { countMax: 10_000, bytesMax: 16 * 1024 * 1024, secondsMax: 24 * 60 * 60 };

/** How often channels that nobody publishes to are looked at, and how many in one turn of the event loop. */
const SWEEP_SECONDS = 30;
const SWEPT_PER_TURN_MAX = 500;

/**
 * Channels that live as long as the process: for tests, and for what need not outlive it. An ack says `memory`. A process that starts anew
 * begins new logs, and readers that come back are told so by a gap.
 *
 * @example throughline({ engine: memory({ retain: { countMax: 1_000 } }) })
 */
export function memory(options: { readonly retain?: Partial<Retention> } = {}): Log {
  return new MemoryEngine({ ...MEMORY_RETENTION, ...options.retain });
}

class MemoryEngine implements Log {
  readonly name = "memory";
  readonly level = "memory";
  readonly retention: Retention;
  readonly #logs = new Map<string, MemoryLog>();
  readonly #followers = new Followers((error) => this.#context?.warn(`A follower of the memory engine failed: ${String(error)}`));
  #context: LogContext | null = null;
  /** The latest epoch of a removed log: what follows in its place must be later, also within the same millisecond. */
  #removedEpoch = NO_EPOCH;
  #sweeping: Iterator<[channel: string, log: MemoryLog]> | null = null;
  #cancelSweep: Cancel = () => {};

  constructor(retention: Retention) {
    this.retention = retention;
  }

  async open(context: LogContext): Promise<void> {
    this.#context = context;
    this.#scheduleSweep(context);
  }

  async append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    const context = this.#opened("not_stored");
    const retention = context.retain(channel, this.retention);
    const log = this.#logs.get(channel) ?? this.#begin(context);
    const stored: Entry[] = [];
    const answers = drafts.map((draft) => log.append(draft, retention, stored));
    if (stored.length > 0) {
      this.#logs.set(channel, log);
      this.#followers.tell(channel, { type: "appended", epoch: log.epoch, entries: stored });
    }
    return answers;
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    const context = this.#opened("restart");
    return this.#logs.get(channel)?.read(after, limit, context.retain(channel, this.retention)) ?? { head: null, entries: [] };
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#followers.follow(channel, follower);
  }

  async remove(channel: string): Promise<void> {
    const log = this.#logs.get(channel);
    if (log === undefined) return;
    this.#logs.delete(channel);
    if (log.epoch > this.#removedEpoch) this.#removedEpoch = log.epoch;
    this.#followers.tell(channel, { type: "changed" });
  }

  async close(): Promise<void> {
    this.#context = null;
    this.#cancelSweep();
    this.#followers.clear();
    this.#logs.clear();
  }

  #opened(code: "not_stored" | "restart"): LogContext {
    if (this.#context !== null) return this.#context;
    throw new ThroughlineError(code, "The memory engine is not open: nothing was stored or read. Open it first; once closed it is empty.");
  }

  #begin(context: LogContext): MemoryLog {
    return new MemoryLog(makeEpoch(context.clock.now(), context.random.letters(8), this.#removedEpoch), context);
  }

  #scheduleSweep(context: LogContext): void {
    this.#cancelSweep = context.clock.after(SWEEP_SECONDS * 1000, () => {
      this.#sweeping = this.#logs.entries();
      this.#sweep(context);
    });
  }

  #sweep(context: LogContext): void {
    if (this.#context === null || this.#sweeping === null) return;
    for (let swept = 0; swept < SWEPT_PER_TURN_MAX; swept++) {
      const next = this.#sweeping.next();
      if (next.done === true) {
        this.#scheduleSweep(context);
        return;
      }
      const [channel, log] = next.value;
      log.sweep(context.retain(channel, this.retention));
    }
    context.clock.soon(() => this.#sweep(context));
  }
}
