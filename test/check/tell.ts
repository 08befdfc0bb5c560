import { formatPosition, NO_TAG } from "../../src/protocol/position.ts";
import type { FaultEvent, FinalEvent, GapEvent, HistoryEvent } from "./history.ts";

/* The words in which small histories are told: one channel, contents `h1`, `h2`…, each first stored at its own number. */

export const CHANNEL = "c";
const EPOCHS = ["000000000001Epoch001", "000000000002Epoch002", "000000000003Epoch003"];

/** An event without its time, which `told` gives it. */
export type Told = HistoryEvent extends infer Event ? (Event extends HistoryEvent ? Omit<Event, "t"> & { t?: number } : never) : never;

/** The position of the message at an offset; with another letter, of another message there. */
export function at(offset: number, letter = "a", epoch = 1): string {
  const tag = offset === 0 ? NO_TAG : letter + String(offset).padStart(7, "0");
  return formatPosition({ epoch: EPOCHS[epoch - 1]!, offset, tag });
}

export function publish(
  n: number,
  { pid = "p", key = `k${n}`, seq = n, ...more } = {} as { pid?: string; key?: string; seq?: number; connection?: number },
): Told {
  return { type: "publish", channel: CHANNEL, pid, seq, key, hash: `h${n}`, ...more };
}

export function stored(
  n: number,
  position = at(n),
  { pid = "p", seq = n, level = "disk", ...more } = {} as { pid?: string; seq?: number; level?: string; duplicate?: boolean },
): Told {
  return { type: "stored", channel: CHANNEL, pid, seq, position, level, ...more };
}

export function answered(type: "refused" | "unknown", n: number, seq = n): Told {
  return { type, channel: CHANNEL, pid: "p", seq, code: type === "refused" ? "not_stored" : "unknown" };
}

/** Asked for and stored, one after the other, each at its own number. */
export function publishAll(from: number, to: number): Told[] {
  return range(from, to).flatMap((n) => [publish(n), stored(n)]);
}

export function begin(cid = "r", position = at(0), more: { askedAt?: number } = {}): Told {
  return { type: "begin", channel: CHANNEL, cid, position, ...more };
}

export function message(n: number, position = at(n), cid = "r"): Told {
  return { type: "message", channel: CHANNEL, cid, position, hash: `h${n}` };
}

export function messages(from: number, to: number, cid = "r"): Told[] {
  return range(from, to).map((n) => message(n, at(n), cid));
}

export function gap(reason: GapEvent["reason"], since: string, resumeFrom: string, missing: number | null, cid = "r"): Told {
  return { type: "gap", channel: CHANNEL, cid, reason, since, resumeFrom, missing };
}

export function fault(kind: string, more: Pick<FaultEvent, "may" | "loses" | "rewrites" | "splits"> = {}): Told {
  return { type: "fault", kind, phase: "start", ...more };
}

export const calm: Told = { type: "fault", kind: "all", phase: "calm" };

/** The log at the end: what stands where. */
export function final(
  entries: readonly (readonly [n: number, position: string])[],
  { first = 1, via = "store", head = entries.at(-1)?.[1] ?? at(first - 1) } = {},
): Told {
  const log = entries.map(([n, position]) => ({ position, hash: `h${n}` }));
  return { type: "final", channel: CHANNEL, via, first, head, log } satisfies Omit<FinalEvent, "t">;
}

export function finalAll(from: number, to: number): Told {
  return final(
    range(from, to).map((n) => [n, at(n)] as const),
    { first: from },
  );
}

/** Gives each event its time, a millisecond after the one before. */
export function told(events: readonly (Told | readonly Told[])[]): HistoryEvent[] {
  return events.flat().map((event, t) => ({ t, ...event }) as HistoryEvent);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}
