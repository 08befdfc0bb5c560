import type { From } from "../protocol/frame.ts";

/** The text form of a From: what protocol/from.ts does, in the bytes that a page can spare; the server checks the rest. Throws for no date. */
export function formatFrom(from: From): string {
  if (typeof from !== "object") return from;
  if ("last" in from) return `last:${from.last}`;
  return "after" in from ? `after:${from.after}` : `since:${new Date(from.since).toISOString()}`;
}
