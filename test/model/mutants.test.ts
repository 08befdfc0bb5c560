import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.ts";
import { bundleMutant, type Mutant, mutate, ROOT } from "./mutate.ts";

test("there are at least 20 mutants, each with a name of its own", () => {
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  expect(MUTANTS.length).toBeGreaterThanOrEqual(20);
});

test("every mutant still fits the source, compiles, and is part of the simulation", async () => {
  const home = mkdtempSync(join(tmpdir(), "throughline-mutants-"));
  try {
    for (const mutant of MUTANTS) {
      await bundleMutant(mutant, { entryPoints: [join(ROOT, "test/model/mutant-child.ts")], outfile: join(home, `${mutant.name}.mjs`) });
    }
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("a mutant that no longer fits is told, and so is one that would change two places", () => {
  const mutant = (find: string): Mutant => ({ name: "planted", what: "", edits: [{ file: "src/a.ts", find, replace: "" }] });
  expect(() => mutate(mutant("gone"), "src/a.ts", "one two two")).toThrow(/planted no longer fits src\/a.ts: .* 0 times/);
  expect(() => mutate(mutant("two"), "src/a.ts", "one two two")).toThrow(/2 times/);
  expect(mutate(mutant("one"), "src/a.ts", "one two two")).toBe(" two two");
  expect(mutate(mutant("one"), "src/b.ts", "one two two")).toBe("one two two");
});
