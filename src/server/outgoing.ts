import { setTimeout as sleep } from "node:timers/promises";
import { ERRORS, type ErrorCode, ThroughlineError } from "../protocol/error.ts";
import { LIMITS } from "../protocol/limits.ts";

/** One message on its way: an envelope of POST /publish as JSON text, with its idempotency key. */
export interface Envelope {
  /** Which line it was, for what is told about it. */
  readonly number: number;
  readonly json: string;
}

export interface OutgoingOptions {
  /** POSTs to /publish, and gives the results. Throws a ThroughlineError. */
  readonly post: (body: string) => Promise<unknown>;
  /** Fires when it is too late: what has no answer then never gets one. */
  readonly signal: AbortSignal;
  /** One message will never be stored. */
  readonly onRefused: (number: number, error: ThroughlineError) => void;
  /** The server does not take messages now; it is asked again until it does. */
  readonly onAway: (error: ThroughlineError, waiting: number) => void;
  readonly onBack: () => void;
  /** How long the server may be away before it is given up. Default: for ever. */
  readonly awayMsMax?: number;
}

interface Result {
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

/** What one POST carries, and what waits at most: beyond, `push` waits. */
const BATCH_COUNT_MAX = LIMITS.batchCountMax;
const BATCH_CHARS_MAX = 2 * 1024 * 1024;
const WAITING_COUNT_MAX = 4_000;
const WAITING_CHARS_MAX = 8 * 1024 * 1024;
const RETRY_MS_MIN = 200;
const RETRY_MS_MAX = 3_000;

/** Refusals that are about the sender, the channel or the event, which all messages share: what follows would be refused too. */
const HOPELESS = new Set<ErrorCode>([
  "unauthenticated",
  "revoked",
  "forbidden",
  "forbidden_origin",
  "misdirected",
  "bad_channel",
  "bad_event",
]);
/** Refusals of a whole body that one of its messages may have brought upon all. */
const PERHAPS_ONE = new Set<ErrorCode>(["bad_json", "bad_request", "too_large"]);

/**
 * Messages in order to a server that may go away and come back. One POST at a time, and the next not before the last is answered, so that
 * no message overtakes another; what has no answer is sent again with its key, and so stored once (D5).
 */
export class Outgoing {
  readonly #options: OutgoingOptions;
  #waiting: Envelope[] = [];
  #chars = 0;
  #closed = false;
  #ended = false;
  /** Wakes `run` when there is something to send, `push` when there is room. */
  #work: (() => void) | null = null;
  #room: (() => void) | null = null;
  /** Messages that are stored, each once. */
  stored = 0;

  constructor(options: OutgoingOptions) {
    this.#options = options;
  }

  /** How many have no answer yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes a message, as soon as there is room. False when nothing is sent any more. */
  async push(envelope: Envelope): Promise<boolean> {
    while (!this.#ended && (this.#waiting.length >= WAITING_COUNT_MAX || this.#chars >= WAITING_CHARS_MAX)) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
    if (this.#ended) return false;
    this.#waiting.push(envelope);
    this.#chars += envelope.json.length;
    this.#work?.();
    return true;
  }

  /** Nothing more will be pushed. */
  close(): void {
    this.#closed = true;
    this.#work?.();
  }

  /** Sends until everything is answered and `close` was called. Throws what will not get better. */
  async run(): Promise<void> {
    const { onAway, onBack, signal, awayMsMax = Number.POSITIVE_INFINITY } = this.#options;
    let failures = 0;
    let awaySinceMs: number | null = null;
    try {
      for (;;) {
        if (this.#waiting.length === 0) {
          if (this.#closed) return;
          await new Promise<void>((resolve) => {
            this.#work = resolve;
          });
          continue;
        }
        const batch = this.#next();
        const { left, error } = await this.#send(batch);
        this.#keep(batch, left);
        if (left.length < batch.length) failures = 0;
        if (error === null) {
          if (awaySinceMs !== null) onBack();
          awaySinceMs = null;
          continue;
        }
        signal.throwIfAborted();
        if (awaySinceMs === null) onAway(error, this.waiting);
        awaySinceMs ??= performance.now();
        if (performance.now() - awaySinceMs > awayMsMax) throw error;
        await sleep(Math.max(error.retryAfterMs ?? 0, retryMs(failures++)), undefined, { signal });
      }
    } finally {
      this.#ended = true;
      this.#room?.();
    }
  }

  #next(): Envelope[] {
    let count = 0;
    let chars = 0;
    for (const { json } of this.#waiting) {
      chars += json.length;
      if (count === BATCH_COUNT_MAX || (chars > BATCH_CHARS_MAX && count > 0)) break;
      count++;
    }
    return this.#waiting.slice(0, count);
  }

  /** Of a batch, which stands first, only what is left stays. */
  #keep(batch: readonly Envelope[], left: readonly Envelope[]): void {
    this.#waiting.splice(0, batch.length, ...left);
    this.#chars = 0;
    for (const { json } of this.#waiting) this.#chars += json.length;
    this.#room?.();
  }

  /** Those that are to be sent again, and why. Throws what concerns them all and will not get better. */
  async #send(batch: readonly Envelope[]): Promise<{ left: Envelope[]; error: ThroughlineError | null }> {
    let results: readonly Result[];
    try {
      results = readResults(await this.#options.post(`[${batch.map(({ json }) => json).join(",")}]`), batch.length);
    } catch (thrown) {
      const error = thrown as ThroughlineError;
      if (ERRORS[error.code].retry) return { left: [...batch], error };
      if (!PERHAPS_ONE.has(error.code)) throw error;
      if (batch.length > 1) return this.#sendSingly(batch);
      this.#options.onRefused(batch[0]!.number, error);
      return { left: [], error: null };
    }
    const left: Envelope[] = [];
    let error: ThroughlineError | null = null;
    for (const [index, envelope] of batch.entries()) {
      const refusal = results[index]!.error;
      if (refusal === undefined) this.stored++;
      else {
        const its = new ThroughlineError(refusal.code, refusal.message);
        if (HOPELESS.has(its.code)) throw its;
        if (ERRORS[its.code]?.retry) {
          left.push(envelope);
          error ??= its;
        } else this.#options.onRefused(envelope.number, its);
      }
    }
    return { left, error };
  }

  async #sendSingly(batch: readonly Envelope[]): Promise<{ left: Envelope[]; error: ThroughlineError | null }> {
    for (const [index, envelope] of batch.entries()) {
      const { error } = await this.#send([envelope]);
      if (error !== null) return { left: batch.slice(index), error };
    }
    return { left: [], error: null };
  }
}

/** A window that doubles, and within it by chance: many of us may wait for one server. */
function retryMs(failures: number): number {
  return Math.min(RETRY_MS_MIN * 2 ** Math.min(failures, 10), RETRY_MS_MAX) * (0.5 + Math.random() / 2);
}

function readResults(answer: unknown, count: number): readonly Result[] {
  if (Array.isArray(answer) && answer.length === count) return answer;
  throw new ThroughlineError("not_found", "The answer to POST /publish is not one of Throughline. Is this the right URL?");
}
