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
  /** A message that a pipe brought, which stood at `before`. */
  offer(message: Message, before: string): Outcome;
  /** A message of a page. */
  take(message: Message): void;
  /** A gap that a pipe told. */
  skip(gap: Omit<GapFrame, "type">): Outcome;
  /** Joins the line, which stands at `line`, if nothing is missing between. */
  meet(line: string): void;
}

/** `keptMax`: how many messages of the line are kept while it reads pages. */
export function createReader(from: string, sink: Sink, keptMax: number): Reader {
  /** The first is only where the line stood before the others. */
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
    offer(message, before) {
      const { position, offset } = message;
      const last = kept.at(-1)?.position;
      const hole = offset > offsetOf(before) + 1;
      // Two pipes bring it twice, and a line that began again goes on elsewhere: in what is kept each followed the one before
      if (reader.mode === "reading" && offset > offsetOf(last ?? "")) {
        if (last?.slice(20) !== before.slice(20)) kept = [{ position: before } as Message];
        // Behind a hole of its pipe it follows nothing: it is a place, like the first of all
        if (hole) kept = [];
        if (kept.push(message) > keptMax) kept.shift();
      }
      if (reader.mode !== "joined") return false;
      const own = reader.position as string;
      const ahead = offset - offsetOf(own);
      // Behind a hole of its pipe it may follow another than the one that this reader, further on, has in that place
      if (!hole && ahead === 1 && epochOf(position) >= epochOf(own)) {
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
      // What was kept may be of an earlier line, and end before this one; and it goes on from here only if it, or what it followed, is what this one has
      const fits = kept.some((one) => one.position.slice(20) === position.slice(20)) && kept.at(-1)!.position >= line;
      // With another message where the line stands the log was rewritten, and the next page tells; a tag that is not known is dashes, which sort first
      if (!fits && position.slice(20) !== line.slice(20) && position.slice(0, 38).padEnd(46, "-") < line) return;
      reader.mode = "joined";
      if (fits) kept.slice(1).forEach(reader.take);
      kept = [];
    },
  };
  return reader;
}
