/** What Redis answers: bulk strings as bytes, the rest as JavaScript has it. */
export type Reply = Buffer | string | number | null | readonly Reply[];

export type Argument = string | Buffer;

/** What a subscriber hears. */
export type Hear = (name: string, message: Buffer) => void;

/**
 * One connection to Redis (to a cluster: one to each of its nodes), from its opening to its end. It neither reconnects nor sends anything twice:
 * a command that was under way when it ended is rejected, and its outcome is not known. Whoever wants another link opens one.
 */
export interface Link {
  /** Sends a command, in the order of the calls. `key` is the key that it is about, by which a cluster finds the node. */
  send(key: string, words: readonly Argument[]): Promise<Reply>;
  subscribe(names: readonly string[]): Promise<void>;
  unsubscribe(names: readonly string[]): Promise<void>;
  /** Asks for an answer where it listens: else nothing is sent there, and a network may have forgotten it without a word. Of a cluster this asks nothing. */
  ping(): Promise<void>;
  close(): void;
}

export interface LinkEvents {
  /** Called once, if the link ends otherwise than by `close`. */
  readonly onEnd: (error: Error) => void;
  readonly onHeard: Hear;
}

/** A client of the user's own, by which links are opened. */
export interface Plug {
  /** The parts of a cluster have keys of their own: wake-ups go by sharded Pub/Sub. */
  readonly isCluster: boolean;
  open(events: LinkEvents): Promise<Link>;
}

/** A bulk or simple string as text. */
export function textOf(reply: Reply | undefined): string {
  return typeof reply === "string" ? reply : Buffer.isBuffer(reply) ? reply.toString() : String(reply ?? "");
}

/** The reply to a command that answers with an array. */
export function listOf(reply: Reply | undefined): readonly Reply[] {
  return Array.isArray(reply) ? (reply as readonly Reply[]) : [];
}
