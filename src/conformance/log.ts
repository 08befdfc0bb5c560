import type { Level } from "../protocol/message.ts";
import { followConformance } from "./log-follow.ts";
import { keysConformance } from "./log-keys.ts";
import { orderConformance } from "./log-order.ts";
import { restartConformance } from "./log-restart.ts";
import { retentionConformance } from "./log-retention.ts";
import { story } from "./log-story.ts";
import type { LogPowers, LogSubject } from "./log-subject.ts";

export interface LogConformanceOptions {
  /** The runner's: `test` of vitest, node:test, Jest… */
  readonly test: (title: string, story: () => Promise<void>) => void;
  readonly create: () => Promise<LogSubject>;
  readonly level: Level;
  readonly powers: LogPowers;
}

/**
 * The contract of the Log port as tests. An engine that passes them may stand under a hub.
 *
 * @example
 * logConformance({ test, create: async () => ({ make: () => memory(), clock, random, dispose: async () => {} }), level: "memory", powers: { reopen: false, remove: true } });
 */
export function logConformance(options: LogConformanceOptions): void {
  const { test, create, level, powers } = options;
  const tell = (title: string, act: Parameters<typeof story>[1]) => test(title, () => story(create, act));

  tell("a log says its name, its level and its powers", async ({ log }) => {
    if (log().level !== level) throw new Error(`Expected the level ${level}, not ${log().level}.`);
    if (log().name === "") throw new Error("Expected a name.");
    if ((log().remove !== undefined) !== powers.remove) throw new Error(`Expected remove to be ${powers.remove ? "there" : "left out"}.`);
  });
  orderConformance(tell);
  retentionConformance(tell);
  keysConformance(tell);
  followConformance(tell, powers);
  if (powers.reopen) restartConformance(tell, powers);
}
