import { expect, test } from "vitest";
import { readTests, readTree, type Tree } from "./source.ts";
import { findUnfinished, findUnnamed, findUnrun } from "./words.ts";

/** What people write, but for the house tests, whose planted faults would be found. */
function written(): Tree {
  const tree = readTree("", /\.(tsx?|m?js|json|md|css|html|sh|c|ya?ml|lua)$/);
  return new Map([...tree].filter(([path]) => !path.startsWith("test/house/") && path !== "package-lock.json"));
}

test("every file is named by what it is", () => {
  expect(findUnnamed(readTree("src", /./).keys())).toEqual([]);
});

test("nothing waits to be finished", () => {
  expect(findUnfinished(written())).toEqual([]);
});

test("no test is skipped, and none runs alone", () => {
  expect(findUnrun(readTests())).toEqual([]);
});

test("the checks find what they look for", () => {
  expect(
    findUnnamed([
      "src/core/hub-manager.ts",
      "src/utils/text.ts",
      "src/wire/base.ts",
      "src/core/LogImpl.ts",
      "src/wire/base64.ts",
      "src/core/hub.ts",
    ]),
  ).toEqual(["src/core/hub-manager.ts", "src/utils/text.ts", "src/wire/base.ts", "src/core/LogImpl.ts"]);
  expect(findUnfinished(new Map([["a.ts", "const done = 1; // TODO: more\nconst todo = [];\n/* FIXME */"]]))).toEqual([
    "a.ts:1: const done = 1; // TODO: more",
    "a.ts:3: /* FIXME */",
  ]);
  expect(
    findUnrun(
      new Map([
        [
          "a.test.ts",
          `test.skip("a", act);\ndescribe.concurrent.only("b", act);\nit.skipIf(slow)("c", act);\ntest.each(all).todo("d");\n// test.only`,
        ],
        ["b.test.ts", `reader.skip(3); test("it.only says so", act);`],
      ]),
    ),
  ).toEqual([
    "a.test.ts:1: test.skip",
    "a.test.ts:2: describe.concurrent.only",
    "a.test.ts:3: it.skipIf",
    "a.test.ts:4: test.each(all).todo",
  ]);
});
