import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LIMITS } from "../protocol/limits.ts";
import { checkJsonDepth, parseJson, stringifyJson } from "./json.ts";

const badJson = expect.objectContaining({ name: "ThroughlineError", code: "bad_json" });
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

describe("JSON", () => {
  test("comes back as the same value", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(parseJson(stringifyJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test.each([
    ["undefined", undefined],
    ["a function", () => 1],
    ["a symbol", Symbol("x")],
    ["a BigInt", 1n],
    ["a value that throws", { toJSON: () => JSON.parse("{") }],
  ])("cannot hold %s: bad_json", (_name, value) => {
    expect(() => stringifyJson(value)).toThrow(badJson);
  });

  test("cannot hold a circle, or what overflows the stack: bad_json", () => {
    const circle: unknown[] = [];
    circle.push(circle);
    expect(() => stringifyJson(circle)).toThrow(badJson);
    expect(() => stringifyJson(JSON.parse(nested(200_000)))).toThrow(badJson);
  });

  test.each(["", "{", "nul", "'a'", "[1,]", "\ufeff1", "1 2", '"\n"'])("is not %j: bad_json", (text) => {
    expect(() => parseJson(text)).toThrow(badJson);
  });
});

describe("The depth of JSON", () => {
  test("is refused beyond its bound, and only there", () => {
    expect(() => checkJsonDepth(nested(LIMITS.jsonDepthMax), LIMITS)).not.toThrow();
    expect(() => checkJsonDepth(nested(LIMITS.jsonDepthMax + 1), LIMITS)).toThrow(badJson);
    expect(() => checkJsonDepth(`${'{"a":'.repeat(LIMITS.jsonDepthMax + 1)}1${"}".repeat(LIMITS.jsonDepthMax + 1)}`, LIMITS)).toThrow(
      badJson,
    );
    expect(() => checkJsonDepth("[".repeat(5_000_000), LIMITS)).toThrow(badJson);
  });

  test("does not count siblings, nor brackets in strings", () => {
    expect(() => checkJsonDepth(`[${"[],".repeat(5000)}[]]`, LIMITS)).not.toThrow();
    expect(() => checkJsonDepth(JSON.stringify("[".repeat(5000)), LIMITS)).not.toThrow();
    expect(() => checkJsonDepth(JSON.stringify(`\\"${"[{".repeat(5000)}\\`), LIMITS)).not.toThrow();
    expect(() => checkJsonDepth(`["\\\\",${nested(LIMITS.jsonDepthMax)}]`, LIMITS)).toThrow(badJson);
  });
});
