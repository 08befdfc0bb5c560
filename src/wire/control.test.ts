import { createParser, type EventSourceMessage } from "eventsource-parser";
import { describe, expect, test } from "vitest";
import {
  frameSse,
  frameWebSocket,
  HEARTBEAT_SSE,
  HEARTBEAT_WEBSOCKET,
  plainBye,
  plainConnected,
  plainGap,
  plainSignal,
} from "./control.ts";
import { textFrame } from "./websocket.ts";

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const position = "000001a1b2c3d4Zk3x9QpA.0000000000000041.kQ82nd0a";
const other = "000001a1b2c3d4Zk3x9QpA.0000000000000007.f3Zk9dQ1";

function read(bytes: Uint8Array): { events: EventSourceMessage[]; retries: number[] } {
  const events: EventSourceMessage[] = [];
  const retries: number[] = [];
  createParser({ onEvent: (event) => events.push(event), onRetry: (ms) => retries.push(ms) }).feed(textOf(bytes));
  return { events, retries };
}

describe("On a plain stream", () => {
  test("connected comes with its retry and its position, as the law shows it", () => {
    const text = textOf(plainConnected({ channel: "chat/lobby", position, connection: "c1", heartbeatSeconds: 15, retryMs: 1839.7 }));
    expect(text).toBe(
      `retry: 1840\nevent: connected\nid: ${position}\ndata: {"channel":"chat/lobby","position":"${position}","connection":"c1","heartbeatSeconds":15}\n\n`,
    );
  });

  test("connected of many channels has all their positions as its id", () => {
    const channels = [
      { channel: "a", position },
      { channel: "b", position: other },
    ];
    const { events } = read(plainConnected({ channels, connection: "c1", heartbeatSeconds: 15, retryMs: 1 }));
    expect(events).toMatchObject([{ event: "connected", id: `${position},${other}` }]);
    expect(JSON.parse(events[0]?.data ?? "")).toEqual({ channels, connection: "c1", heartbeatSeconds: 15 });
  });

  test("a gap is a place to resume from, of one channel or of all", () => {
    const gap = { type: "gap", channel: "a", reason: "trimmed", since: null, resumeFrom: position, missing: 3 } as const;
    expect(read(plainGap(gap)).events).toEqual([{ event: "gap", id: position, data: JSON.stringify(gap) }]);
    expect(read(plainGap(gap, `${position},${other}`)).events).toMatchObject([{ id: `${position},${other}` }]);
  });

  test("bye tells EventSource too when to come back", () => {
    const bye = { type: "bye", code: "restart", message: "two\nlines", retryAfterMs: 1234.5 } as const;
    expect(read(plainBye(bye))).toEqual({ events: [{ event: "bye", id: undefined, data: JSON.stringify(bye) }], retries: [1235] });
    expect(read(plainBye({ type: "bye", code: "revoked", message: "m" })).retries).toEqual([]);
  });

  test("a signal is an event of its own kind, without id", () => {
    const signal = { type: "signal", channel: "a", event: "typing", data: { on: true }, sender: "ann" } as const;
    expect(read(plainSignal(signal)).events).toEqual([{ event: "$typing", id: undefined, data: JSON.stringify(signal) }]);
    expect(() => plainSignal({ ...signal, event: "a\ndata: forged" })).toThrow(RangeError);
  });
});

describe("On a stream of frames", () => {
  test("a frame is one event of its JSON, and one text message", () => {
    const frame = { type: "error", code: "bad_frame", message: "line\r\nbreak\u2028é" } as const;
    expect(read(frameSse(frame)).events).toEqual([{ event: undefined, id: undefined, data: JSON.stringify(frame) }]);
    expect(frameWebSocket(frame)).toEqual(textFrame(JSON.stringify(frame)));
  });
});

describe("A heartbeat", () => {
  test("is a comment on an event stream", () => {
    expect(textOf(HEARTBEAT_SSE)).toBe(":\n\n");
  });

  test("is a ping and a frame on a WebSocket", () => {
    expect([...HEARTBEAT_WEBSOCKET.subarray(0, 4)]).toEqual([0x89, 0, 0x81, 20]);
    expect(textOf(HEARTBEAT_WEBSOCKET.subarray(4))).toBe('{"type":"heartbeat"}');
  });
});
