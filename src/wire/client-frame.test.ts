import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClientFrame } from "../protocol/frame.ts";
import { LIMITS } from "../protocol/limits.ts";
import { readClientFrame } from "./client-frame.ts";
import { frameJson } from "./frame-json.ts";

const failure = (code: string, text = "") =>
  expect.objectContaining({ name: "ThroughlineError", code, message: expect.stringContaining(text) });

const integer = fc.maxSafeInteger().map((id) => id + 0);
const data = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const text = fc.string();
const frame: fc.Arbitrary<ClientFrame> = fc.oneof(
  fc.record({ type: fc.constant("subscribe" as const), channel: text, id: integer, from: text }, { requiredKeys: ["type", "channel"] }),
  fc.record({ type: fc.constant("unsubscribe" as const), channel: text }),
  fc.record(
    {
      type: fc.constant("publish" as const),
      channel: text,
      data,
      id: integer,
      event: text,
      encoding: fc.constantFrom("text" as const, "base64" as const),
      key: text,
    },
    { requiredKeys: ["type", "channel", "data"] },
  ),
  fc.record({ type: fc.constant("signal" as const), channel: text, event: text, data }),
  fc.record({ type: fc.constant("request" as const), id: integer, channel: text, name: text, data }),
  fc.record({ type: fc.constant("ping" as const) }),
) as fc.Arbitrary<ClientFrame>;

describe("A frame from a client", () => {
  test("is read as what was written", () => {
    fc.assert(
      fc.property(frame, (written) => {
        expect(readClientFrame(frameJson(written), LIMITS)).toEqual(written);
      }),
    );
  });

  test.each(["", "{", "nope", '{"type":"ping"', "\u0000"])("that is not JSON is refused: %j", (text) => {
    expect(() => readClientFrame(text, LIMITS)).toThrow(failure("bad_json"));
  });

  test.each(["null", "1", '"ping"', "[]", '[{"type":"ping"}]', "true"])("that is no object is refused: %s", (text) => {
    expect(() => readClientFrame(text, LIMITS)).toThrow(failure("bad_frame", "object"));
  });

  test.each([
    "{}",
    '{"type":1}',
    '{"type":"Ping"}',
    '{"type":"toString"}',
    '{"type":"__proto__"}',
    '{"__proto__":{"type":"ping"}}',
    '{"type":"heartbeat"}',
  ])("of no type that a client sends is refused: %s", (text) => {
    expect(() => readClientFrame(text, LIMITS)).toThrow(failure("bad_frame", '"type"'));
  });

  test.each([
    ["channel", '{"type":"subscribe"}'],
    ["channel", '{"type":"subscribe","channel":7}'],
    ["channel", '{"type":"subscribe","channel":null}'],
    ["channel", '{"type":"subscribe","__proto__":{"channel":"a"}}'],
    ["id", '{"type":"subscribe","channel":"a","id":"1"}'],
    ["id", '{"type":"subscribe","channel":"a","id":1.5}'],
    ["id", '{"type":"subscribe","channel":"a","id":9007199254740992}'],
    ["id", '{"type":"subscribe","channel":"a","id":1e400}'],
    ["id", '{"type":"subscribe","channel":"a","id":null}'],
    ["from", '{"type":"subscribe","channel":"a","from":{"last":1}}'],
    ["channel", '{"type":"unsubscribe","channel":["a"]}'],
    ["data", '{"type":"publish","channel":"a"}'],
    ["event", '{"type":"publish","channel":"a","data":1,"event":1}'],
    ["key", '{"type":"publish","channel":"a","data":1,"key":{}}'],
    ["encoding", '{"type":"publish","channel":"a","data":"x","encoding":"hex"}'],
    ["encoding", '{"type":"publish","channel":"a","data":"x","encoding":true}'],
    ["event", '{"type":"signal","channel":"a","data":1}'],
    ["data", '{"type":"signal","channel":"a","event":"typing"}'],
    ["id", '{"type":"request","channel":"a","name":"n","data":1}'],
    ["name", '{"type":"request","id":1,"channel":"a","data":1}'],
  ])("names the field %s that is missing or of another kind: %s", (field, text) => {
    expect(() => readClientFrame(text, LIMITS)).toThrow(failure("bad_frame", `"${field}"`));
  });

  test("may have null as its data, which is there", () => {
    expect(readClientFrame('{"type":"publish","channel":"a","data":null}', LIMITS)).toEqual({ type: "publish", channel: "a", data: null });
  });

  test("has nothing in it but what the law names", () => {
    const read = readClientFrame('{"type":"ping","constructor":1,"__proto__":{"x":1},"identity":"root"}', LIMITS);
    expect(Object.getOwnPropertyNames(read)).toEqual(["type"]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
  });

  test("that nests like a bomb is refused and crashes nothing", () => {
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const bomb = `${open.repeat(500_000)}1${close.repeat(500_000)}`;
      expect(() => readClientFrame(`{"type":"publish","channel":"a","data":${bomb}}`, LIMITS)).toThrow(failure("bad_json"));
      expect(() => readClientFrame(open.repeat(500_000), LIMITS)).toThrow(failure("bad_json"));
    }
  });

  test("is refused or read, and never fails otherwise, whatever it holds", () => {
    const token = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"type"',
      '"publish"',
      '"ping"',
      '"channel"',
      '"data"',
      '"id"',
      "1",
      "-0",
      "null",
      '"__proto__"',
      "\n",
      "\0",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(token).map((tokens) => tokens.join("")),
          fc.json(),
          fc.string(),
        ),
        (text) => {
          try {
            readClientFrame(text, LIMITS);
          } catch (error) {
            expect(error).toMatchObject({ name: "ThroughlineError", code: expect.stringMatching(/^bad_(json|frame)$/) });
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("A binary message from a client", () => {
  const bytes = Uint8Array.of(1, 2, 3);

  test("is a publish frame whose data is the bytes", () => {
    expect(readClientFrame('{"type":"publish","channel":"a","id":4}', LIMITS, bytes)).toEqual({
      type: "publish",
      channel: "a",
      id: 4,
      data: bytes,
    });
  });

  test("of any other type, or with an encoding, is refused", () => {
    expect(() => readClientFrame('{"type":"signal","channel":"a","event":"e"}', LIMITS, bytes)).toThrow(failure("bad_frame", "publish"));
    expect(() => readClientFrame('{"type":"ping"}', LIMITS, bytes)).toThrow(failure("bad_frame", "publish"));
    expect(() => readClientFrame('{"type":"publish","channel":"a","encoding":"base64"}', LIMITS, bytes)).toThrow(
      failure("bad_frame", '"encoding"'),
    );
  });
});
