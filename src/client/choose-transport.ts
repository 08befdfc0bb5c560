import { TALK_MIN } from "./bounds.ts";
import type { Transport } from "./options.ts";

/** What the connection has seen, which is all that the choice rests on. A tuple, whose names cost a page nothing. */
export type Seen = readonly [
  /** What runs, or ran last. */
  current: Transport | undefined,
  /** How much the application talked within the last TALK_MS: 1 for a publish, TALK_MIN for a signal, a request, or a message of bytes. */
  talk: number,
  /**
   * How many milliseconds SSE is still to be left alone, since events were held back on the way, or streams cut young; 0 or less: it may be
   * tried.
   */
  sseShunMs: number,
  /** The same of WebSocket, since it did not get through, or was cut young. */
  webSocketShunMs: number,
];

/** The reason is for people. */
export type Choice = readonly [transport: Transport, reason: string];

/**
 * Which transport fits. SSE first: it is plain HTTP and passes every proxy. WebSocket once the application talks back, since a frame is
 * much cheaper than a request, or there are bytes, which an event stream carries as base64. Long-poll where events do not come through
 * one by one. WebSocket is kept once it works: there is nothing to gain by going back.
 */
export function chooseTransport(...[current, talk, sseShunMs, webSocketShunMs]: Seen): Choice {
  if (webSocketShunMs <= 0 && (talk >= TALK_MIN || current === "websocket")) return ["websocket", "the app talks back"];
  if (sseShunMs > 0) return ["long-poll", "events are held back"];
  return ["sse", webSocketShunMs > 0 ? "WebSocket is blocked" : "SSE is enough"];
}
