import type { Writable } from "node:stream";
import type { Stream, StreamOwner } from "../transports/exchange.ts";

/** Where a socket keeps its owner, so that all sockets share one set of listeners: closures for each would cost more than the reader. */
const OWNER = Symbol("throughline.owner");

type Owned = Writable & { [OWNER]?: StreamOwner };

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
    return this.#sink.writableLength;
  }

  get sent(): number {
    return this.#written - this.#sink.writableLength;
  }

  write(bytes: Uint8Array): void {
    this.#written += bytes.length;
    this.#sink.write(bytes);
  }

  end(): void {
    this.#ending.end();
  }

  destroy(): void {
    this.#sink.destroy();
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
