import { textOfThrown } from "../core/thrown.ts";
import { ERRORS, isErrorCode, ThroughlineError } from "../protocol/error.ts";
import type { ByeFrame, ErrorFrame } from "../protocol/frame.ts";
import type { Exchange } from "./exchange.ts";

const FIXED = { "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff" } as const;

/** A whole answer in JSON. */
export function answer(exchange: Exchange, status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): void {
  answerText(exchange, status, JSON.stringify(value), headers);
}

/** A whole answer whose JSON is there already. */
export function answerText(exchange: Exchange, status: number, json: string, headers: Readonly<Record<string, string>> = {}): void {
  exchange.respond(status, { ...FIXED, ...headers }, json);
}

/** An answer without a body. */
export function answerEmpty(exchange: Exchange, status: number, headers: Readonly<Record<string, string>> = {}): void {
  exchange.respond(status, { "cache-control": "no-store", "x-content-type-options": "nosniff", ...headers }, "");
}

/** The answer of PROTOCOL.md §4 to something that failed. */
export function answerError(exchange: Exchange, error: ThroughlineError, headers: Readonly<Record<string, string>> = {}): void {
  const retry: Record<string, string> =
    error.retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(error.retryAfterMs / 1_000)) };
  answer(exchange, ERRORS[error.code].status, { error: { code: error.code, message: error.message } }, { ...retry, ...headers });
}

/**
 * Whatever was thrown, as an error that may be told. A fault of ours is for the operator; the other end learns only that it happened. So is a code that is
 * not on the list, which an application in JavaScript may throw.
 */
export function tellable(thrown: unknown, warn: (sentence: string) => void): ThroughlineError {
  if (thrown instanceof ThroughlineError && isErrorCode(thrown.code)) return thrown;
  warn(`Unexpected: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : textOfThrown(thrown)}`);
  return new ThroughlineError("internal", "Something failed inside the server. Its log has the cause.");
}

/** The last frame of a pipe that ends with this error. Without `retryAfterMs` a client does not come back by itself. */
export function byeFrame(error: ThroughlineError): ByeFrame {
  const retryAfterMs = error.retryAfterMs ?? (ERRORS[error.code].retry ? 1_000 : undefined);
  return { type: "bye", code: error.code, message: error.message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

export function errorFrame(error: ThroughlineError, about: { id?: number | undefined; channel?: string | undefined }): ErrorFrame {
  return {
    type: "error",
    code: error.code,
    message: error.message,
    ...(about.id === undefined ? {} : { id: about.id }),
    ...(about.channel === undefined ? {} : { channel: about.channel }),
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  };
}
