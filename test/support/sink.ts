import type { Codec, Outlet } from "../../src/core/outlet.ts";
import type { Reader } from "../../src/core/reader.ts";
import type { Batch, Entry } from "../../src/protocol/entry.ts";
import type { ThroughlineError } from "../../src/protocol/error.ts";
import type { ServerFrame } from "../../src/protocol/frame.ts";
import { readPosition } from "../../src/protocol/position.ts";

/** A codec whose encoding is a sentence per message: `1 hello`. A new epoch is told before it: `epoch`. */
export class SinkCodec implements Codec {
  readonly shared: boolean;
  /** How often it was asked to encode a batch. */
  made = 0;

  constructor(shared = true) {
    this.shared = shared;
  }

  batch({ epoch, entries }: Batch, epochTold: string): string[] {
    this.made++;
    const told = entries.map(({ offset, data }) => `${offset} ${data}`);
    return epoch === epochTold ? told : ["epoch", ...told];
  }

  frame(frame: ServerFrame): string[] {
    return [sentence(frame)];
  }
}

const SHARED = new SinkCodec();

/** An outlet that writes down what it is given, in short: `subscribed 0`, `1 hello`, `live`, `gap trimmed 3 -> 5`. */
export class Sink implements Outlet {
  readonly codec: Codec;
  readonly story: string[] = [];
  /** Writes that it takes before it is full. */
  room: number;
  writes = 0;
  refused: ThroughlineError | null = null;
  /** Called in each write, before it returns. */
  onWrite: () => void = () => undefined;
  reader: Reader | null = null;

  constructor({ codec = SHARED, room = Number.POSITIVE_INFINITY }: { codec?: Codec; room?: number } = {}) {
    this.codec = codec;
    this.room = room;
  }

  full(): boolean {
    return this.room <= 0;
  }

  write(encoded: unknown): void {
    this.room--;
    this.writes++;
    this.story.push(...(encoded as string[]));
    this.onWrite();
  }

  say(frame: ServerFrame): void {
    this.story.push(sentence(frame));
  }

  refuse(_channel: string, error: ThroughlineError): void {
    this.refused = error;
  }

  /** The socket is empty again. */
  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    this.reader?.drained();
  }

  /** What was told since the last time. */
  take(): string[] {
    return this.story.splice(0);
  }
}

function sentence(frame: ServerFrame): string {
  switch (frame.type) {
    case "subscribed":
      return `subscribed ${readPosition(frame.position)!.offset}`;
    case "gap":
      return `gap ${frame.reason} ${readPosition(frame.since!)!.offset} -> ${readPosition(frame.resumeFrom)!.offset} missing ${frame.missing}`;
    case "signal":
      return `signal ${frame.event} ${frame.sender} ${JSON.stringify(frame.data)}`;
    default:
      return frame.type ?? "message";
  }
}

/** An entry at an offset, with a tag that names it. */
export function entryAt(
  offset: number,
  { data = `m${offset}`, size = data.length, at = offset * 1_000 }: Partial<Entry> & { data?: string } = {},
): Entry {
  return { offset, tag: tagOf(offset), at, event: "message", kind: "text", data, size };
}

export function tagOf(offset: number, history = "t"): string {
  return `${history}${String(offset).padStart(7, "0")}`;
}

/** Entries `from … to`. */
export function entries(from: number, to: number): Entry[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => entryAt(from + index));
}

export const epochOfLetter = (letter: string): string => letter.charCodeAt(0).toString(16).padStart(12, "0") + letter.repeat(8);
