import { expect, test } from "vitest";
import { LIMITS } from "../../src/protocol/limits.ts";
import { findUnreachedLimits } from "./limits-reached.ts";
import { readTests } from "./source.ts";

test("every limit is reached by some test", () => {
  expect(findUnreachedLimits(Object.keys(LIMITS), readTests()), "no test outside test/house sets or names these").toEqual([]);
});

test("the check finds a limit that no test sets, reads or names", () => {
  const setOrRead = `await start({ limits: { setMax: 1 } });\nexpect(LIMITS.readMax).toBe(1);`;
  const named = `test("beyond namedMax it is refused", act);`;
  const told = `// commentedMax\nconst localMax = 1;\nsend({ type: "connected", toldMax: 1 });\nexpect(frame.seenMax).toBe(1);`;
  const planted = new Map(Object.entries({ "test/spec/a.test.ts": setOrRead, "test/spec/b.test.ts": named, "test/spec/c.test.ts": told }));
  const names = ["setMax", "readMax", "namedMax", "commentedMax", "localMax", "toldMax", "seenMax"];
  expect(findUnreachedLimits(names, planted)).toEqual(["commentedMax", "localMax", "toldMax", "seenMax"]);
});
