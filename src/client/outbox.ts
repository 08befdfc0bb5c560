import { ThroughlineError } from "../protocol/error.ts";
import { BATCH_CHARS_MAX, BATCH_COUNT_MAX } from "./bounds.ts";

/** A publish or a request that has no answer yet. */
export interface Waiting {
  readonly id: number;
  /**
   * The JSON of the envelope, which is also that of the frame but for `type` and `id`. Made when it was published: a value that changes
   * later must not become other content under the same key. Empty for a request, which is sent once.
   */
  readonly text: string;
  readonly resolve: (answer: never) => void;
  readonly reject: (error: ThroughlineError) => void;
  /** On which pipe it is under way, -1 in a POST; 0: it is to be sent. */
  via: number;
  /** An attempt had no answer: what became of it is not known. */
  unsure?: boolean;
}

export interface OutboxLimits {
  readonly outboxCountMax: number;
  readonly outboxBytesMax: number;
}

/** Codes that say what they mean also of an attempt before: the key holds other content; or the client has stopped waiting, and says no more. */
const SURE = /^(key_c|clo|retr)/;

/**
 * What has no answer yet, in the order it was made. A publish leaves by an answer only, never by being sent: what was under way when a
 * pipe was cut is sent again with the same key, and so stored once (D5). A request is not repeated.
 */
export interface Outbox {
  readonly size: number;
  /** Throws `outbox_full`. */
  add(waiting: Waiting): void;
  /** The next of those to be sent: what one POST carries. */
  unsent(): Waiting[];
  get(id: number): Waiting | undefined;
  /** Its answer has come, or is not waited for any more. */
  take(id: number): Waiting | undefined;
  /** It will not be sent again. Who refuses this attempt does not say what became of one before that had no answer: `unknown` (D5). */
  refuse(id: number, error: ThroughlineError): void;
  /** A pipe is gone, and with it the answers it still owed: publishes are back in line, in the old order; requests fail. */
  lost(pipe: number, error: ThroughlineError): void;
  /** Nothing will be answered. */
  end(error: ThroughlineError): void;
}

export function createOutbox({ outboxCountMax, outboxBytesMax }: OutboxLimits): Outbox {
  const all = new Map<number, Waiting>();
  let bytes = 0;
  const outbox: Outbox = {
    get size() {
      return all.size;
    },
    add(waiting) {
      if (all.size >= outboxCountMax || bytes + waiting.text.length > outboxBytesMax) {
        throw new ThroughlineError("outbox_full", "Too much waits.");
      }
      bytes += waiting.text.length;
      all.set(waiting.id, waiting);
    },
    unsent() {
      const batch: Waiting[] = [];
      let chars = 0;
      for (const waiting of all.values()) {
        if (waiting.via) continue;
        chars += waiting.text.length;
        if (batch[0] && (chars > BATCH_CHARS_MAX || batch.length === BATCH_COUNT_MAX)) break;
        batch.push(waiting);
      }
      return batch;
    },
    get: (id) => all.get(id),
    take(id) {
      const waiting = all.get(id);
      if (all.delete(id)) bytes -= waiting!.text.length;
      return waiting;
    },
    refuse(id, error) {
      const waiting = outbox.take(id);
      if (waiting?.unsure && !SURE.test(error.code)) error = new ThroughlineError("unknown", "It may be stored.", { cause: error });
      waiting?.reject(error);
    },
    lost(pipe, error) {
      for (const waiting of all.values()) {
        if (waiting.via !== pipe) continue;
        if (!waiting.text) outbox.take(waiting.id)?.reject(error);
        waiting.via = 0;
        waiting.unsure = true;
      }
    },
    end(error) {
      outbox.lost(-1, error);
      for (const id of all.keys()) outbox.refuse(id, error);
    },
  };
  return outbox;
}
