import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { firstKept, isKeyKept, isPastAge, isTooLarge } from "./retention.ts";

const RETENTION = { countMax: 3, bytesMax: 100, secondsMax: 60 };

test("a message is past its age from secondsMax on", () => {
  expect([59_999, 60_000].map((now) => isPastAge(0, now, RETENTION))).toEqual([false, true]);
});

describe("[D4] a log is too large", () => {
  test.each([
    ["beyond countMax", 4, 10, true],
    ["beyond bytesMax", 2, 101, true],
    ["within both not", 3, 100, false],
    ["with one message never, however large: it was acknowledged", 1, 1_000, false],
    ["with none never", 0, 0, false],
  ])("%s", (_, count, bytes, expected) => {
    expect(isTooLarge(count, bytes, RETENTION)).toBe(expected);
  });
});

test("the first that is kept is found wherever it stands, in few questions", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.nat(5_000), fc.nat(6_000), (first, length, trimmed) => {
      const top = first + length - 1;
      const expected = Math.min(first + trimmed, top + 1);
      let asked = 0;
      const found = firstKept(first, top, (offset) => {
        asked++;
        expect(offset >= first && offset <= top).toBe(true);
        return offset >= expected;
      });
      expect(found).toBe(Math.max(first, expected));
      expect(asked).toBeLessThanOrEqual(2 + 2 * Math.ceil(Math.log2(trimmed + 2)));
    }),
  );
});

test("[D5] a key is kept while its message is retained, and for keySecondsMin in any case", () => {
  const key = { at: 0, offset: 5 };
  expect([isKeyKept(key, 5, 1e9, 10), isKeyKept(key, 6, 9_999, 10), isKeyKept(key, 6, 10_000, 10)]).toEqual([true, true, false]);
});
