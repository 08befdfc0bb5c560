import { ThroughlineError } from "../protocol/error.ts";
import type { ErrorFrame } from "../protocol/frame.ts";

export function timedOut(): ThroughlineError {
  return new ThroughlineError("timeout", "No answer in time.");
}

export function disconnected(cause?: unknown): ThroughlineError {
  return cause instanceof ThroughlineError ? cause : new ThroughlineError("disconnected", "Connection cut.", { cause });
}

/** What the server told, in a frame or an answer. */
export function refusal(
  told: Omit<ErrorFrame, "type" | "retryAfterMs"> & { readonly retryAfterMs?: number | undefined },
): ThroughlineError {
  return new ThroughlineError(told.code, told.message, told as ErrorFrame);
}
