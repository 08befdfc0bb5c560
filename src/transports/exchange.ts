/**
 * One HTTP request and its answer, as an adapter gives them. Transports see nothing of the runtime or the framework but this.
 */
export interface Exchange {
  readonly method: string;
  /** The path below the mount point, as it was sent: percent-encoded, beginning with a slash. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly url: string;
  /** The other end's address; empty where the runtime does not say. */
  readonly address: string;
  /** Requests that came before it on its connection and have no answer yet; 0 where the runtime does not say. */
  readonly ahead: number;
  /** A header by its lower-case name, or null. */
  header(name: string): string | null;
  /** The whole body. Throws `too_large` as soon as it has more than `bytesMax`. */
  body(bytesMax: number): Promise<Uint8Array>;
  /** Sends a whole answer. At most once, and not after `stream`. */
  respond(status: number, headers: Readonly<Record<string, string>>, body: string): void;
  /**
   * Sends the head of a 200 answer that has no length, and gives the way to write its body; null if the answer cannot be streamed any more
   * (the client has gone, or its connection still carries an earlier answer): then there is nothing left to do.
   */
  stream(headers: Readonly<Record<string, string>>, owner: StreamOwner): Stream | null;
  /** Calls `act` if the client goes before it was answered. */
  onGone(act: () => void): void;
}

/** Who is told of a stream. */
export interface StreamOwner {
  /** What was unsent is sent. */
  drained(): void;
  /** The other end has gone, or the stream was ended. Told once. */
  closed(): void;
}

/** Bytes to one client. */
export interface Stream {
  /** Bytes that the socket has not taken yet. */
  readonly unsent: number;
  /** Bytes that it has taken since it opened: what does not grow while `unsent` is above 0 has stalled. */
  readonly sent: number;
  /** Takes everything, at once, and never throws; after the end it does nothing. False: it is behind, and `drained` will be told. */
  write(bytes: Uint8Array): boolean;
  /** Ends it properly, after what was written. */
  end(): void;
  /** Ends it now. */
  destroy(): void;
}
