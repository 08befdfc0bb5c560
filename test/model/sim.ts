import { createHash } from "node:crypto";
import { check } from "../check/checker.ts";
import type { HistoryEvent } from "../check/history.ts";
import { ACTS } from "./sim-acts.ts";
import { calmDown, leave } from "./sim-calm.ts";
import { amongNodes } from "./sim-node-acts.ts";
import { rarely } from "./sim-rare-acts.ts";
import { World } from "./sim-world.ts";

/** What one story came to. */
export interface Outcome {
  readonly seed: number;
  readonly events: readonly HistoryEvent[];
  readonly violations: readonly string[];
  readonly counts: Counts;
}

export interface Counts {
  deliveries: number;
  acts: Record<string, number>;
  faults: Record<string, number>;
  /** Whatever else came to pass, gaps by reason among it. */
  plots: Record<string, number>;
}

/** One story: many acts by chance, then calm. */
export async function play(seed: number): Promise<Outcome> {
  const world = new World(seed);
  const { chance } = world;
  const rare = world.chanceOf("rare acts");
  const peers = world.chanceOf("among nodes");
  const acts: Record<string, number> = {};
  const choices = Object.entries(ACTS).map(([name, [weight, act]]) => [weight, { name, act }] as const);
  const stray = (error: unknown): void => world.fail(`a rejection to nobody: ${String((error as Error)?.stack ?? error)}`);
  process.on("unhandledRejection", stray);
  process.on("uncaughtException", stray);
  try {
    await world.open();
    for (let first = 1 + chance.dice(3); first > 0; first--) ACTS["connect"]![1](world);
    const length = 30 + chance.dice(50);
    for (let step = 0; step < length && world.fails.length === 0; step++) {
      rarely(world, rare);
      amongNodes(world, peers);
      const { name, act } = chance.weighted(choices);
      if (act(world) === false) continue;
      acts[name] = (acts[name] ?? 0) + 1;
      await world.time.pass(chance.weighted(PAUSES)(chance.random.fraction()));
      world.look();
    }
    if (world.fails.length === 0) await calmDown(world);
    if (world.fails.length === 0) await leave(world);
  } catch (error) {
    world.fail(`the story broke off: ${String((error as Error).stack)}`);
  } finally {
    process.off("unhandledRejection", stray);
    process.off("uncaughtException", stray);
  }
  const { history, fails, deliveries, faults, plots } = world;
  const found = check(isOrderly(faults.keys()) ? withConnections(history) : history).violations.map(
    ({ property, name, sentence, t }) => `${Math.round(t)} ms: ${property} ${name}: ${sentence}`,
  );
  const counts = { deliveries, acts, faults: Object.fromEntries(faults), plots: Object.fromEntries(plots) };
  return { seed, events: history, violations: [...fails, ...found], counts };
}

/** Faults that refuse no publish which was sent, or leave its outcome open: what one client sends keeps its order through them. */
const ORDERLY: ReadonlySet<string> = new Set([
  ...[
    "cut",
    "half open",
    "stall",
    "slow",
    "WebSocket blocked",
    "offline",
    "move",
    "lost ack",
    "take nothing",
    "client crash",
    "a write swallowed",
    "trim",
    "calm",
  ],
  ...["lost notices", "double notices", "late notices", "lost, double and late notices"],
]);

function isOrderly(kinds: Iterable<string>): boolean {
  return [...kinds].every((kind) => ORDERLY.has(kind));
}

/** As if each publisher had one connection all the time, since its client sends again in the old order what a cut left unanswered. */
function withConnections(history: readonly HistoryEvent[]): HistoryEvent[] {
  return history.map((event) => (event.type === "publish" ? { ...event, connection: 1 } : event));
}

/** How long until the next act. */
const PAUSES: readonly (readonly [weight: number, ms: (fraction: number) => number])[] = [
  [25, (fraction) => fraction * 3],
  [40, (fraction) => fraction * 60],
  [25, (fraction) => fraction * 400],
  [9, (fraction) => fraction * 3_000],
  [1, (fraction) => fraction * 40_000],
];

export function hashOfHistory(events: readonly HistoryEvent[]): string {
  return createHash("sha256")
    .update(events.map((event) => JSON.stringify(event)).join("\n"))
    .digest("base64url");
}
