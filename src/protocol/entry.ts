import type { Kind } from "./message.ts";

/** One message as it stands in the log. Immutable once told. */
export interface Entry {
  readonly offset: number;
  readonly tag: string;
  /** Milliseconds since 1970; never less than that of the entry before. */
  readonly at: number;
  readonly event: string;
  readonly kind: Kind;
  /** A string for `json` (its JSON text) and `text`, bytes for `bytes`. */
  readonly data: string | Uint8Array;
  /** Bytes of `data` and `event` as UTF-8: what retention and pages count. */
  readonly size: number;
}

/** Entries that follow one another by offset, all of one epoch. Never empty. */
export interface Batch {
  readonly channel: string;
  readonly epoch: string;
  readonly entries: readonly Entry[];
}
