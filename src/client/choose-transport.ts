import type { Transport } from "./options.ts";

/** What went wrong with a transport, lately. */
export interface Trouble {
  /** In a row. */
  readonly failures: number;
  readonly msAgo: number;
}

/** What the connection has seen, which is all that the choice rests on. */
export interface Seen {
  /** What runs, or ran last. */
  readonly current: Transport | undefined;
  /** How much the application talked within the last TALK_MS: 1 for a publish, TALK_MIN for a signal, a request, or a message of bytes. */
  readonly talk: number;
  /** Events are held back on the way, or streams are cut young. */
  readonly sse: Trouble;
  /** It does not get through, or is cut young. */
  readonly websocket: Trouble;
}

export interface Choice {
  readonly transport: Transport;
  /** For people: why. */
  readonly reason: string;
}

export const TALK_MS = 10_000;
/** So many publishes within TALK_MS are a conversation; fewer are forms being sent, which POST does well. */
export const TALK_MIN = 3;
/** How long a transport that failed is left alone: doubling with each failure, so that nothing flaps. */
export const SHUN_MS_MIN = 60_000;
export const SHUN_MS_MAX = 1_800_000;

/**
 * Which transport fits. SSE first: it is plain HTTP and passes every proxy. WebSocket once the application talks back, since a frame is
 * much cheaper than a request, or there are bytes, which an event stream carries as base64. Long-poll where events do not come through
 * one by one. WebSocket is kept once it works: there is nothing to gain by going back.
 */
export function chooseTransport({ current, talk, sse, websocket }: Seen): Choice {
  if (!shunned(websocket)) {
    if (talk >= TALK_MIN) return { transport: "websocket", reason: "the app talks back" };
    if (current === "websocket") return { transport: current, reason: "WebSocket gets through" };
  }
  if (shunned(sse)) return { transport: "long-poll", reason: "events are held back on the way" };
  return { transport: "sse", reason: websocket.failures ? "WebSocket does not get through" : "SSE is enough" };
}

function shunned({ failures, msAgo }: Trouble): boolean {
  return failures > 0 && msAgo < Math.min(SHUN_MS_MAX, SHUN_MS_MIN * 2 ** (failures - 1));
}
