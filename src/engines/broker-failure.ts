import { ThroughlineError } from "../protocol/error.ts";

/** A question that was never sent: there was no connection. */
export class Unsent extends Error {}

/** A read that failed. Whoever attaches now is asked to come back. */
export function readError(broker: string, channel: string, cause: unknown): ThroughlineError {
  const sentence = `${channel} cannot be read, for ${broker} does not answer as it should: ${messageOf(cause)}`;
  return new ThroughlineError("overloaded", sentence, { retryAfterMs: 1_000, cause });
}

/** The text of an error as a sentence. */
export function messageOf(error: unknown): string {
  const { message, name } = (error ?? {}) as Partial<Error>;
  const first = error instanceof AggregateError ? (error.errors[0] as Error | undefined)?.message : "";
  const text = message || first || name || String(error);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
