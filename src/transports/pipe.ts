import type { Connection, TransportName } from "../core/connection.ts";
import type { Hub } from "../core/hub.ts";
import type { Identity } from "../core/identity.ts";
import type { Codec } from "../core/outlet.ts";
import type { Reader } from "../core/reader.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { ConnectedFrame, ServerFrame } from "../protocol/frame.ts";
import type { Caller } from "./call.ts";
import type { Stream, StreamOwner } from "./exchange.ts";

/** Between these a client comes back after a cut, at its own moment. */
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 2_500;

/**
 * What every pipe that stays open is: a stream, an identity, and readers that write into it. It is its readers' outlet and the hub's connection
 * in one object, because there may be 100,000 of them.
 */
export abstract class Pipe implements Connection, StreamOwner {
  #stream: Stream | null = null;
  #ended = false;
  #queued: Uint8Array[] | null = null;
  /** The stream said that it is behind, and has not drained since. Without this nothing of it need be looked at before a write. */
  #behind = false;
  abstract readonly transport: TransportName;
  abstract readonly codec: Codec;
  readonly hub: Hub;
  readonly identity: Identity;
  readonly asked: number;
  slot = -1;
  /** Its readers: none, one, or several by channel. Most pipes have one, and a Map for it would cost more than the reader. */
  #readers: Reader | Map<string, Reader> | null = null;
  #id: string | null = null;
  #stalledSent = -1;
  #stalledBeats = 0;

  constructor({ hub, identity, asked }: Caller) {
    this.hub = hub;
    this.identity = identity;
    this.asked = asked;
  }

  get id(): string {
    this.#id ??= this.hub.random.letters(12);
    return this.#id;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The stream is open: from here on the hub knows the pipe. */
  protected opened(stream: Stream): void {
    this.#stream = stream;
    this.hub.enter(this);
  }

  *readers(): Iterable<Reader> {
    if (this.#readers instanceof Map) yield* this.#readers.values();
    else if (this.#readers !== null) yield this.#readers;
  }

  reader(channel: string): Reader | undefined {
    if (this.#readers instanceof Map) return this.#readers.get(channel);
    return this.#readers?.channel.name === channel ? this.#readers : undefined;
  }

  get readerCount(): number {
    return this.#readers instanceof Map ? this.#readers.size : this.#readers === null ? 0 : 1;
  }

  /** Takes a reader of its own, in place of one on the same channel. */
  keep(reader: Reader): void {
    const channel = reader.channel.name;
    this.drop(channel);
    if (this.#readers === null) this.#readers = reader;
    else if (this.#readers instanceof Map) this.#readers.set(channel, reader);
    else
      this.#readers = new Map([
        [this.#readers.channel.name, this.#readers],
        [channel, reader],
      ]);
  }

  /** Ends the reader of a channel; false if there is none. */
  drop(channel: string): boolean {
    const reader = this.reader(channel);
    if (reader === undefined) return false;
    reader.end();
    if (this.#readers instanceof Map) this.#readers.delete(channel);
    else this.#readers = null;
    return true;
  }

  full(): boolean {
    if (this.#stream === null) return true;
    // Asking each socket for its unsent bytes before each write cost 4 % of a large fan-out: it lies in memory that nothing else touches then.
    return this.#behind && this.#stream.unsent >= this.hub.limits.sinkBytesMax;
  }

  write(encoded: unknown): void {
    if (this.#ended) return;
    if (this.#queued !== null) this.#flushQueued();
    if (this.#stream?.write(encoded as Uint8Array) === false) this.#behind = true;
  }

  /**
   * Writes at the end of this turn, with whatever else is queued: greetings and acknowledgements come several at once, and it is the
   * write that costs. Keeps its place before any later `write`.
   */
  protected queue(bytes: Uint8Array): void {
    if (this.#ended) return;
    if (this.#queued !== null) {
      this.#queued.push(bytes);
      return;
    }
    this.#queued = [bytes];
    this.hub.clock.soon(() => {
      if (this.#queued !== null && !this.#ended) this.#flushQueued();
    });
  }

  abstract say(frame: ServerFrame): void;

  refuse(channel: string, error: ThroughlineError): void {
    this.drop(channel);
    if (this.readerCount === 0) this.end(error);
  }

  drained(): void {
    this.#behind = false;
    this.relieved();
    for (const reader of [...this.readers()]) reader.drained();
  }

  closed(): void {
    this.#ended = true;
    for (const reader of this.readers()) reader.end();
    this.#readers = null;
    this.hub.leave(this);
  }

  beat(): void {
    const stream = this.#stream;
    if (stream === null || this.#ended) return;
    if (stream.unsent > 0) {
      this.#watchStalled(stream);
      return;
    }
    this.#stalledBeats = 0;
    this.pulse();
  }

  end(error: ThroughlineError): void {
    if (this.#ended) return;
    this.goodbye(error);
    if (this.#queued !== null) this.#flushQueued();
    this.#ended = true;
    for (const reader of this.readers()) reader.end();
    if (error.code === "slow") this.#stream?.destroy();
    else this.finish(error);
  }

  /** Says the last frame. */
  protected abstract goodbye(error: ThroughlineError): void;
  /** A heartbeat is due, and the socket has room. */
  protected abstract pulse(): void;

  /** There is room again, before the readers take it: they may have more to write than it will ever hold. */
  protected relieved(): void {}

  /** Closes the stream, after what was written. */
  protected finish(_error: ThroughlineError): void {
    this.#stream?.end();
  }

  protected connectedFrame(): ConnectedFrame {
    const { heartbeatSeconds, messageBytesMax, connectionChannelsMax } = this.hub.limits;
    const limits = { messageBytesMax, connectionChannelsMax };
    return { type: "connected", connection: this.id, heartbeatSeconds, retryMs: this.retryMs(), limits };
  }

  protected retryMs(): number {
    return retryMs(this.hub.random.fraction());
  }

  #flushQueued(): void {
    const queued = this.#queued!;
    this.#queued = null;
    if (this.#stream?.write(concat(queued)) === false) this.#behind = true;
  }

  /** A socket with unsent bytes that takes none for `stalledSecondsMax` holds them for nobody. */
  #watchStalled(stream: Stream): void {
    const { heartbeatSeconds, stalledSecondsMax } = this.hub.limits;
    if (stream.sent !== this.#stalledSent) {
      this.#stalledSent = stream.sent;
      this.#stalledBeats = 0;
      return;
    }
    if (++this.#stalledBeats * heartbeatSeconds < stalledSecondsMax) return;
    this.end(
      new ThroughlineError("slow", "Nothing could be sent for too long. Come back at your position; nothing is lost.", {
        retryAfterMs: 1_000,
      }),
    );
  }
}

/** The hint for coming back after a cut, spread so that the readers of a node do not all come in one moment. */
export function retryMs(fraction: number): number {
  return Math.round(RETRY_MS_MIN + fraction * (RETRY_MS_MAX - RETRY_MS_MIN));
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
