import type { Clock } from "../protocol/clock.ts";

/*
 * The world, as the client meets it where `connect` is not given another: the one file of this room that touches it.
 */

/** The part of time that the client needs: durations. */
export type ClientClock = Pick<Clock, "elapsed" | "after">;

/** What the client needs of a WebSocket: browsers', Node 22's, `ws`, and a test's all have it. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

/** Unlike a server's, these timers keep a Node process alive: a subscriber that waits to reconnect is not done. `close()` ends them. */
export const SYSTEM_CLOCK: ClientClock = {
  elapsed: () => performance.now(),
  after(delayMs, act) {
    // What a server tells to wait may be no number, or more than setTimeout takes (WHATWG HTML §8.6): that would make a millisecond of it
    const timer = setTimeout(act, delayMs < 2 ** 31 ? delayMs : 20_000);
    return () => clearTimeout(timer);
  },
};

export const systemRandom = Math.random;

export const systemFetch: typeof fetch = (...asked) => fetch(...asked);

/** Node 20 has none of its own. Not by `import("ws")`, which bundlers would follow into the page, or fail where it is not installed. */
export function systemWebSocket(): WebSocketClass {
  return globalThis.WebSocket ?? process.getBuiltinModule("module").createRequire(import.meta.url)("ws").WebSocket;
}
