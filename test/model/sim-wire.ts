import type { GapFrame, MessageFrame, ServerFrame } from "../../src/protocol/frame.ts";
import { NO_TAG } from "../../src/protocol/position.ts";
import { Frames } from "./sim-frames.ts";

/** Where a channel begins, and where a message of many channels stands. */
interface Begun {
  readonly channel: string;
  readonly position: string;
}

interface Place {
  offset: number;
  /** `offset.tag`, as a position ends. */
  place: string;
}

/** What is written: frames over each transport; plain events of one channel, or of many. */
export type WireKind = "websocket" | "sse" | "long-poll" | "plain" | "vector";

export interface WireOptions {
  readonly kind: WireKind;
  readonly line: { readonly unsent: number; readonly sent: number };
  readonly sinkBytesMax: number;
  readonly onFault: (what: string) => void;
}

/**
 * What a server writes to one connection, judged where it is written: each message right after the one before, each gap from where the reader
 * stands, and nothing to a socket that is full. A client that is as it should be mends what a server does wrong, so that the readers alone would not show it.
 */
export class Wire {
  readonly #options: WireOptions;
  readonly #places = new Map<string, Place>();
  readonly #frames: Frames;
  #text = "";
  /** The last write that had a message in it filled the line, and nothing has drained since: no other may follow. */
  #isFull = false;
  #hadMessage = false;
  #hadOther = false;
  /** What had been sent at the last write that had a message, and what was unsent after it. */
  #sentThen = 0;
  #unsentThen = 0;

  constructor(options: WireOptions) {
    this.#options = options;
    const other = (): void => {
      this.#hadOther = true;
    };
    this.#frames = new Frames({ message: (data) => this.#judge(frameOf(data)), ping: other, close: other });
  }

  /** About to be written. True if it is messages, and nothing else. */
  write(bytes: Uint8Array): boolean {
    const { kind, line, sinkBytesMax } = this.#options;
    const { sent, unsent } = line;
    this.#isFull = sent === this.#sentThen && unsent >= this.#unsentThen && this.#unsentThen >= sinkBytesMax;
    this.#hadMessage = false;
    this.#hadOther = false;
    if (kind === "websocket") this.#frames.push(bytes);
    else this.#readEvents(Buffer.from(bytes).toString());
    if (!this.#hadMessage) return false;
    this.#sentThen = sent;
    this.#unsentThen = unsent + bytes.length;
    return !this.#hadOther;
  }

  /** A whole answer. */
  answer(body: string): void {
    if (body.startsWith('{"frames":')) for (const frame of (JSON.parse(body) as { frames: ServerFrame[] }).frames) this.#judge(frame);
  }

  /** Our server ends what it writes at the end of an event. */
  #readEvents(text: string): void {
    const blocks = (this.#text + text).split("\n\n");
    this.#text = blocks.pop()!;
    for (const block of blocks) {
      const fields = { event: "message", id: "", data: [] as string[] };
      for (const line of block.split("\n")) {
        if (line.startsWith("data: ")) fields.data.push(line.slice(6));
        else if (line.startsWith("event: ")) fields.event = line.slice(7);
        else if (line.startsWith("id: ")) fields.id = line.slice(4);
      }
      if (fields.data.length === 0) this.#hadOther = true;
      else this.#readEvent(fields.event, fields.id, fields.data.join("\n"));
    }
  }

  #readEvent(event: string, id: string, data: string): void {
    const { kind } = this.#options;
    if (kind !== "plain" && kind !== "vector") this.#judge(JSON.parse(data) as ServerFrame);
    else if (event === "connected") {
      const { channels, ...alone } = JSON.parse(data) as Begun & { readonly channels?: readonly Begun[] };
      for (const { channel, position } of channels ?? [alone]) this.#places.set(channel, placeOf(position));
    } else if (event === "gap") this.#gap(JSON.parse(data) as GapFrame);
    else if (kind === "vector" && event === "message") {
      const { channel, position } = JSON.parse(data) as Begun;
      this.#message({ channel, id: position.slice(21) });
    } else if (kind === "plain" && event !== "bye" && !event.startsWith("$")) {
      const [channel = ""] = this.#places.keys();
      this.#message({ channel, id: id.slice(21) });
    }
  }

  #judge(frame: ServerFrame): void {
    if (frame.type !== undefined) this.#hadOther = true;
    if (frame.type === undefined) this.#message(frame);
    else if (frame.type === "subscribed") this.#places.set(frame.channel, placeOf(frame.position));
    else if (frame.type === "gap") this.#gap(frame);
    else if (frame.type === "unsubscribed") this.#places.delete(frame.channel);
  }

  #message({ channel, id }: Pick<MessageFrame, "channel" | "id">): void {
    const place = this.#places.get(channel);
    const [offset, tag] = id.split(".") as [string, string];
    if (place === undefined) {
      this.#fault(`gave ${id} of ${channel} before it said where that begins`);
      return;
    }
    if (Number(offset) !== place.offset + 1) this.#fault(`gave ${id} of ${channel} after ${place.place}`);
    this.#hadMessage = true;
    if (this.#isFull) this.#fault(`gave ${id} of ${channel} to a socket that was full`);
    place.offset = Number(offset);
    place.place = `${offset.padStart(16, "0")}.${tag}`;
  }

  #gap({ channel, since, resumeFrom }: GapFrame): void {
    const place = this.#places.get(channel);
    const isPlace = since?.slice(21) === place?.place || (place?.place.endsWith(NO_TAG) && placeOf(since ?? "").offset === place.offset);
    if (place === undefined || !isPlace) this.#fault(`told of a gap of ${channel} since ${since} at ${place?.place}`);
    this.#places.set(channel, placeOf(resumeFrom));
  }

  #fault(what: string): void {
    this.#options.onFault(`a server ${what}, over ${this.#options.kind}`);
  }
}

function placeOf(position: string): Place {
  return { offset: Number(position.slice(21, 37)), place: position.slice(21) };
}

/** A text frame is JSON; a binary one is the length of its header, the header, the bytes. */
function frameOf(data: string | ArrayBuffer): ServerFrame {
  if (typeof data === "string") return JSON.parse(data) as ServerFrame;
  const length = new DataView(data).getUint32(0);
  return JSON.parse(Buffer.from(data, 4, length).toString()) as ServerFrame;
}
