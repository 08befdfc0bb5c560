import type { Transport } from "./options.ts";

/** What the connection has seen, which is all that the choice rests on. */
export interface Seen {
  /** What runs, or ran last. */
  readonly current: Transport | undefined;
  /** How much the application talked within the last TALK_MS: 1 for a publish, TALK_MIN for a signal, a request, or a message of bytes. */
  readonly talk: number;
  /**
   * How many milliseconds SSE is still to be left alone, since events were held back on the way, or streams cut young; 0 or less: it may be
   * tried.
   */
  readonly sseShunMs: number;
  /** The same of WebSocket, since it did not get through, or was cut young. */
  readonly webSocketShunMs: number;
}

export interface Choice {
  readonly transport: Transport;
  /** For people: why. */
  readonly reason: string;
}

export const TALK_MS = 10_000;
/** So many publishes within TALK_MS are a conversation; fewer are forms being sent, which POST does well. */
export const TALK_MIN = 3;

/**
 * Which transport fits. SSE first: it is plain HTTP and passes every proxy. WebSocket once the application talks back, since a frame is
 * much cheaper than a request, or there are bytes, which an event stream carries as base64. Long-poll where events do not come through
 * one by one. WebSocket is kept once it works: there is nothing to gain by going back.
 */
export function chooseTransport({ current, talk, sseShunMs, webSocketShunMs }: Seen): Choice {
  if (webSocketShunMs <= 0 && (talk >= TALK_MIN || current === "websocket"))
    return { transport: "websocket", reason: "the app talks back" };
  if (sseShunMs > 0) return { transport: "long-poll", reason: "events are held back" };
  return { transport: "sse", reason: webSocketShunMs > 0 ? "WebSocket is blocked" : "SSE is enough" };
}
