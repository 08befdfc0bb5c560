import { createHash } from "node:crypto";

/*
 * What happened, as those saw it to whom it happened: one JSON object a line (NDJSON). A publisher writes before it asks and after it is
 * answered, a reader in the application's callback, whoever breaks things before and after. The checker (`checker.ts`) judges it by the
 * promises alone, so it does not matter whether a simulation wrote it or ten processes did, each its own file.
 *
 * `t` is in milliseconds of one clock for all that are judged together: the simulation's, or the machine's monotonic one.
 */
export type HistoryEvent =
  | PublishEvent
  | AnswerEvent
  | BeginEvent
  | MessageEvent
  | GapEvent
  | EndEvent
  | PipeEvent
  | FaultEvent
  | FinalEvent;

/** A publish is asked for. Each attempt of the application's own is one of these; the client's repetitions are not seen. */
export interface PublishEvent {
  readonly type: "publish";
  readonly t: number;
  readonly channel: string;
  /** The publisher, and the how-manyth of it this is: `pid` and `seq` name a publish. */
  readonly pid: string;
  readonly seq: number;
  /** The idempotency key; empty for none. The same key again is a repetition, of the same content. No two publishers share one. */
  readonly key: string;
  /** `hashOf` the data as it was sent. No two contents of one history are alike. */
  readonly hash: string;
  /** Where it is known: what was sent over one connection is stored in the order sent, even by a publisher that waits for no answer. */
  readonly connection?: number | string;
}

/** What the publisher was told. `refused` is definitely not stored; of `unknown` nobody can say. A publish without an answer is unknown. */
export interface AnswerEvent {
  readonly type: "stored" | "refused" | "unknown";
  readonly t: number;
  readonly channel: string;
  readonly pid: string;
  readonly seq: number;
  /** Of `stored`. */
  readonly position?: string;
  readonly level?: string;
  readonly duplicate?: boolean;
  /** Of the others: the code. */
  readonly code?: string;
}

/** A reader begins: at the position that it was told, or at one that it kept. */
export interface BeginEvent {
  readonly type: "begin";
  readonly t: number;
  readonly cid: string;
  readonly channel: string;
  readonly position: string;
  /** When it was asked for, where that was before it was seen to begin. */
  readonly askedAt?: number;
}

/** A message in the application's callback. */
export interface MessageEvent {
  readonly type: "message";
  readonly t: number;
  readonly cid: string;
  readonly channel: string;
  readonly position: string;
  readonly hash: string;
  /** What carried it, and which pipe of it: for people. */
  readonly transport?: string;
  readonly pipe?: number | string;
}

export interface GapEvent {
  readonly type: "gap";
  readonly t: number;
  readonly cid: string;
  readonly channel: string;
  readonly reason: "trimmed" | "truncated" | "epoch";
  readonly since: string | null;
  readonly resumeFrom: string;
  readonly missing: number | null;
  /** When a reader that pulls was told, where that was before it came to the place. */
  readonly toldAt?: number;
}

/** A reader ends, of its own accord or refused: nothing is owed to it any more. Left out `channel`: on all of them. */
export interface EndEvent {
  readonly type: "end";
  readonly t: number;
  readonly cid: string;
  readonly channel?: string;
}

/** A reader's pipe opened or closed: for people, and for counting reconnects. */
export interface PipeEvent {
  readonly type: "open" | "close";
  readonly t: number;
  readonly cid: string;
  readonly transport: string;
  readonly code?: string;
}

/**
 * Something was broken, or mended. A `gap` needs a cause: a fault that `may` give that reason, of that channel or of all, that began
 * before the gap was told. The last `calm` says that all faults are over: from then on every reader must reach the end.
 */
export interface FaultEvent {
  readonly type: "fault";
  readonly t: number;
  readonly kind: string;
  readonly phase: "start" | "stop" | "calm";
  /** Left out: all channels. */
  readonly channel?: string;
  readonly may?: readonly GapEvent["reason"][];
  /** What of the log is lost by it on purpose: acknowledged messages of this level and below may be gone. Left out: none. */
  readonly loses?: readonly string[];
  /** Offsets are given again under the same epoch, and the store does not notice: what it says of that epoch's end later is not to be relied on (PROTOCOL.md §6). */
  readonly rewrites?: boolean;
  /** From its start to its stop there are two logs, each of which stores and acknowledges; one of them is lost. What was asked for meanwhile stands in an order with what is left, and with nothing else. */
  readonly splits?: boolean;
}

/** The log at the end, read by a fresh reader over one way (`via`: a transport, or the store itself). All of them must agree. */
export interface FinalEvent {
  readonly type: "final";
  readonly t: number;
  readonly channel: string;
  readonly via: string;
  /** Offset of the first message that is retained; one beyond the head if there is none. */
  readonly first: number;
  readonly head: string;
  readonly log: readonly { readonly position: string; readonly hash: string }[];
}

/** 16 characters that stand for a payload. */
export function hashOf(data: unknown): string {
  const bytes = data instanceof Uint8Array ? data : Buffer.from(typeof data === "string" ? data : JSON.stringify(data));
  return createHash("sha256").update(bytes).digest("base64url").slice(0, 16);
}
