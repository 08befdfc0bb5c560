import type { Limits } from "../protocol/limits.ts";
import type { ClientClock, WebSocketClass } from "./system.ts";

export { SYSTEM_CLOCK } from "./system.ts";

export type Transport = "sse" | "websocket" | "long-poll";

/** The limits of PROTOCOL.md §12 that are the client's. A copy, since the whole table would cost every page; a test holds them together. */
export const CLIENT_LIMITS = {
  outboxCountMax: 1_000,
  outboxBytesMax: 1_048_576,
  iteratorCountMax: 256,
  connectSecondsMax: 10,
  backoffMsMin: 300,
  backoffMsMax: 20_000,
} satisfies Partial<Limits>;

export type ClientLimits = { readonly [Name in keyof typeof CLIENT_LIMITS]: number };

export interface ConnectOptions {
  /** Default `auto`: starts on SSE, and moves as the application and the network ask (see `client.reason`). */
  readonly transport?: Transport | "auto";
  /** Sent as `Authorization: Bearer`, on WebSocket as a subprotocol, never in the URL. A function is asked anew for every attempt and call. */
  readonly token?: string | (() => string | Promise<string>);
  /** How many attempts in a row may fail before the client gives up with `retries_exhausted`. Default: it never does. */
  readonly retriesMax?: number;
  /** Overrides of PROTOCOL.md §12: outboxCountMax, outboxBytesMax (below the server's bodyBytesMax, since it may all go in one POST), iteratorCountMax, connectSecondsMax, backoffMsMin, backoffMsMax. */
  readonly limits?: Partial<ClientLimits>;
  /** Default: the global one. For cookies across origins, or a proxy. */
  readonly fetch?: typeof fetch;
  /** Default: the global one; on Node 20, which has none, that of the package `ws`. */
  readonly WebSocket?: WebSocketClass;
  /** Closes the client when it fires. */
  readonly signal?: AbortSignal;
  /** For tests: time. */
  readonly clock?: ClientClock;
  /** For tests: chance, in [0, 1). */
  readonly random?: () => number;
}
