import type { GapFrame, MessageFrame, ServerFrame } from "../../src/protocol/frame.ts";
import { Frames } from "./sim-frames.ts";

interface Place {
  offset: number;
  /** `offset.tag`, as a position ends. */
  place: string;
}

export interface WireOptions {
  readonly kind: "websocket" | "sse" | "long-poll";
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
  /** What had been sent at the last write that had a message, and what was unsent after it. */
  #sentThen = 0;
  #unsentThen = 0;

  constructor(options: WireOptions) {
    this.#options = options;
    this.#frames = new Frames({ message: (data) => this.#judge(frameOf(data)), ping() {}, close() {} });
  }

  /** About to be written. */
  write(bytes: Uint8Array): void {
    const { kind, line, sinkBytesMax } = this.#options;
    const { sent, unsent } = line;
    this.#isFull = sent === this.#sentThen && unsent >= this.#unsentThen && this.#unsentThen >= sinkBytesMax;
    this.#hadMessage = false;
    if (kind === "websocket") this.#frames.push(bytes);
    else this.#readEvents(Buffer.from(bytes).toString());
    if (!this.#hadMessage) return;
    this.#sentThen = sent;
    this.#unsentThen = unsent + bytes.length;
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
      const data = block.split("\n").flatMap((line) => (line.startsWith("data: ") ? [line.slice(6)] : []));
      if (data.length > 0) this.#judge(JSON.parse(data.join("\n")) as ServerFrame);
    }
  }

  #judge(frame: ServerFrame): void {
    if (frame.type === undefined) this.#message(frame);
    else if (frame.type === "subscribed") this.#places.set(frame.channel, placeOf(frame.position));
    else if (frame.type === "gap") this.#gap(frame);
    else if (frame.type === "unsubscribed") this.#places.delete(frame.channel);
  }

  #message({ channel, id }: MessageFrame): void {
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
    if (place === undefined || since?.slice(21) !== place.place)
      this.#fault(`told of a gap of ${channel} since ${since} at ${place?.place}`);
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
