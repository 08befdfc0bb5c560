import type { EpochFrame, GapFrame, LiveFrame, MessageFrame, SubscribedFrame } from "../protocol/frame.ts";
import { type Message, toMessage } from "./message.ts";
import type { Ask } from "./pipe.ts";
import { epochOf, offsetOf, positionOf } from "./position.ts";

/** The frames by which a channel is read. */
export type ReadingFrame = MessageFrame | SubscribedFrame | LiveFrame | EpochFrame | GapFrame;

/** A channel that is being read: where what comes of it goes. */
export interface Feed {
  /** Where a new pipe is to begin, as text. */
  from(): string;
  /** Everything up to here was brought by some pipe. Null before any has begun. */
  readonly position: string | null;
  /** A pipe begins here. */
  begin(position: string): void;
  /** False if everyone has it. */
  message(message: Message, live: boolean): boolean;
  /** False if everyone is past it. */
  gap(frame: GapFrame): boolean;
  /** A pipe has brought all that was stored when it began. */
  live(): void;
}

/** One channel on one pipe. */
export interface View {
  readonly name: string;
  /** The id of the latest subscription: what comes before its `subscribed` belongs to an earlier one (race R14). */
  readonly id: number;
  begun: boolean;
  /** The epoch told last, and the offset reached, on this pipe. */
  epoch: string;
  offset: number;
  live: boolean;
}

/** Asks a pipe for a channel, and keeps in `views` what is known of it there. */
export function askFor(name: string, feed: Feed, id: number, views: Map<string, View>): Ask {
  views.set(name, { name, id, begun: false, epoch: "", offset: 0, live: false });
  return { name, id, from: feed.from() };
}

/** True if the pipe is not behind the others: what comes next on it is next. */
export function hasCaughtUp(view: View, feed: Feed): boolean {
  return view.begun && (view.live || view.offset >= offsetOf(feed.position ?? ""));
}

/** Reads a frame, and tells the feed. Returns what became of a message or a gap. */
export function read(view: View, feed: Feed, frame: ReadingFrame): "message" | "gap" | "duplicate" | undefined {
  const { type } = frame;
  if (type === "subscribed" && (frame.id ?? view.id) === view.id) {
    view.begun = true;
    view.epoch = epochOf(frame.position);
    view.offset = offsetOf(frame.position);
    feed.begin(frame.position);
  }
  if (!view.begun) return;
  if (type === undefined) {
    const [offset, tag] = frame.id.split(".") as [string, string];
    view.offset = Number(offset);
    const message = toMessage(view.name, positionOf(view.epoch, offset, tag), frame);
    return feed.message(message, view.live) ? "message" : "duplicate";
  }
  if (type === "gap") {
    view.epoch = epochOf(frame.resumeFrom);
    view.offset = offsetOf(frame.resumeFrom);
    return feed.gap(frame) ? "gap" : "duplicate";
  }
  if (type === "epoch") view.epoch = frame.epoch;
  if (type === "live") {
    view.live = true;
    feed.live();
  }
}
