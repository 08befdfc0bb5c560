import type { From } from "../protocol/frame.ts";
import { parseFrom } from "../protocol/from.ts";

/** `now`, `start`, `last:50`, `since:2026-01-31T12:00:00Z` or `after:<position>`, as a person writes it. Throws `bad_from`. */
export function readFrom(text: string): From {
  const start = parseFrom(text);
  switch (start.type) {
    case "now":
    case "start":
      return start.type;
    case "last":
      return { last: start.count };
    case "since":
      return { since: start.atMs };
    case "after":
      return { after: text.slice("after:".length) };
  }
}
