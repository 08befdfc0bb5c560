import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

test("docs/evidence.md is what the results in docs/evidence/ give, word for word", () => {
  const { status, stderr } = spawnSync(process.execPath, ["scripts/evidence.js", "check"], { cwd: ROOT, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
});

test("each bug that was found is guarded by a test that is there", () => {
  const bugs: { guard: string }[] = JSON.parse(readFileSync(join(ROOT, "docs/evidence/bugs.json"), "utf8"));
  expect(bugs.length).toBeGreaterThan(0);
  for (const { guard } of bugs) expect([guard, existsSync(join(ROOT, guard))]).toEqual([guard, true]);
});
