import type { ErrorCode } from "./error.ts";
import type { Level } from "./message.ts";

/**
 * Frames: one JSON object each, the same on WebSocket, on an event stream that our client opened, and in a long-poll's answer.
 * PROTOCOL.md §5 is the law; here it is as types. Unknown fields and unknown frame types from a newer peer are ignored.
 *
 * A binary WebSocket message is a frame whose data is bytes: 4 bytes (big endian) of the header's length, the header (the frame's
 * JSON without `data`), then the bytes. On event streams such data is base64 and says so in `encoding`.
 */
export type ServerFrame =
  | MessageFrame
  | ConnectedFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | LiveFrame
  | EpochFrame
  | GapFrame
  | AckFrame
  | SignalFrame
  | ResponseFrame
  | ErrorFrame
  | HeartbeatFrame
  | ByeFrame;

export type ClientFrame = SubscribeFrame | UnsubscribeFrame | PublishFrame | SendSignalFrame | RequestFrame | PingFrame;

/** A stored message. The one frame that names no type, since it is the one that is sent for every message. */
export interface MessageFrame {
  readonly type?: undefined;
  readonly channel: string;
  /** `<offset>.<tag>`; the position is `<epoch>.<offset padded to 16>.<tag>`, the epoch having been told by `subscribed`, `gap` or `epoch`. */
  readonly id: string;
  /** When it was stored, in milliseconds since 1970. */
  readonly at: number;
  /** Left out for `message`. */
  readonly event?: string;
  readonly data: unknown;
  /** `data` is base64 of bytes. */
  readonly encoding?: "base64";
}

/** The first frame of every pipe. */
export interface ConnectedFrame {
  readonly type: "connected";
  /** Names the connection in the server's logs and as the sender of anonymous signals. */
  readonly connection: string;
  readonly heartbeatSeconds: number;
  /** When to come back after a cut, in milliseconds: a hint with jitter. */
  readonly retryMs: number;
  readonly limits: { readonly messageBytesMax: number; readonly connectionChannelsMax: number };
}

/** Reading starts here: the next message has offset `position.offset + 1`, unless a gap is told. */
export interface SubscribedFrame {
  readonly type: "subscribed";
  readonly channel: string;
  /** The `id` of the subscribe frame. Frames of this channel before it belong to an earlier subscription. */
  readonly id?: number;
  readonly position: string;
}

export interface UnsubscribedFrame {
  readonly type: "unsubscribed";
  readonly channel: string;
}

/** Everything that was stored when the reader attached has been sent; what follows is live. Told once per subscription. */
export interface LiveFrame {
  readonly type: "live";
  readonly channel: string;
}

/** The following messages of the channel belong to this epoch. Nothing is missing: offsets go on by one. */
export interface EpochFrame {
  readonly type: "epoch";
  readonly channel: string;
  readonly epoch: string;
}

export type GapReason = "trimmed" | "truncated" | "epoch";

/** What stands between `since` and `resumeFrom` cannot be delivered. A gap is a position: a reader that stores `resumeFrom` is not told twice. */
export interface GapFrame {
  readonly type: "gap";
  readonly channel: string;
  readonly reason: GapReason;
  /** The reader's position before the gap; null if it had none. */
  readonly since: string | null;
  /** The reader's position now: the next message has the offset after it. */
  readonly resumeFrom: string;
  /** How many messages of the present log are passed over; null where that cannot be known. */
  readonly missing: number | null;
}

export interface AckFrame {
  readonly type: "ack";
  readonly id: number;
  readonly position: string;
  readonly level: Level;
  /** The key was known: `position` is that of the message stored before. */
  readonly duplicate?: true;
}

export interface SignalFrame {
  readonly type: "signal";
  readonly channel: string;
  readonly event: string;
  readonly data: unknown;
  /** The identity that sent it, or `~` and its connection. */
  readonly sender: string;
}

export interface ResponseFrame {
  readonly type: "response";
  readonly id: number;
  readonly data: unknown;
}

/** Something failed: the frame `id`, or the subscription of `channel`, or (neither) the last frame. The connection lives on. */
export interface ErrorFrame {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly message: string;
  readonly id?: number;
  readonly channel?: string;
  readonly retryAfterMs?: number;
}

export interface HeartbeatFrame {
  readonly type: "heartbeat";
}

/** The last frame of a pipe that the server ends. */
export interface ByeFrame {
  readonly type: "bye";
  readonly code: ErrorCode;
  readonly message: string;
  /** When to come back, in milliseconds; absent: never, for this code cannot be retried. */
  readonly retryAfterMs?: number;
}

/** Where to begin. `now` is the default of streams. */
export type From = "now" | "start" | { readonly last: number } | { readonly since: string | number | Date } | { readonly after: string };

export interface SubscribeFrame {
  readonly type: "subscribe";
  readonly channel: string;
  readonly id?: number;
  /** The text form: `now`, `start`, `last:50`, `since:<RFC 3339>`, `after:<position>`. */
  readonly from?: string;
}

export interface UnsubscribeFrame {
  readonly type: "unsubscribe";
  readonly channel: string;
}

export interface PublishFrame {
  readonly type: "publish";
  /** Asks for an `ack` (or `error`) with this id. Without it nothing is answered but errors. */
  readonly id?: number;
  readonly channel: string;
  readonly event?: string;
  readonly data: unknown;
  /** `text`: data is a string to be held as text. `base64`: data is base64 of bytes. */
  readonly encoding?: "text" | "base64";
  readonly key?: string;
}

export interface SendSignalFrame {
  readonly type: "signal";
  readonly channel: string;
  readonly event: string;
  readonly data: unknown;
}

export interface RequestFrame {
  readonly type: "request";
  readonly id: number;
  readonly channel: string;
  readonly name: string;
  readonly data: unknown;
}

/** Answered by `heartbeat`, at once. */
export interface PingFrame {
  readonly type: "ping";
}
