import { type ErrorCode, ThroughlineError } from "../protocol/error.ts";

/** What became of it, whatever the reason. Other codes are about what was asked: an engine's own words for them are good for everyone. */
const TOLD: Readonly<Partial<Record<ErrorCode, string>>> = {
  internal: "The log failed. The server's log has the cause.",
  overloaded: "The log cannot be read now. Come back in a moment.",
  not_stored: "The log could not store this: nothing was stored. Send it again later.",
  unknown: "The log failed before it said whether this was stored. Send it again, with the same key.",
};

/**
 * An engine's error, for whoever asked. What engines say of their own faults names directories, addresses, and what a library said: that is for the
 * operator, whom an engine tells of outages itself, and of all else by `warn`; and for the process that hosts us, as the cause.
 */
export function engineFault(error: unknown, warn: (sentence: string) => void = () => undefined): unknown {
  if (!(error instanceof ThroughlineError)) return error;
  const { code, message, retryAfterMs } = error;
  const sentence = TOLD[code];
  if (sentence === undefined) return error;
  if (code === "internal") warn(message);
  return new ThroughlineError(code, sentence, { cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
}
