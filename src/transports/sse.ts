import type { Codec } from "../core/outlet.ts";
import type { Entry } from "../protocol/entry.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { ServerFrame } from "../protocol/frame.ts";
import { formatPosition } from "../protocol/position.ts";
import { frameSse, HEARTBEAT_SSE, plainBye, plainConnected, plainGap, plainSignal } from "../wire/control.ts";
import { encodeVector } from "../wire/encode-once.ts";
import { byeFrame, errorFrame } from "./answer.ts";
import type { Caller } from "./call.ts";
import { FRAMES_SSE, PLAIN } from "./codecs.ts";
import type { Exchange } from "./exchange.ts";
import { Pipe } from "./pipe.ts";

/**
 * Of all headers measured these pass nginx, HAProxy, Caddy, Apache and Varnish as they come, each event at once; `no-transform` keeps
 * middle boxes from compressing what must not wait (reference/protocols.md §10).
 */
export const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
} as const;

/**
 * Caddy before 2.7 does not know `no-transform`, and does not flush what it compressed; it leaves alone what has a coding, be it none. Only behind a
 * proxy, since RFC 9110 §8.4.1 would rather not see it.
 */
const NO_CODING = { "content-encoding": "identity" } as const;

/** When Varnish is sent something behind the head: soon, and later too, should it have been too busy to read the head by itself. */
const BEHIND_HEAD_MS = [100, 500, 2_500];

export abstract class EventStream extends Pipe {
  readonly transport = "sse";

  /** Sends the head. False if there is nobody left to send to. */
  open(exchange: Exchange, headers: Readonly<Record<string, string>>): boolean {
    const coding = exchange.header("x-forwarded-for") === null ? {} : NO_CODING;
    const stream = exchange.stream({ ...STREAM_HEADERS, ...coding, ...headers }, this);
    if (stream === null) return false;
    this.opened(stream);
    // Varnish keeps what it read together with the head until it reads more (its `v1f_read` goes on behind it), be that at the next event
    if (exchange.header("x-varnish") !== null) {
      for (const ms of BEHIND_HEAD_MS) this.hub.clock.after(ms, () => this.write(HEARTBEAT_SSE));
    }
    return true;
  }

  /** However much else is written: left out after a message, the silence behind it would last for two heartbeats, and look like death. */
  protected pulse(): void {
    this.write(HEARTBEAT_SSE);
  }

  protected goodbye(error: ThroughlineError): void {
    this.write(plainBye(byeFrame(error)));
  }
}

/** One channel as plain events (PROTOCOL.md §4.1). */
export class PlainStream extends EventStream {
  get codec(): Codec {
    return PLAIN;
  }

  say(frame: ServerFrame): void {
    if (frame.type === "subscribed") {
      const { channel, position } = frame;
      const { heartbeatSeconds } = this.hub.limits;
      this.write(plainConnected({ channel, position, connection: this.id, heartbeatSeconds, retryMs: this.retryMs() }));
    } else if (frame.type === "gap") this.write(plainGap(frame));
  }
}

/** Many channels as frames (§4.5). */
export class FrameStream extends EventStream {
  get codec(): Codec {
    return FRAMES_SSE;
  }

  sayConnected(): void {
    this.say(this.connectedFrame());
  }

  say(frame: ServerFrame): void {
    this.queue(frameSse(frame));
  }

  override refuse(channel: string, error: ThroughlineError): void {
    this.say(errorFrame(error, { channel }));
    super.refuse(channel, error);
  }

  protected override goodbye(error: ThroughlineError): void {
    this.say(byeFrame(error));
  }
}

/**
 * Many channels for EventSource (§4.4). Each id is the positions of all its channels, which differ from reader to reader, so nothing of it can be
 * shared: it is for a page that has no client library, not for a crowd.
 */
export class VectorStream extends EventStream {
  readonly codec: Codec;
  readonly #positions: Map<string, string>;

  constructor(caller: Caller, channels: readonly string[]) {
    super(caller);
    this.#positions = new Map(channels.map((channel) => [channel, ""]));
    this.codec = {
      shared: false,
      batch: (batch) => encodeVector(batch, (entry) => this.#after(batch.channel, batch.epoch, entry)),
      frame: (frame) => (frame.type === "signal" ? plainSignal(frame) : null),
    };
  }

  /** Said when every channel is located and before any begins. */
  sayConnected(): void {
    for (const reader of this.readers()) this.#positions.set(reader.channel.name, formatPosition(reader.position!));
    const channels = [...this.#positions].map(([channel, position]) => ({ channel, position }));
    const { heartbeatSeconds } = this.hub.limits;
    this.write(plainConnected({ channels, connection: this.id, heartbeatSeconds, retryMs: this.retryMs() }));
  }

  say(frame: ServerFrame): void {
    if (frame.type !== "gap") return;
    this.#positions.set(frame.channel, frame.resumeFrom);
    this.write(plainGap(frame, this.#vector()));
  }

  /** EventSource knows its channels by their place in the URL, so a stream that lost one is over. */
  override refuse(_channel: string, error: ThroughlineError): void {
    this.end(error);
  }

  #after(channel: string, epoch: string, { offset, tag }: Entry): string {
    this.#positions.set(channel, formatPosition({ epoch, offset, tag }));
    return this.#vector();
  }

  #vector(): string {
    return [...this.#positions.values()].join(",");
  }
}
