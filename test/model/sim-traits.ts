import { type Limits, withLimits } from "../../src/protocol/limits.ts";
import type { Chance } from "./sim-chance.ts";
import type { EngineName } from "./sim-store.ts";

export const CHANNELS = ["chat/a", "chat/b", "chat/c"];

/** What one story is like, drawn before it begins. */
export interface Traits {
  readonly engine: EngineName;
  readonly nodes: 1 | 2;
  readonly channels: readonly string[];
  /** Each request goes to any node. */
  readonly isScattered: boolean;
  readonly authorizeMs: number;
  /** Retention by age, where the engine knows it. */
  readonly retainSeconds: number;
  readonly limits: Limits;
}

/**
 * Which nodes have the handler that answers requests, one for each node: mostly all have, else a request is forwarded. Three nodes where two could answer
 * what is asked of one.
 */
export function answerersOf(nodes: number, chance: Chance): readonly boolean[] {
  if (nodes === 1) return [true];
  return chance.weighted([
    [50, [true, true]],
    [14, [true, false]],
    [14, [false, true]],
    [8, [true, false, true]],
    [8, [false, true, true]],
    [4, [false, false, true]],
    [2, [false, false]],
  ]);
}

export function traitsOf(chance: Chance): Traits {
  return {
    engine: chance.weighted([
      [50, "disk"],
      [25, "memory"],
      [25, "scripted"],
    ]),
    nodes: chance.is(0.35) ? 2 : 1,
    channels: CHANNELS.slice(0, chance.one([1, 1, 2, 3])),
    isScattered: chance.is(0.25),
    authorizeMs: chance.one([0, 0, 0, 20]),
    retainSeconds: chance.weighted([
      [80, 86_400],
      [7, 2],
      [7, 10],
      [6, 60],
    ]),
    limits: withLimits({
      sinkBytesMax: chance.one([300, 1_000, 20_000]),
      tailBytesMax: chance.one([200, 1_000, 10_000]),
      catchUpCountMax: chance.one([2, 5, 50]),
      catchUpBytesMax: chance.one([200, 1_000, 20_000]),
      pageCountMax: chance.one([3, 20, 1_000]),
      pageBytesMax: chance.one([300, 5_000, 100_000]),
      heartbeatSeconds: chance.one([5, 15]),
      stalledSecondsMax: 30,
      publishSecondsMax: 3,
      signalsPendingMax: 5,
    }),
  };
}
