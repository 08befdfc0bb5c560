import type { ByeFrame, ConnectedFrame, GapFrame, ServerFrame, SignalFrame } from "../protocol/frame.ts";
import { frameJson } from "./frame-json.ts";
import { formatComment, formatEvent } from "./sse.ts";
import { pingFrame, textFrame } from "./websocket.ts";

const encoder = new TextEncoder();

/** One frame on an event stream of frames (PROTOCOL.md §4.5). */
export function frameSse(frame: ServerFrame): Uint8Array {
  return encoder.encode(formatEvent({ data: frameJson(frame) }));
}

/** One frame as a WebSocket text message (§5). */
export function frameWebSocket(frame: ServerFrame): Uint8Array {
  return textFrame(frameJson(frame));
}

/** What `connected` says on a plain stream: one channel and its position (§4.1), or those of each channel (§4.4). */
export type PlainConnected = Omit<ConnectedFrame, "type" | "limits"> &
  (
    | { readonly channel: string; readonly position: string }
    | { readonly channels: readonly { readonly channel: string; readonly position: string }[] }
  );

/** The first event of a plain stream. Its id is the position, or all positions, so that a reader cut before its first message resumes. */
export function plainConnected({ retryMs, ...data }: PlainConnected): Uint8Array {
  const id = "channels" in data ? data.channels.map(({ position }) => position).join(",") : data.position;
  return encoder.encode(formatEvent({ retry: Math.round(retryMs), event: "connected", id, data: JSON.stringify(data) }));
}

/** A gap on a plain stream. `id` is where to resume: that of the gap, or on a stream of many channels those of all. */
export function plainGap(frame: GapFrame, id: string = frame.resumeFrom): Uint8Array {
  return encoder.encode(formatEvent({ event: "gap", id, data: frameJson(frame) }));
}

/** The last event of a plain stream. When to come back is said as `retry:` too, which is what EventSource understands. */
export function plainBye(frame: ByeFrame): Uint8Array {
  const retry = frame.retryAfterMs === undefined ? undefined : Math.round(frame.retryAfterMs);
  return encoder.encode(formatEvent({ retry, event: "bye", data: frameJson(frame) }));
}

/** A signal on a plain stream: without id, since it is no place to resume from. */
export function plainSignal(frame: SignalFrame): Uint8Array {
  return encoder.encode(formatEvent({ event: `$${frame.event}`, data: frameJson(frame) }));
}

/** What an idle event stream says. */
export const HEARTBEAT_SSE: Uint8Array = encoder.encode(formatComment(""));

/** What an idle WebSocket says: a ping, which asks the other end's machine, and a frame, which its script can see. */
export const HEARTBEAT_WEBSOCKET: Uint8Array = new Uint8Array([...pingFrame(), ...frameWebSocket({ type: "heartbeat" })]);
