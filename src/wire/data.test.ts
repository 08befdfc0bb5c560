import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LIMITS } from "../protocol/limits.ts";
import { encodeBase64 } from "./base64.ts";
import { bytesContent, entryValue, jsonContent, messageValue, readData, textContent } from "./data.ts";

const failure = (code: string) => expect.objectContaining({ name: "ThroughlineError", code });
const anyText = fc.string({
  unit: fc.oneof(fc.constantFrom("\ud800", "\udc00", "\r", "\n", "\0", "😀"), fc.string({ minLength: 1, maxLength: 1 })),
});
const utf8 = (text: string) => new TextEncoder().encode(text).length;

describe("Data that is published", () => {
  test("is JSON unless it says otherwise, and is the same value for the application that reads it", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (data) => {
        expect(entryValue(readData({ data }, LIMITS))).toEqual(JSON.parse(JSON.stringify(data)));
      }),
    );
    expect(readData({ data: "7" }, LIMITS)).toEqual({ kind: "json", data: '"7"', size: 10 });
  });

  test("is text with encoding text; a lone surrogate becomes U+FFFD at the door", () => {
    fc.assert(
      fc.property(anyText, (data) => {
        const content = readData({ data, encoding: "text" }, LIMITS);
        expect(content.kind).toBe("text");
        expect(entryValue(content)).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(data)));
      }),
    );
  });

  test("is bytes with encoding base64, and as a Uint8Array", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const content = { kind: "bytes", data: bytes, size: bytes.length + 5 };
        expect(readData({ data: encodeBase64(bytes), encoding: "base64", event: "order" }, LIMITS)).toEqual(content);
        expect(readData({ data: bytes, event: "order" }, LIMITS)).toEqual(content);
      }),
    );
  });

  test("has the size of its data and its event as UTF-8", () => {
    fc.assert(
      fc.property(anyText, anyText, (data, event) => {
        expect(readData({ data, encoding: "text", event }, LIMITS).size).toBe(utf8(data) + utf8(event));
        expect(readData({ data, event }, LIMITS).size).toBe(utf8(JSON.stringify(data)) + utf8(event));
      }),
    );
  });

  test("is refused where its encoding does not fit: bad_frame", () => {
    expect(() => readData({ data: 1, encoding: "text" }, LIMITS)).toThrow(failure("bad_frame"));
    expect(() => readData({ data: null, encoding: "base64" }, LIMITS)).toThrow(failure("bad_frame"));
    expect(() => readData({ data: "QQ", encoding: "base64" }, LIMITS)).toThrow(failure("bad_frame"));
    expect(() => readData({ data: new Uint8Array(1), encoding: "base64" }, LIMITS)).toThrow(failure("bad_frame"));
  });

  test("is refused where JSON cannot hold it, or nests too deep: bad_json", () => {
    expect(() => readData({ data: undefined }, LIMITS)).toThrow(failure("bad_json"));
    const deep = `${"[".repeat(LIMITS.jsonDepthMax + 1)}${"]".repeat(LIMITS.jsonDepthMax + 1)}`;
    expect(() => readData({ data: JSON.parse(deep) }, LIMITS)).toThrow(failure("bad_json"));
    expect(() => jsonContent(deep, LIMITS)).toThrow(failure("bad_json"));
    expect(() => jsonContent("{", LIMITS)).toThrow(failure("bad_json"));
  });

  test("as JSON text is kept as it was written, but for the space around it", () => {
    expect(jsonContent(' \r\n{"n": 1.0,\n "n": 12345678901234567890}\n', LIMITS).data).toBe('{"n": 1.0,\n "n": 12345678901234567890}');
  });

  test("keeps a key named __proto__ as a key", () => {
    const data = JSON.parse('{"__proto__":{"admin":true}}');
    expect(readData({ data }, LIMITS).data).toBe('{"__proto__":{"admin":true}}');
    expect((entryValue(readData({ data }, LIMITS)) as { admin?: boolean }).admin).toBeUndefined();
  });

  test("as bytes is a copy, so that its publisher may use the buffer again", () => {
    const buffer = new Uint8Array(64).fill(1);
    const { data } = bytesContent(buffer.subarray(8, 16));
    buffer.fill(2);
    expect(data).toEqual(new Uint8Array(8).fill(1));
    expect((data as Uint8Array).buffer.byteLength).toBe(8);
  });
});

describe("Data that is read", () => {
  test("is bytes again where a frame says base64, and else what the frame holds", () => {
    expect(messageValue({ data: "AQI=", encoding: "base64" })).toEqual(Uint8Array.of(1, 2));
    expect(messageValue({ data: "AQI=" })).toBe("AQI=");
    expect(messageValue({ data: Uint8Array.of(1) })).toEqual(Uint8Array.of(1));
    expect(() => messageValue({ data: "!", encoding: "base64" })).toThrow(failure("bad_frame"));
  });

  test("is text as text", () => {
    expect(entryValue(textContent("a\r\nb"))).toBe("a\r\nb");
  });
});
