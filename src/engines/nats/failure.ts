import { ThroughlineError } from "../../protocol/error.ts";
import { messageOf, Unsent } from "../broker-failure.ts";

/** No answer came in time. What was asked may have been done. */
export class Unanswered extends Error {}

/** What JetStream says where it did nothing. */
export class Refused extends Error {
  /** JetStream's own number of the error: 10071 is a wrong last sequence. 503 is that nobody was there to ask, 403 that this user may not. */
  readonly number: number;

  constructor(number: number, description: string) {
    super(description);
    this.number = number;
  }
}

const NOBODY = 503;
const FORBIDDEN = 403;
const NO_MESSAGE = 10037;
const CONSUMERS_MAX = 10026;
/** The account, the server, its disk, the stream. */
const NO_ROOM = [10002, 10023, 10047, 10077];
const NO_STREAM = 10059;
const WRONG_LAST_SEQUENCE = [10071, 10164];

/** True if what was asked has certainly not been done. */
export function isRefused(error: unknown): boolean {
  return error instanceof Unsent || error instanceof Refused;
}

/** Somebody else has written since. */
export function isLate(error: unknown): boolean {
  return error instanceof Refused && WRONG_LAST_SEQUENCE.includes(error.number);
}

/** There is no stream, or none that can be written now. */
export function isAway(error: unknown): boolean {
  return error instanceof Refused && (error.number === NO_STREAM || error.number === NOBODY);
}

/** There is no stream. */
export function isMissing(error: unknown): boolean {
  return error instanceof Refused && error.number === NO_STREAM;
}

/** There is no room for it. */
export function isFull(error: unknown): boolean {
  return error instanceof Refused && NO_ROOM.includes(error.number);
}

/** There are as many consumers as this account, or stream, may have. */
export function isCrowded(error: unknown): boolean {
  return error instanceof Refused && error.number === CONSUMERS_MAX;
}

export function isNoMessage(error: unknown): boolean {
  return error instanceof Refused && error.number === NO_MESSAGE;
}

/** This user has no permission for it, or none to hear the answer. */
export function isForbidden(error: unknown): boolean {
  return (error instanceof Refused && error.number === FORBIDDEN) || violationOf(error) !== null;
}

interface Violation {
  readonly name: string;
  readonly message: string;
  readonly operation?: string;
}

function violationOf(error: unknown): Violation | null {
  if (!(error instanceof Error)) return null;
  return ([error, error.cause] as (Violation | undefined)[]).find((one) => one?.name === "PermissionViolationError") ?? null;
}

/** What a library, or the application's own function, threw: as one of the three above, or as it is. */
export function failureOf(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const { name, cause, code } = error as { name?: string; cause?: { name?: string }; code?: string };
  const violation = violationOf(error);
  // Who may not hear the answers may have been heard all the same
  if (violation?.operation === "publish") return new Refused(FORBIDDEN, violation.message);
  if (name === "NoResponders" || cause?.name === "NoResponders" || code === "503")
    return new Refused(NOBODY, "no JetStream answers for it.");
  if (name === "TimeoutError" || code === "TIMEOUT") return new Unanswered("NATS did not answer in time.");
  return error as Error;
}

/** An append that failed: `not_stored` where that is certain, else `unknown`. */
export function appendError(channel: string, cause: unknown, isInDoubt: boolean): ThroughlineError {
  if (isInDoubt) {
    const sentence = `Whether the message for ${channel} is stored in NATS is not known: ${messageOf(cause)} Publish it again with the same key.`;
    return new ThroughlineError("unknown", sentence, { retryAfterMs: 1_000, cause });
  }
  const sentence = `NATS did not take the message for ${channel}: ${messageOf(cause)} Nothing was stored; publish it again later.`;
  return new ThroughlineError("not_stored", sentence, { retryAfterMs: 1_000, cause });
}
