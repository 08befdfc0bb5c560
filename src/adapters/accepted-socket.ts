import type { Duplex } from "node:stream";
import type { Socket, SocketPipe } from "../transports/websocket.ts";
import { closeFrame, pongFrame } from "../wire/websocket.ts";
import { asBuffer } from "./as-buffer.ts";
import { FrameReceiver, type FrameReceiverOptions } from "./frame-receiver.ts";
import { END_MS_MAX, unsentOf } from "./node-stream.ts";

/** A message in more parts than these is nobody's honest message: each part costs more than its bytes (CVE-2026-48779 of `ws`). */
const FRAGMENTS_MAX = 1_024;
const CHUNKS_MAX = 16_384;

const NO_EXTENSIONS = {};

/** RFC 6455 §7.4.1. */
const NO_CODE = 1005;
const CLOSE_CODES: Readonly<Record<string, number>> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
};
const PROTOCOL_ERROR = 1002;

/** Where a socket and its receiver keep what they belong to, so that all of them share one set of listeners. */
const OWNER = Symbol("throughline.socket");

type Owned = { [OWNER]: AcceptedSocket };

/**
 * One WebSocket of a server, from the end of its handshake to that of its socket: the stream that a pipe writes whole frames into, the receiver
 * that reads the other way, and the closing between them (RFC 6455 §7).
 *
 *     open ──close(), or the other end's close frame, which is answered──> closing ──both have been sent──> ended ──> closed
 *       └──────a frame that breaks the protocol, or the end of the other's bytes───────────────────────────> ended
 *
 * No byte follows a close frame (§5.5.1). Who does not close his half is cut after END_MS_MAX.
 */
export class AcceptedSocket implements Socket {
  readonly #sink: Duplex;
  #written = 0;
  /** A close frame has been sent, or may not be any more. */
  #closing = false;
  readonly #pipe: SocketPipe;
  readonly #receiver: FrameReceiver;
  #paused = false;

  /** `head` is what of the socket has been read already. */
  constructor(sink: Duplex, head: Buffer, pipe: SocketPipe, bodyBytesMax: number) {
    this.#sink = sink;
    this.#pipe = pipe;
    this.#receiver = new FrameReceiver(receiverOptions(bodyBytesMax));
    (this.#receiver as unknown as Owned)[OWNER] = this;
    (sink as unknown as Owned)[OWNER] = this;
    this.#receiver.on("message", onMessage).on("ping", onPing).on("pong", onPong);
    this.#receiver.on("conclude", onConclude).on("drain", onTaken).on("error", onFailed);
    sink.on("data", onData).on("drain", onDrain).on("end", onEnd).on("close", onClose).on("error", onError);
    if (head.length > 0) sink.unshift(head);
    sink.resume();
  }

  get unsent(): number {
    return unsentOf(this.#sink);
  }

  get sent(): number {
    return this.#written - this.#sink.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closing) return true;
    this.#written += bytes.length;
    return this.#sink.write(asBuffer(bytes));
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#sayClose(closeFrame(code, reason));
  }

  end(): void {
    this.close(1000, "");
  }

  destroy(): void {
    this.#sink.destroy();
  }

  pause(): void {
    this.#paused = true;
    this.#sink.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#receiver.writableNeedDrain) this.#sink.resume();
  }

  /** Bytes came. */
  take(chunk: Buffer): void {
    if (!this.#receiver.write(chunk)) this.#sink.pause();
  }

  /** The receiver has worked off what it had. */
  taken(): void {
    if (!this.#paused) this.#sink.resume();
  }

  message(data: Buffer, isBinary: boolean): void {
    this.#pipe.message(isBinary ? data : data.toString("utf8"));
  }

  /** §5.5.3: of several pings the last may be answered alone. A client that does not take its answers gets none. */
  ping(payload: Buffer): void {
    if (!this.#sink.writableNeedDrain) this.write(pongFrame(payload));
  }

  pong(): void {
    this.#pipe.pong();
  }

  /** The other end closes: nothing it sends after that is read (§5.5.1). */
  concluded(code: number): void {
    if (!this.#closing) this.#sayClose(closeFrame(code === NO_CODE ? null : code));
    this.#finish();
  }

  /** The other end broke the protocol: it is told how, and nothing more of it is read (§7.1.7). */
  failed({ code }: { readonly code?: string }): void {
    if (!this.#closing) this.#sayClose(closeFrame(CLOSE_CODES[code ?? ""] ?? PROTOCOL_ERROR));
    this.#finish();
  }

  /** The other end sends no more. */
  ended(): void {
    if (!this.#closing) cutLater(this.#sink);
    this.#closing = true;
    this.#finish();
  }

  drained(): void {
    this.#pipe.drained();
  }

  closed(): void {
    this.#closing = true;
    this.#pipe.closed();
  }

  /** The answer must be read, whoever paused. */
  #sayClose(frame: Uint8Array): void {
    this.write(frame);
    this.#closing = true;
    cutLater(this.#sink);
    this.resume();
  }

  /** Both have said what they had to: the socket ends behind what is unsent. What still comes is thrown away, so that it is not answered by a reset. */
  #finish(): void {
    this.#sink.off("data", onData);
    this.#sink.resume();
    this.#sink.end();
  }
}

/** A socket that its other end does not close is cut after END_MS_MAX. */
export function cutLater(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), END_MS_MAX);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
}

let options: FrameReceiverOptions | null = null;

/** The same for all of a hub: a receiver takes what it needs of them. */
function receiverOptions(maxPayload: number): FrameReceiverOptions {
  if (options?.maxPayload !== maxPayload) {
    options = {
      isServer: true,
      maxPayload,
      maxFragments: FRAGMENTS_MAX,
      maxBufferedChunks: CHUNKS_MAX,
      binaryType: "nodebuffer",
      extensions: NO_EXTENSIONS,
    };
  }
  return options;
}

function onMessage(this: Owned, data: Buffer, isBinary: boolean): void {
  this[OWNER].message(data, isBinary);
}

function onPing(this: Owned, payload: Buffer): void {
  this[OWNER].ping(payload);
}

function onPong(this: Owned): void {
  this[OWNER].pong();
}

function onConclude(this: Owned, code: number): void {
  this[OWNER].concluded(code);
}

function onTaken(this: Owned): void {
  this[OWNER].taken();
}

function onFailed(this: Owned, error: { readonly code?: string }): void {
  this[OWNER].failed(error);
}

function onData(this: Owned, chunk: Buffer): void {
  this[OWNER].take(chunk);
}

function onDrain(this: Owned): void {
  this[OWNER].drained();
}

function onEnd(this: Owned): void {
  this[OWNER].ended();
}

function onClose(this: Owned): void {
  this[OWNER].closed();
}

function onError(this: Owned): void {
  this[OWNER].destroy();
}
