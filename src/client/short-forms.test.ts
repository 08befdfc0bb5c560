import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ERRORS, type ErrorCode } from "../protocol/error.ts";
import type { From } from "../protocol/frame.ts";
import { formatFrom as formatFromInFull } from "../protocol/from.ts";
import { formatPosition, parsePosition } from "../protocol/position.ts";
import { encodeBase64 as encodeBase64InFull } from "../wire/base64.ts";
import { frameSse, HEARTBEAT_SSE } from "../wire/control.ts";
import { encodeFramesSse } from "../wire/encode-once.ts";
import { packBinary } from "../wire/websocket.ts";
import { backoff } from "./backoff.ts";
import { decodeBase64, decodeBinary, encodeBase64 } from "./bytes.ts";
import { readFrames } from "./event-stream.ts";
import { formatFrom } from "./format-from.ts";
import { MAY_RETRY } from "./may-retry.ts";
import { epochOf, offsetOf, positionOf } from "./position.ts";

/** What the client has in a short form, for the sake of its size, says what the full form says. */
describe("The short form of", () => {
  test("the retry column is that of the table of errors", () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) expect([code, MAY_RETRY.test(code)]).toEqual([code, ERRORS[code].retry]);
    expect(MAY_RETRY.test("from the future")).toBe(false);
  });

  test("base64 is base64", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(encodeBase64(bytes)).toBe(encodeBase64InFull(bytes));
        expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes);
      }),
    );
  });

  test("a binary message is what the server packs", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.uint8Array(), (head, data) => {
        const message = packBinary(JSON.stringify(head), data);
        expect(decodeBinary(message.slice().buffer)).toEqual({ ...JSON.parse(JSON.stringify(head)), data });
      }),
    );
  });

  test("a From is the text that the law has for it", () => {
    const froms: From[] = [
      "now",
      "start",
      { last: 0 },
      { last: 50 },
      { after: "x" },
      { since: 0 },
      { since: "2026-01-01T00:00:00Z" },
      { since: new Date(9e11) },
    ];
    for (const from of froms) expect(formatFrom(from)).toBe(formatFromInFull(from));
    expect(() => formatFrom({ since: "yesterday" })).toThrow(RangeError);
  });

  test("a position is the law's", () => {
    const text = "000001a1b2c3d4Zk3x9QpA".slice(2).concat(".0000000000000042.f3Zk9dQ1");
    const position = parsePosition(text);
    expect([epochOf(text), offsetOf(text)]).toEqual([position.epoch, position.offset]);
    expect(positionOf(position.epoch, `${position.offset}.${position.tag}`)).toBe(formatPosition(position));
  });

  test("an event stream reads what the server writes, cut anywhere", () => {
    const json = (text: string, offset: number) => ({
      offset,
      tag: "tag00000",
      at: 5,
      event: "e",
      kind: "json" as const,
      data: text,
      size: 1,
    });
    const stream = Buffer.concat([
      frameSse({ type: "heartbeat" }),
      HEARTBEAT_SSE,
      encodeFramesSse({ channel: "a", epoch: "e", entries: [json('{"text":"ä€😀"}', 1), json("[1,\n2,\r\n 3]", 2)] }),
      frameSse({ type: "live", channel: "a" }),
    ]);
    const whole = [
      { type: "heartbeat" },
      { channel: "a", id: "1.tag00000", at: 5, event: "e", data: { text: "ä€😀" } },
      { channel: "a", id: "2.tag00000", at: 5, event: "e", data: [1, 2, 3] },
      { type: "live", channel: "a" },
    ];
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 })), (cuts) => {
        const frames: unknown[] = [];
        const push = readFrames((frame) => frames.push(frame));
        let at = 0;
        for (const length of [...cuts, stream.length]) {
          if (at < stream.length) push(stream.subarray(at, at + length));
          at += length;
        }
        expect(frames).toEqual(whole);
      }),
    );
  });
});

describe("A backoff", () => {
  test("is anywhere in a window that doubles, is at least the server's from the second on, and is bounded", () => {
    const rules = { backoffMsMin: 300, backoffMsMax: 20_000, retryMs: 2_000 };
    expect([0, 1, 2, 3, 4, 9, 2_000].map((failures) => backoff(failures, rules, 1))).toEqual([
      300, 2_000, 2_000, 2_400, 4_800, 20_000, 20_000,
    ]);
    expect(backoff(5, rules, 0)).toBe(0);
    expect(backoff(1, { backoffMsMin: 300, backoffMsMax: 20_000 }, 0.5)).toBe(300);
  });
});
