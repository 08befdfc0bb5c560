import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Entry } from "../protocol/entry.ts";
import type { ServerFrame } from "../protocol/frame.ts";
import { messageValue } from "./data.ts";
import { dataJson, frameJson, messageHead, messageHeaderAfter, messageJson, readServerFrame } from "./frame-json.ts";

const failure = (code: string, text = "") =>
  expect.objectContaining({ name: "ThroughlineError", code, message: expect.stringContaining(text) });
const entry: Entry = {
  offset: 42,
  tag: "f3Zk9dQ1",
  at: 1_780_000_000_000,
  event: "message",
  kind: "json",
  data: '{"text":"hello"}',
  size: 23,
};

const text = fc.string({
  unit: fc.oneof(fc.constantFrom('"', "\\", "\n", "\0", "\ud800", "😀", "\u2028"), fc.string({ minLength: 1, maxLength: 1 })),
});
const content = fc.oneof(
  fc
    .jsonValue()
    .map((value) => ({ kind: "json" as const, data: JSON.stringify(value, null, 2), value: JSON.parse(JSON.stringify(value)) as unknown })),
  text.map((data) => ({ kind: "text" as const, data, value: data })),
  fc.uint8Array().map((data) => ({ kind: "bytes" as const, data, value: data })),
);

describe("The JSON of a message", () => {
  test("is as short as the law has it", () => {
    expect(messageJson("chat/lobby", entry)).toBe('{"channel":"chat/lobby","id":"42.f3Zk9dQ1","at":1780000000000,"data":{"text":"hello"}}');
    expect(messageJson("a", { ...entry, event: "order", kind: "text", data: "x" })).toBe(
      '{"channel":"a","id":"42.f3Zk9dQ1","at":1780000000000,"event":"order","data":"x"}',
    );
    expect(messageJson("a", { ...entry, kind: "bytes", data: Uint8Array.of(1, 2) })).toBe(
      '{"channel":"a","id":"42.f3Zk9dQ1","at":1780000000000,"data":"AQI=","encoding":"base64"}',
    );
  });

  test("is read as the message it was made of, whatever that holds", () => {
    fc.assert(
      fc.property(text, text, content, fc.nat(), (channel, event, { kind, data, value }, offset) => {
        const frame = readServerFrame(messageJson(channel, { ...entry, offset, event, kind, data }));
        const named = event === "message" ? {} : { event };
        expect(frame).toMatchObject({ channel, id: `${offset}.f3Zk9dQ1`, at: entry.at, ...named });
        if (frame === null || frame.type !== undefined) throw new Error("not a message");
        expect(messageValue(frame)).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  test("takes a message's JSON text as it stands, digits and all", () => {
    expect(messageJson("a", { ...entry, data: "[1.0, 12345678901234567890]" })).toContain('"data":[1.0, 12345678901234567890]}');
  });

  test("is the header of a binary message without its data, and read with the bytes beside it", () => {
    const bytes = Uint8Array.of(1, 2);
    const header = messageHeaderAfter(messageHead("a"), { ...entry, event: "order" });
    expect(JSON.parse(header)).toEqual({ channel: "a", id: "42.f3Zk9dQ1", at: entry.at, event: "order" });
    expect(readServerFrame(header, bytes)).toEqual({ channel: "a", id: "42.f3Zk9dQ1", at: entry.at, event: "order", data: bytes });
  });

  test("says bytes as base64", () => {
    expect(dataJson({ kind: "bytes", data: Uint8Array.of(255) })).toBe('"/w==","encoding":"base64"');
  });
});

const FRAMES: readonly ServerFrame[] = [
  { type: "connected", connection: "c1", heartbeatSeconds: 15, retryMs: 1840, limits: { messageBytesMax: 1, connectionChannelsMax: 2 } },
  { type: "subscribed", channel: "a", id: 1, position: "p" },
  { type: "subscribed", channel: "a", position: "p" },
  { type: "unsubscribed", channel: "a" },
  { type: "live", channel: "a" },
  { type: "epoch", channel: "a", epoch: "e" },
  { type: "gap", channel: "a", reason: "trimmed", since: "p", resumeFrom: "q", missing: 3 },
  { type: "gap", channel: "a", reason: "epoch", since: null, resumeFrom: "q", missing: null },
  { type: "ack", id: 1, position: "p", level: "disk" },
  { type: "ack", id: 1, position: "p", level: "memory", duplicate: true },
  { type: "signal", channel: "a", event: "typing", data: null, sender: "~c1" },
  { type: "response", id: 1, data: { total: 12 } },
  { type: "error", code: "bad_frame", message: "m" },
  { type: "error", code: "overloaded", message: "m", id: 1, channel: "a", retryAfterMs: 5 },
  { type: "heartbeat" },
  { type: "bye", code: "restart", message: "m", retryAfterMs: 5 },
  { type: "bye", code: "revoked", message: "m" },
];

describe("A frame from the server", () => {
  test.each(FRAMES.map((frame) => [frame.type, frame] as const))("of type %s is read as what was written", (_type, frame) => {
    expect(readServerFrame(frameJson(frame))).toEqual(frame);
  });

  test("of a type that this version does not know is null; fields that it does not know are left out", () => {
    expect(readServerFrame('{"type":"presence","channel":1}')).toBeNull();
    expect(readServerFrame('{"type":"toString"}')).toBeNull();
    expect(readServerFrame('{"type":"live","channel":"a","lag":1}')).toEqual({ type: "live", channel: "a" });
  });

  test("with a code that this version does not know has code internal", () => {
    expect(readServerFrame('{"type":"error","code":"too_odd","message":"m"}')).toEqual({ type: "error", code: "internal", message: "m" });
    expect(readServerFrame('{"type":"bye","code":"toString","message":"m"}')).toMatchObject({ code: "internal" });
  });

  test("is refused if it is not JSON, no object, or lacks a field, which is named", () => {
    expect(() => readServerFrame("{")).toThrow(failure("bad_json"));
    expect(() => readServerFrame("[]")).toThrow(failure("bad_frame"));
    expect(() => readServerFrame('{"type":5}')).toThrow(failure("bad_frame", "type"));
    expect(() => readServerFrame('{"type":"live"}')).toThrow(failure("bad_frame", '"channel"'));
    expect(() => readServerFrame('{"channel":"a","id":"1.x","at":1}')).toThrow(failure("bad_frame", '"data"'));
    expect(() => readServerFrame('{"channel":"a","id":7,"at":1,"data":1}')).toThrow(failure("bad_frame", '"id"'));
    expect(() => readServerFrame('{"type":"live","channel":"a"}', new Uint8Array(1))).toThrow(failure("bad_frame", "binary"));
  });

  test("that JSON cannot hold is bad_json, not a crash", () => {
    expect(() => frameJson({ type: "response", id: 1, data: 1n })).toThrow(failure("bad_json"));
  });
});
