import type { Batch } from "../protocol/entry.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { ServerFrame } from "../protocol/frame.ts";

/**
 * How a reader's messages become bytes. Core never sees the bytes: an `Encoded` is whatever the codec's outlets write.
 * Readers with the same shared codec get the very same encoded batch, made once.
 */
export interface Codec {
  /** False where what is encoded depends on the reader: then it is made for each, and not kept. */
  readonly shared: boolean;
  /** One batch. `epochTold` is the epoch that these readers were told last; a codec whose messages do not bear their epoch tells a new one first. */
  batch(batch: Batch, epochTold: string): Encoded;
  /** One frame for all of its readers, other than a message; null if this codec leaves it out. */
  frame(frame: ServerFrame): Encoded | null;
}

/** What a codec makes. Opaque to core, hence `unknown`: a codec and its outlets agree on it. */
export type Encoded = unknown;

/** A reader's way out: a socket, a stream, a callback. Several readers of one connection share one. */
export interface Outlet {
  readonly codec: Codec;
  /** True while `sinkBytesMax` bytes or more are unsent. Its readers write nothing until told `drained`. */
  full(): boolean;
  /** Never fails and never waits: what cannot be sent any more is dropped, and the end of the outlet is told elsewhere. */
  write(encoded: Encoded): void;
  /** Says a frame other than a message to this outlet's reader alone. */
  say(frame: ServerFrame): void;
  /** The hub ended this reader (its permission, its log): say so, in the transport's own way. */
  refuse(channel: string, error: ThroughlineError): void;
}
