import { ThroughlineError } from "../../protocol/error.ts";
import { messageOf, Unsent } from "../broker-failure.ts";

/** What Redis says where it did nothing: it refused the command before it ran. */
const REFUSED =
  /^(READONLY|OOM|MISCONF|NOREPLICAS|LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|NOAUTH|NOPERM|NOSCRIPT|WRONGPASS|ERR)\b/;
/** And the two libraries, of a node of a cluster that is away. */
const OFFLINE = /^(Stream isn't writeable|The client is (offline|closed))/;

/** What was under way when its link was lost. It may have been done, whatever the link was lost for. */
export class Lost extends Error {}

/** True if the command has certainly done nothing. An error out of the middle of a script names the script. */
export function isRefused(error: unknown): boolean {
  if (error instanceof Unsent) return true;
  if (error instanceof Lost) return false;
  const { message = "" } = error as Error;
  return OFFLINE.test(message) || (REFUSED.test(message) && !message.includes("script:"));
}

/** True if Redis is no master: another connection may find the one that is. */
export function isNoMaster(error: unknown): boolean {
  return /^(READONLY|MASTERDOWN)\b/.test((error as Error).message ?? "");
}

/** An append that failed: `not_stored` where that is certain, else `unknown`. */
export function appendError(channel: string, cause: unknown, isCertain: boolean): ThroughlineError {
  if (isCertain) {
    const sentence = `Redis did not take the message for ${channel}: ${messageOf(cause)} Nothing was stored; publish it again later.`;
    return new ThroughlineError("not_stored", sentence, { retryAfterMs: 1_000, cause });
  }
  return unknownError(channel, messageOf(cause), cause);
}

export function unknownError(channel: string, why: string, cause?: unknown): ThroughlineError {
  const sentence = `Whether the message for ${channel} is stored in Redis is not known: ${why} Publish it again with the same key.`;
  return new ThroughlineError("unknown", sentence, { retryAfterMs: 1_000, cause });
}
