import type { Clock, Random } from "../protocol/clock.ts";
import type { Entry } from "../protocol/entry.ts";
import type { Kind, Level } from "../protocol/message.ts";
import type { Position } from "../protocol/position.ts";

/** One message on its way into the log. */
export interface Draft {
  readonly event: string;
  readonly kind: Kind;
  /** Not altered any more once it is here: an engine may keep bytes as they are, and tells its followers the same ones. */
  readonly data: string | Uint8Array;
  readonly size: number;
  /** The idempotency key, already made one with its publisher's identity. */
  readonly key?: string;
  /** A digest of event, kind and data: the same key with another print is a conflict. Present with `key`. */
  readonly print?: string;
}

/** What became of a draft. */
export type Appended =
  | { readonly type: "stored"; readonly position: Position }
  /** The key was known: this is where its message stands, or stood before it was trimmed. */
  | { readonly type: "duplicate"; readonly position: Position }
  /** The key was known with other content. */
  | { readonly type: "conflict" }
  /** `keysMax` keys are remembered and none has expired. */
  | { readonly type: "keys_full" };

/**
 * One epoch of a log: its entries begin at `start` and end before the next epoch's. To begin another is to vouch for that end: readers beyond it are told that up to
 * there nothing is missing. Who cannot (the end may have been lost unnoticed, and its offsets given again) begins it without that word, and they are told that nobody knows.
 */
export interface Era {
  readonly epoch: string;
  readonly start: number;
  readonly isUnvouched?: true;
}

/** A log as it stands. */
export interface Head {
  /** Oldest first, at least one. A new era is added where continuity with the past is not certain. */
  readonly lineage: readonly Era[];
  /** Offset of the first retained entry; `top + 1` if none is. */
  readonly first: number;
  /** Tag of entry `first - 1`, the last trimmed one; `NO_TAG` if `first` is 1 or it is not known. */
  readonly boundaryTag: string;
  /** Offset of the last entry ever appended; 0 if none. */
  readonly top: number;
  /** Tag of entry `top`; `NO_TAG` if `top` is 0. */
  readonly topTag: string;
}

/** Entries and the head, as of one moment. */
export interface Page {
  /** Null: the channel has no log (never published to, or removed). */
  readonly head: Head | null;
  readonly entries: readonly Entry[];
}

export interface PageLimit {
  /** 0 asks for the head alone. */
  readonly count: number;
  /** At least one entry is read, however large. */
  readonly bytes: number;
}

/** What a follower is told. */
export type Told =
  /** These entries, in order, were stored under `epoch`. Told once each, after they are stored at the log's level. */
  | { readonly type: "appended"; readonly epoch: string; readonly entries: readonly Entry[] }
  /** Something else happened (entries told of elsewhere, removed, lineage changed, a wake-up missed): read the log again. */
  | { readonly type: "changed" };

/**
 * How much of a channel is kept. What is beyond any of the three is trimmed; but the newest entry only by its age, since a message larger than
 * `bytesMax` would otherwise be acknowledged and gone in one step.
 */
export interface Retention {
  readonly countMax: number;
  readonly bytesMax: number;
  readonly secondsMax: number;
}

/** What an engine is given when the hub opens it. */
export interface LogContext {
  readonly clock: Clock;
  readonly random: Random;
  /** The retention of a channel, asked at each append, and where an engine needs an age without one (a read, a sweep); `own` is the engine's default. Quick. */
  readonly retain: (channel: string, own: Retention) => Retention;
  readonly keysMax: number;
  readonly keySecondsMin: number;
  readonly lineageMax: number;
  /** Tell the operator, in one sentence. */
  readonly warn: (sentence: string) => void;
}

/** A signal, or something about who is there or about a request, on its way between nodes. */
export interface Notice {
  readonly channel: string;
  readonly body: string;
}

/**
 * The one seam to storage. An engine is an implementation of it, and `throughline/conformance` is its test.
 *
 * The contract:
 * - `append` is one atomic step for each draft, in order: look the key up, give the next offset and a fresh tag, store, remember the
 *   key, trim. It resolves once its level holds (`disk`: after fsync). Calls for one channel are ordered: what was called first stands
 *   first. It rejects with a `ThroughlineError` `not_stored` (nothing of the call is or will be in the log) or `unknown`.
 * - `read` gives entries after an offset together with the head of the same moment, as many as the limit allows, contiguous; where
 *   `after < first - 1` it begins at `first`. Entries past their age are not given, whether or not they were trimmed yet. Only what is
 *   stored at the log's level is given.
 * - `follow` tells of every append of any node, after it is stored at the level (at `replicated`: once the master has it) and not later than its `append` resolves. A follower
 *   is told in order, in a turn of the event loop of its own or of the append, never inside `follow` itself. What was missed is told as `changed`.
 *   A follower that throws disturbs neither the others nor the append. The entries of several appends may come in one telling.
 * - `close` stores what is in flight, stops timers and lets go of files. The hub calls nothing after it.
 */
export interface Log {
  readonly name: string;
  /** What an acknowledged append survives. */
  readonly level: Level;
  /** The retention used where the application names none. */
  readonly retention: Retention;
  open(context: LogContext): Promise<void>;
  append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]>;
  read(channel: string, after: number, limit: PageLimit): Promise<Page>;
  follow(channel: string, follower: (told: Told) => void): () => void;
  close(): Promise<void>;

  // Powers that an engine may declare by having them.

  /** Removes the log, in the order of the calls to `append`. Followers are told `changed`; the next append begins a new lineage with a later epoch. No error if there is none. */
  remove?(channel: string): Promise<void>;
  /**
   * Best effort between nodes: bounded, may drop, keeps no order with entries, never throws. Heard where the channel is followed, never told back to the node that
   * sent it, nor twice, nor behind what that node sent later.
   */
  notify?(notice: Notice): void;
  listen?(listener: (notice: Notice) => void): () => void;

  /**
   * Null if what is appended now would be stored and what is asked for could be read; else the reason, in a sentence that anybody may read. It looks, rather than remembers, and
   * where something failed tries it again, since there may be nobody else who does. The hub asks once a second at most, and waits for `readySecondsMax`.
   */
  ready?(): Promise<string | null>;
}
