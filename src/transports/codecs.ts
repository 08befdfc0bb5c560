import type { Codec } from "../core/outlet.ts";
import { frameSse, frameWebSocket, plainGap, plainSignal } from "../wire/control.ts";
import { encodeFramesSse, encodeFramesWebSocket, encodePlain } from "../wire/encode-once.ts";

/** The event stream of one channel, as EventSource and curl read it: each id bears its epoch. */
export const PLAIN: Codec = {
  shared: true,
  batch: encodePlain,
  frame: (frame) => (frame.type === "signal" ? plainSignal(frame) : frame.type === "gap" ? plainGap(frame) : null),
};

/** Frames on an event stream. */
export const FRAMES_SSE: Codec = {
  shared: true,
  batch: (batch, epochTold) => withEpoch(batch.epoch, epochTold, batch.channel, frameSse, encodeFramesSse(batch)),
  frame: frameSse,
};

/** Frames on a WebSocket. */
export const FRAMES_WEBSOCKET: Codec = {
  shared: true,
  batch: (batch, epochTold) => withEpoch(batch.epoch, epochTold, batch.channel, frameWebSocket, encodeFramesWebSocket(batch)),
  frame: frameWebSocket,
};

/** A message frame does not name its epoch (it would cost an eighth of its bytes), so a new one is told before it. */
function withEpoch(epoch: string, told: string, channel: string, encode: typeof frameSse, messages: Uint8Array): Uint8Array {
  if (epoch === told) return messages;
  const first = encode({ type: "epoch", channel, epoch });
  const both = new Uint8Array(first.length + messages.length);
  both.set(first);
  both.set(messages, first.length);
  return both;
}
