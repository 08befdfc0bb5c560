import { describe, expect, test } from "vitest";
import { type FieldKind, ownField, readObject, readShape } from "./shape.ts";

describe("A shape", () => {
  test.each<[FieldKind, readonly unknown[], readonly unknown[]]>([
    ["any", [0, "", null, false, [], {}], [undefined]],
    ["string", ["", "a"], [undefined, null, 1, []]],
    ["string?", ["", undefined], [null, 1]],
    ["string|null", ["", null], [undefined, 1]],
    ["number", [0, 1.5], [undefined, null, "1"]],
    ["number?", [0, undefined], [null, "1"]],
    ["number|null", [0, null], [undefined, "1"]],
    ["integer", [0, -1, 2 ** 53 - 1], [1.5, 2 ** 53, "1", undefined, null]],
    ["integer?", [0, undefined], [1.5, null]],
    ["boolean?", [true, undefined], [1, null]],
    ["object", [{}], [undefined, null, "{}"]],
  ])("takes as %s what is one, and nothing else", (kind, good, bad) => {
    for (const value of good) expect(() => readShape({ field: value }, "test", { field: kind })).not.toThrow();
    for (const value of bad) expect(() => readShape({ field: value }, "test", { field: kind })).toThrow(/"field".*test/);
  });

  test("makes an object of the fields it names, which must be its own", () => {
    const source = Object.assign(Object.create({ inherited: "x" }), { a: "1", b: "2" });
    expect(readShape(source, undefined, { a: "string", inherited: "string?" })).toEqual({ a: "1" });
    expect(() => readShape(source, undefined, { inherited: "string" })).toThrow(/"inherited".*message/);
    expect(ownField({}, "toString")).toBeUndefined();
  });

  test("is of an object only", () => {
    expect(readObject('{"a":1}')).toEqual({ a: 1 });
    expect(() => readObject("[]")).toThrow(expect.objectContaining({ code: "bad_frame" }));
    expect(() => readObject("[")).toThrow(expect.objectContaining({ code: "bad_json" }));
  });
});
