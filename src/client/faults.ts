import { ThroughlineError } from "../protocol/error.ts";

export function timedOut(): ThroughlineError {
  return new ThroughlineError("timeout", "No answer.");
}

export function disconnected(cause?: unknown): ThroughlineError {
  return cause instanceof ThroughlineError ? cause : new ThroughlineError("disconnected", "Connection cut.", { cause });
}
