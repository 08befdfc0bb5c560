import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBase64, encodeBase64 } from "./base64.ts";

describe("Base64", () => {
  test("is what Node writes, and comes back as the same bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = encodeBase64(bytes);
        expect(text).toBe(Buffer.from(bytes).toString("base64"));
        expect(decodeBase64(text)).toEqual(bytes);
      }),
      { numRuns: 500 },
    );
  });

  test("carries a megabyte, and every length about the size of a piece", () => {
    for (const length of [1 << 20, 0x6000 - 1, 0x6000, 0x6000 + 1, 0x6000 + 2]) {
      const bytes = Uint8Array.from({ length }, (_, index) => index * 31 + (index >> 8));
      const text = encodeBase64(bytes);
      expect(text === Buffer.from(bytes).toString("base64")).toBe(true);
      expect(Buffer.compare(decodeBase64(text), bytes)).toBe(0);
    }
  });

  test.each([
    ["without padding", "QQ"],
    ["padded too much", "QQ==="],
    ["padded in the middle", "QQ==QQ=="],
    ["nothing but padding", "===="],
    ["with three paddings", "Q==="],
    ["with a space", "QUJD QUJ"],
    ["with a line end", "QUJD\nQUJ"],
    ["of the URL alphabet", "-_-_"],
    ["with stray bits", "QR=="],
    ["with stray bits before one padding", "QUJDQUF="],
    ["with a letter beyond Latin-1", "QUJ\u0100"],
  ])("is refused %s", (_name, text) => {
    expect(() => decodeBase64(text)).toThrow(expect.objectContaining({ code: "bad_frame" }));
  });

  test("is accepted in exactly one text for the same bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("A", "B", "R", "/", "=", " "), maxLength: 12 }), (text) => {
        let bytes: Uint8Array;
        try {
          bytes = decodeBase64(text);
        } catch {
          return;
        }
        expect(encodeBase64(bytes)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
});
