/** What one error code means on each transport. `close` is the WebSocket close code, `retry` whether the same act may succeed later. */
export interface ErrorMeaning {
  readonly status: number;
  readonly close: number;
  readonly retry: boolean;
}

/**
 * The closed list of error codes. PROTOCOL.md explains each one and a house test holds the two together.
 * Close codes below 4000 are RFC 6455 §7.4.1 and the IANA registry; 4000-4999 are ours and follow the HTTP status.
 */
export const ERRORS = {
  // What was sent is not understood
  bad_request: { status: 400, close: 4400, retry: false },
  bad_json: { status: 400, close: 4400, retry: false },
  bad_frame: { status: 400, close: 4400, retry: false },
  bad_channel: { status: 400, close: 4400, retry: false },
  bad_event: { status: 400, close: 4400, retry: false },
  bad_key: { status: 400, close: 4400, retry: false },
  bad_position: { status: 400, close: 4400, retry: false },
  bad_from: { status: 400, close: 4400, retry: false },
  too_many_channels: { status: 400, close: 4400, retry: false },
  too_large: { status: 413, close: 1009, retry: false },
  unsupported_media: { status: 415, close: 1003, retry: false },
  // It is not for you, or not here
  unauthenticated: { status: 401, close: 4401, retry: false },
  expired: { status: 401, close: 4401, retry: true },
  revoked: { status: 403, close: 4403, retry: false },
  forbidden: { status: 403, close: 4403, retry: false },
  forbidden_origin: { status: 403, close: 4403, retry: false },
  misdirected: { status: 421, close: 4421, retry: false },
  not_found: { status: 404, close: 4404, retry: false },
  method_not_allowed: { status: 405, close: 4405, retry: false },
  not_acceptable: { status: 406, close: 4406, retry: false },
  upgrade_required: { status: 426, close: 4426, retry: false },
  unsupported: { status: 501, close: 4501, retry: false },
  // Publishing
  key_conflict: { status: 422, close: 4422, retry: false },
  keys_full: { status: 429, close: 4429, retry: true },
  not_stored: { status: 503, close: 1013, retry: true },
  unknown: { status: 504, close: 1013, retry: true },
  // Requests
  no_handler: { status: 404, close: 4404, retry: false },
  request_failed: { status: 500, close: 1011, retry: false },
  request_timeout: { status: 504, close: 1013, retry: true },
  // The server protects itself, or goes
  too_many_requests: { status: 429, close: 4429, retry: true },
  overloaded: { status: 503, close: 1013, retry: true },
  slow: { status: 503, close: 4008, retry: true },
  restart: { status: 503, close: 1012, retry: true },
  not_ready: { status: 503, close: 1013, retry: true },
  internal: { status: 500, close: 1011, retry: true },
  // Said by the client library only, never on the wire
  closed: { status: 499, close: 1000, retry: false },
  aborted: { status: 499, close: 1000, retry: false },
  timeout: { status: 504, close: 1013, retry: true },
  outbox_full: { status: 429, close: 4429, retry: true },
  retries_exhausted: { status: 503, close: 1013, retry: false },
  disconnected: { status: 503, close: 1006, retry: true },
} as const satisfies Record<string, ErrorMeaning>;

export type ErrorCode = keyof typeof ERRORS;

/**
 * The one error of Throughline. `code` is from the closed list; the text says what happened, to what, and what to do next.
 *
 * @example
 * try { await channel.publish("message", order); }
 * catch (error) { if (error instanceof ThroughlineError && error.code === "not_stored") retryLater(); }
 */
export class ThroughlineError extends Error {
  override readonly name = "ThroughlineError";
  declare readonly code: ErrorCode;
  /** How long to wait before another try, in milliseconds, where the server said so. */
  declare readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: { readonly retryAfterMs?: number; readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** True for a code of the closed list: a peer may send any text. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(ERRORS, text);
}
