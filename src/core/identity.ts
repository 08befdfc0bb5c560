/** Who is on the other end, as `authenticate` made it. */
export interface Identity {
  /** Names the user, device or program; empty for one that did not say. Keys and signals belong to it. */
  readonly id: string;
  /** When this identity ends, in milliseconds since 1970; its live connections are closed with `expired`. Default: never. */
  readonly expiresAt?: number;
  /** Whatever else the application wants to see again in `authorize`. */
  readonly [detail: string]: unknown;
}

/** The identity of whoever did not say who they are. */
export const ANONYMOUS: Identity = { id: "" };

/** What may be allowed or not. */
export type Action = "subscribe" | "history" | "publish" | "signal" | "request" | "delete" | "presence" | "watch";

/** What `authenticate` sees of a request: the same for every transport. */
export interface Credentials {
  /** The bearer token, from the Authorization header or the WebSocket subprotocol; null if there is none. */
  readonly token: string | null;
  /** A header by its lower-case name, or null. */
  header(name: string): string | null;
  readonly url: string;
  /** The address of the other end as the socket knows it; empty where the runtime does not say. */
  readonly address: string;
}

/** One question to `authorize`. */
export interface Question {
  readonly identity: Identity;
  readonly action: Action;
  readonly channel: string;
}

/**
 * Makes an identity of a request. `null`: anonymous. `false`: refused, `unauthenticated`; a client then does not come back by itself. To throw is no refusal but a
 * fault of the server: the other end is told `internal`, and tries again. Within 10 s (`gateSecondsMax`).
 *
 * @example authenticate: ({ token, header }) => (token === null ? userOf(header("cookie")) : verify(token) ?? false)
 */
export type Authenticate = (credentials: Credentials) => Identity | null | false | Promise<Identity | null | false>;

/**
 * Decides. Asked before anything is read, written or told; only `true` is yes. Whoever may `subscribe` should have `history` too: our client reads both ways.
 *
 * @example authorize: ({ identity, action, channel }) => channel.startsWith("public/") && action !== "publish"
 */
export type Authorize = (question: Question) => boolean | Promise<boolean>;
