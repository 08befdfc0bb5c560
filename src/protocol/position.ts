import { ThroughlineError } from "./error.ts";

/**
 * A place in a channel's log: everything up to and including `offset` has been read.
 *
 * The tag is random per message. Epoch and offset alone are not enough: a log that lost its tail gives the same offsets to
 * other messages, and only the tag at the reader's offset tells (the log-matching property of Raft, §5.3, applied to readers).
 */
export interface Position {
  /** Names one lineage of the log: 12 hexadecimal digits of milliseconds and 8 random characters. */
  readonly epoch: string;
  /** 0 before the first message, then 1, 2, 3… */
  readonly offset: number;
  /** 8 random characters of the message at `offset`, or `NO_TAG` where none is known. */
  readonly tag: string;
}

export const TAG_LENGTH = 8;
/** The tag of offset 0 and of entries whose tag is not known. It skips the comparison; no message ever has it. */
export const NO_TAG = "--------";
/** The epoch of a channel that has no log yet. Sorts before every other. */
export const NO_EPOCH = "000000000000--------";
/** Where every reader of a channel without a log stands: before whatever comes first. */
export const ORIGIN: Position = { epoch: NO_EPOCH, offset: 0, tag: NO_TAG };

/** 20 + 1 + 16 + 1 + 8 characters: fixed width, so that positions of one lineage sort as strings. */
const FORM = /^[0-9a-f]{12}[0-9A-Za-z-]{8}\.[0-9]{16}\.[0-9A-Za-z-]{8}$/;

/** The text of a position: the SSE `id:`, and what an application may store. */
export function formatPosition({ epoch, offset, tag }: Position): string {
  return `${epoch}.${String(offset).padStart(16, "0")}.${tag}`;
}

/** Reads a position's text, or returns null. For text that came from outside use `parsePosition`. */
export function readPosition(text: string): Position | null {
  if (text.length !== 46 || !FORM.test(text)) return null;
  const offset = Number(text.slice(21, 37));
  if (!Number.isSafeInteger(offset)) return null;
  return { epoch: text.slice(0, 20), offset, tag: text.slice(38) };
}

/** Reads a position's text. Throws `bad_position`. */
export function parsePosition(text: string): Position {
  const position = readPosition(text);
  if (position !== null) return position;
  throw new ThroughlineError(
    "bad_position",
    `This is not a position: ${JSON.stringify(text.slice(0, 64))}. Send one exactly as the server gave it (46 characters, epoch.offset.tag).`,
  );
}

/** A new epoch, later than `previous` even if the clock went back. Hexadecimal, so that 12 digits last for 8,900 years. */
export function makeEpoch(nowMs: number, letters: string, previous: string = NO_EPOCH): string {
  const afterPrevious = Number.parseInt(previous.slice(0, 12), 16) + 1;
  return Math.max(afterPrevious, Math.floor(nowMs)).toString(16).padStart(12, "0") + letters;
}
