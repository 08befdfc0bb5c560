import type { Appended, Draft, Log, LogContext, Page, PageLimit, Told } from "../../src/core/log.ts";
import type { Clock } from "../../src/protocol/clock.ts";
import { type Habits, ScriptedLog } from "./scripted-log.ts";
import type { Chance } from "./sim-chance.ts";

/**
 * Scripted logs, one a channel, as one engine: a broker that knows epochs, which no engine of ours makes yet. It lives through the death of
 * every node, and loses, rewrites and restores what the story says.
 */
export class ScriptedLogs implements Log {
  readonly name = "scripted";
  readonly level = "memory";
  readonly retention = { countMax: 1_000_000, bytesMax: 1e9, secondsMax: 1e9 };
  readonly #logs: ReadonlyMap<string, ScriptedLog>;

  constructor(channels: readonly string[], clock: Clock, chance: Chance) {
    this.#logs = new Map(channels.map((channel) => [channel, new ScriptedLog(clock, chance.random)]));
  }

  /** What a story does with a channel's log. */
  of(channel: string): ScriptedLog {
    return this.#logs.get(channel)!;
  }

  behave(habits: Partial<Habits>): void {
    for (const log of this.#logs.values()) log.behave(habits);
  }

  async open(context: LogContext): Promise<void> {
    for (const log of this.#logs.values()) await log.open(context);
  }

  append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    return this.of(channel).append(channel, drafts);
  }

  read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    return this.of(channel).read(channel, after, limit);
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.of(channel).follow(channel, follower);
  }

  remove(channel: string): Promise<void> {
    return this.of(channel).remove(channel);
  }

  async close(): Promise<void> {
    for (const log of this.#logs.values()) await log.close();
  }
}
