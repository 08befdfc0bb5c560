import { ThroughlineError } from "./error.ts";
import type { From } from "./frame.ts";
import { type Position, parsePosition } from "./position.ts";

/** Where to begin, checked: what `parseFrom` and `readFrom` make of a text or of an application's `From`. */
export type Start =
  | { readonly type: "now" }
  | { readonly type: "start" }
  | { readonly type: "last"; readonly count: number }
  | { readonly type: "since"; readonly atMs: number }
  | { readonly type: "after"; readonly position: Position };

// RFC 3339 §5.6, without leap seconds
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

/** Reads `now`, `start`, `last:50`, `since:<RFC 3339>` or `after:<position>`. Throws `bad_from`, or `bad_position`. */
export function parseFrom(text: string): Start {
  if (text === "now" || text === "start") return { type: text };
  const colon = text.indexOf(":");
  const rest = text.slice(colon + 1);
  switch (text.slice(0, Math.max(colon, 0))) {
    case "last":
      if (/^\d{1,15}$/.test(rest)) return { type: "last", count: Number(rest) };
      break;
    case "since": {
      const atMs = RFC3339.test(rest) ? Date.parse(rest) : Number.NaN;
      if (!Number.isNaN(atMs)) return { type: "since", atMs };
      break;
    }
    case "after":
      return { type: "after", position: parsePosition(rest) };
  }
  throw new ThroughlineError(
    "bad_from",
    `Reading cannot begin from ${JSON.stringify(text.slice(0, 64))}. Use now, start, last:<count>, since:<RFC 3339 time> or after:<position>.`,
  );
}

/** The text form of a `From`, for a URL or a frame. Throws `bad_from`. */
export function formatFrom(from: From): string {
  if (from === "now" || from === "start") return from;
  if (from !== null && typeof from === "object") {
    if ("last" in from && Number.isSafeInteger(from.last) && from.last >= 0) return `last:${from.last}`;
    if ("after" in from && typeof from.after === "string") return `after:${from.after}`;
    if ("since" in from) {
      const date = new Date(from.since);
      if (!Number.isNaN(date.getTime())) return `since:${date.toISOString()}`;
    }
  }
  throw new ThroughlineError(
    "bad_from",
    `This is no place to begin: ${JSON.stringify(from)}. Use "now", "start", { last }, { since } or { after }.`,
  );
}
