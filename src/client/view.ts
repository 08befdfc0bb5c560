import type { ThroughlineError } from "../protocol/error.ts";
import type { EpochFrame, GapFrame, LiveFrame, MessageFrame, SignalFrame, SubscribedFrame } from "../protocol/frame.ts";

/** The frames by which a channel is read. */
export type ReadingFrame = MessageFrame | SubscribedFrame | LiveFrame | EpochFrame | GapFrame;

/** One channel on one pipe. */
export interface View {
  /** The id of the latest subscription: what comes before its `subscribed` belongs to an earlier one (race R14). */
  readonly id: number;
  /** Reached on this pipe, under the epoch told last; empty before it has begun. */
  position: string;
  /** It has brought all that was stored when it began. */
  live: boolean;
  /** A reader found twice that what it brings does not fit. */
  distrusted?: boolean;
}

/** A channel that is being read, as the connection sees it. */
export interface Feed {
  /** Where a new pipe is to begin, as text. */
  from(): string;
  /** A frame of a pipe. Returns what it counts as. */
  hear(view: View, frame: ReadingFrame): "received" | "duplicates" | "gaps" | undefined;
  /** True if the pipe is not behind the others: what comes next on it is next. */
  isReady(view: View): boolean;
  /** All pipes are cut. */
  turn(to: "subscribing"): void;
  signal(frame: SignalFrame): void;
  /** The server will not let it be read. */
  end(error: ThroughlineError): void;
}
