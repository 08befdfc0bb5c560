import type { ThroughlineError } from "../protocol/error.ts";
import type { GapFrame } from "../protocol/frame.ts";
import type { Message } from "./message.ts";
import { epochOf, offsetOf } from "./position.ts";

/** Where one local subscription's messages go. */
export interface Sink {
  take(message: Message): void;
  /** How many more it takes now. */
  room(): number;
  /** With an error if the server ended it, without if the application did. Where it is missing, the client's own `error` event tells. */
  end?(error: ThroughlineError | undefined): void;
}

/** True: it is the next. False: it has it, or is not on the line. Null, a doubt: something lies between, or the log has changed. */
export type Outcome = boolean | null;

/**
 * One local subscription, which is a position: the keeper of promise D2. Whatever pipes and pages bring, in whatever order, what leaves
 * here is an unbroken line. Pure.
 *
 *     joined ──(no room)──> paused ──(room)──> reading ──(meets the line)──> joined ──(doubt)──> reading
 *
 * Who is joined takes what the pipes bring. Who is not, because it began elsewhere, stopped for a while, or was brought what does not fit
 * its position, reads pages of history from there, never further on, until it meets the line of the others. What the line brings
 * meanwhile is kept, the latest of it, so that they meet for certain.
 */
export interface Reader {
  readonly from: string;
  readonly sink: Sink;
  /** Stops what it waits for. */
  readonly abort: AbortController;
  mode: "joined" | "reading" | "paused" | "ended";
  /** It has everything up to here. Null before the server has said where it begins. */
  position: string | null;
  /** Where it doubted last. */
  doubted?: string | null;
  /** A message that a pipe brought. */
  offer(message: Message): Outcome;
  /** A message of a page. */
  take(message: Message): void;
  /** A gap that a pipe told. */
  skip(gap: Omit<GapFrame, "type">): Outcome;
  /** Joins the line, which stands at `line`, if nothing is missing between. */
  meet(line: string): void;
}

/** `keptMax`: how many messages of the line are kept while it reads pages. */
export function createReader(from: string, sink: Sink, keptMax: number): Reader {
  let kept: Message[] = [];
  const reader: Reader = {
    from,
    sink,
    abort: new AbortController(),
    mode: "joined",
    position: null,
    take(message) {
      // Positions of one lineage sort as strings
      if (reader.mode === "ended" || message.position <= (reader.position ?? "")) return;
      reader.position = message.position;
      sink.take(message);
    },
    offer(message) {
      const { position, offset } = message;
      if (reader.mode === "reading") {
        const step = offset - (kept.at(-1)?.offset ?? offset - 1);
        // Two pipes bring it twice, and a line that began again goes on elsewhere: what is kept has no holes
        if (step > 1) kept = [];
        if (step > 0 && kept.push(message) > keptMax) kept.shift();
      }
      if (reader.mode !== "joined") return false;
      const own = reader.position as string;
      const ahead = offset - offsetOf(own);
      if (ahead === 1 && epochOf(position) >= epochOf(own)) {
        reader.take(message);
        return true;
      }
      // Something is missing; or the same place in a later epoch, or with another tag, is another message: the log has lost its tail
      return position === own || (ahead < 0 && epochOf(position) <= epochOf(own)) ? false : null;
    },
    skip({ reason, since, resumeFrom }) {
      kept = [];
      const position = reader.position;
      // One that another pipe, or pages, have carried it past is stale (R6)
      if (reader.mode !== "joined" || (position && reason === "trimmed" && resumeFrom <= position)) return false;
      // Only what was judged on the very place where it stands is to be believed; an epoch that began there may be told already
      if (position && position.slice(20) !== since?.slice(20)) return null;
      // A gap is a position (R12)
      reader.position = resumeFrom;
      return true;
    },
    meet(line) {
      const position = reader.position as string;
      // What was kept may be of an earlier line, and end before this one; and of a log that had another message where this reader stands
      const fits = kept.some((message) => isSame(message.position, position)) && kept.at(-1)!.position >= line;
      // At a later offset of a log that has lost its tail since, the line's next message will not fit, and pages are asked what became of it
      if (!fits && !isSame(position, line) && position.slice(0, 37) <= line) return;
      reader.mode = "joined";
      if (fits) kept.forEach(reader.take);
      kept = [];
    },
  };
  return reader;
}

/** One place of the log with one message, as far as is known (a tag that is not is dashes), whatever epochs began there. */
function isSame(one: string, other: string): boolean {
  return one.slice(20) === other.slice(20) || (/-$|-\w/.test(one + other) && offsetOf(one) === offsetOf(other));
}
