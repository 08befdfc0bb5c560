import { expect } from "vitest";
import { check, type Verdict } from "../check/checker.ts";
import type { HistoryEvent, MessageEvent } from "../check/history.ts";
import { record } from "../support/evidence.ts";
import type { Ground } from "./ground.ts";

/** From calm until every reader stands at the end (D10). */
const CATCH_UP_MS = 60_000;

/** What is judged, and who is wrong on purpose: of a ground, or of any other place where something was broken. */
export type Judged = Pick<Ground, "history" | "naive" | "seed" | "injections" | "startMs" | "keep">;

export interface Row {
  readonly row: string;
  /** One sentence: what was broken, and what had to hold. */
  readonly what: string;
  /** What the row's own negative control came to, where it has one beside the naive readers of its crowd. */
  readonly control?: string;
  readonly [measured: string]: number | string | undefined;
}

/**
 * Judges what happened there by the promises, and keeps the figures. What the naive readers of the crowd were handed through the same faults
 * must not pass; nor may the same history with one message taken from a reader, given to it twice, put behind the next, or taken from the log: so each
 * row shows that it can fail.
 */
export function judge(ground: Judged, { row, what, control, ...measured }: Row): Verdict {
  const history = ground.history.toSorted((a, b) => a.t - b.t);
  const verdict = check(history, { catchUpMs: CATCH_UP_MS });
  const { violations, counts } = verdict;
  const sentences = violations.map(({ property, name, sentence }) => `${property} ${name}: ${sentence}`);
  const where = sentences.length === 0 ? "" : `, history ${ground.keep()}`;
  expect(sentences, `seed ${ground.seed}${where}`).toEqual([]);
  expect(counts.stored, "something was acknowledged").toBeGreaterThan(0);
  for (const [fault, planted] of Object.entries(plantedIn(history))) {
    expect(check(planted, { catchUpMs: CATCH_UP_MS }).counts.violations, `the checker finds a message ${fault}`).toBeGreaterThan(0);
  }
  const controls = [control, naiveIn(ground, history), "planted: a message lost, given twice, out of order, not given: all found"];
  record(row, {
    what,
    injections: ground.injections,
    acked: counts.stored,
    delivered: counts.delivered,
    lost: counts.lost,
    twice: 0,
    disordered: 0,
    untold: 0,
    refused: counts.refused,
    unknown: counts.unknown,
    ...measured,
    control: controls.filter((told) => told !== undefined).join("; "),
    seconds: Math.round((performance.now() - ground.startMs) / 100) / 10,
    seed: ground.seed,
  });
  return verdict;
}

/** The negative control, by the same judge: what the naive were handed. How much it came to; undefined if there were none. */
function naiveIn(ground: Judged, history: readonly HistoryEvent[]): string | undefined {
  if (ground.naive.length === 0) return undefined;
  const others = history.filter(({ type }) => !/^(begin|message|gap|open|close|end)$/.test(type));
  const { violations } = check(
    [...others, ...ground.naive].sort((a, b) => a.t - b.t),
    { violationsMax: 1 },
  );
  expect(violations.length, "the checker finds fault with the naive readers").toBeGreaterThan(0);
  let lost = 0;
  for (const begin of ground.naive) {
    if (begin.type !== "begin") continue;
    const messages = ground.naive.filter((event) => event.type === "message" && event.cid === begin.cid);
    const handed = new Set(messages.map((event) => event.type === "message" && event.position));
    const final = history.find((event) => event.type === "final" && event.channel === begin.channel);
    if (final?.type === "final") lost += final.log.filter(({ position }) => !handed.has(position)).length;
  }
  expect(lost, "the naive readers lost something").toBeGreaterThan(0);
  return `${lost} lost by naive readers`;
}

/** The history with one fault in it, of each kind: of the last message that is acknowledged, retained, and not the last that its reader got. */
function plantedIn(history: readonly HistoryEvent[]): Record<string, HistoryEvent[]> {
  const retained = new Set(history.flatMap((event) => (event.type === "final" ? event.log.map(({ position }) => position) : [])));
  const acked = new Set(
    history.flatMap((event) => (event.type === "stored" && retained.has(event.position ?? "") ? [event.position] : [])),
  );
  const messages = history.filter((event) => event.type === "message");
  const { cid, channel } = messages.at(-1) as MessageEvent;
  const own = messages.filter((event) => event.cid === cid && event.channel === channel);
  const index = own.slice(0, -1).findLastIndex(({ position }) => acked.has(position));
  const [one, next] = own.slice(index) as [MessageEvent, MessageEvent];
  return {
    "that a reader was not given": history.filter((event) => event !== one),
    "given twice": history.flatMap((event) => (event === one ? [one, one] : [event])),
    "out of order": history.map((event) => (event === one ? { ...next, t: one.t } : event === next ? { ...one, t: next.t } : event)),
    "that the log lost": history.map((event) =>
      event.type === "final" ? { ...event, log: event.log.filter(({ position }) => position !== one.position) } : event,
    ),
  };
}
