import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import type { Stream, StreamOwner } from "../transports/exchange.ts";
import { asBuffer } from "./as-buffer.ts";

/** How long a client may take nothing after the end of its stream, before its socket is closed under what it did not take. */
export const END_MS_MAX = 10_000;

/** Where a socket keeps its owner, so that all sockets share one set of listeners: closures for each would cost more than the reader. */
const OWNER = Symbol("throughline.owner");

type Owned = Writable & { [OWNER]?: StreamOwner };

/** A socket tells that it drains only from its own mark on (16 or 64 KiB). Below it there is nothing to wait for: that counts as one byte. */
export function unsentOf({ writableLength, writableNeedDrain }: Writable): number {
  return writableNeedDrain ? writableLength : Math.min(writableLength, 1);
}

/** True while this socket carries a stream: nothing else may be written to it, and nothing that comes on it is a request (RFC 9112 §9.6). */
export function carriesStream(socket: object): boolean {
  return (socket as Owned)[OWNER] !== undefined;
}

/**
 * Bytes to one client, past `res.write`: the very same buffer to every socket, with no chunk framing and no copy (res.write costs 1.2 times
 * as much; reference/performance-end-to-end.md §2).
 */
export class NodeStream implements Stream {
  readonly #sink: Writable;
  /** What ends it: the response, where there is one, so that node:http ends its own bookkeeping too. */
  readonly #ending: { end(): unknown };
  #written = 0;

  constructor(sink: Writable, ending: { end(): unknown }, owner: StreamOwner) {
    this.#sink = sink;
    this.#ending = ending;
    (sink as Owned)[OWNER] = owner;
    sink.on("drain", onDrain);
    sink.on("close", onClose);
    sink.on("error", ignore);
  }

  get unsent(): number {
    return unsentOf(this.#sink);
  }

  get sent(): number {
    return this.#written - this.#sink.writableLength;
  }

  write(bytes: Uint8Array): boolean {
    this.#written += bytes.length;
    return this.#sink.write(asBuffer(bytes));
  }

  end(): void {
    const sink: Writable & { setTimeout?(ms: number, act: () => void): unknown } = this.#sink;
    this.#ending.end();
    // Who takes nothing holds its socket open without this: the end waits for its turn behind what is unsent.
    sink.setTimeout?.(END_MS_MAX, () => sink.destroy());
  }

  destroy(): void {
    this.#sink.destroy();
  }
}

/**
 * Bytes to one client behind a middleware that encodes the body (compression, say). What that holds nobody can count, and its `drain` is not the socket's:
 * so all that was written since it said "enough" counts as unsent, and nothing else. It holds an event back until it is told to `flush`.
 */
export class EncodedStream implements Stream {
  readonly #res: ServerResponse & { flush?(): void };
  #written = 0;
  unsent = 0;

  constructor(res: ServerResponse, owner: StreamOwner) {
    this.#res = res;
    // The middleware may hang this listener on a stream of its own.
    res.on("drain", () => {
      this.unsent = 0;
      owner.drained();
    });
    res.once("close", () => owner.closed());
    res.on("error", ignore);
  }

  get sent(): number {
    return this.#written - this.unsent;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#res.writableEnded || this.#res.destroyed) return true;
    this.#written += bytes.length;
    const took = this.#res.write(bytes);
    if (!took || this.unsent > 0) this.unsent += bytes.length;
    this.#res.flush?.();
    return this.unsent === 0;
  }

  end(): void {
    this.#res.end();
    this.#res.setTimeout(END_MS_MAX, () => this.#res.destroy());
  }

  destroy(): void {
    this.#res.destroy();
  }
}

function onDrain(this: Owned): void {
  this[OWNER]?.drained();
}

function onClose(this: Owned): void {
  const owner = this[OWNER];
  delete this[OWNER];
  owner?.closed();
}

/** A connection that breaks is told by `close`; without a listener its error would end the process. */
function ignore(): void {}
