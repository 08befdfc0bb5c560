#!/usr/bin/env node
// Breaks the product in many ways, one at a time, and sees that the simulation notices each:
//
//   npm run sim:mutants -- [--seed 1] [--seeds 3000] [--workers 2] [--only name,name] [--out file.json]
//
// A mutant is a change of the source's text while it is bundled (test/model/mutants.ts); the source itself is not touched. Each is
// played from the seed on, first by the whole line, then by the core alone, until a fault shows. Ends with 1 if one survives.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { commit, machine } from "../bench/machine.js";

const root = join(import.meta.dirname, "..");
const outfile = join(root, `node_modules/.cache/throughline/mutants-${process.pid}.mjs`);
/** Where the bundled files stood: they look for the sources from there. */
const define = { "import.meta.dirname": JSON.stringify(join(root, "test/model")) };
try {
  const entryPoints = [join(root, "test/model/mutants-cli.ts")];
  await build({ entryPoints, outfile, bundle: true, platform: "node", format: "esm", packages: "external", define });
  const { status } = spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exitCode = status ?? 2;
  const out = outOf(process.argv);
  if (out !== undefined && existsSync(out)) {
    const figures = { ...JSON.parse(readFileSync(out, "utf8")), commit: commit(), machine: machine(tmpdir()) };
    writeFileSync(out, `${JSON.stringify(figures, null, 2)}\n`);
  }
} finally {
  rmSync(outfile, { force: true });
}

/** Where the figures are to go, as the hunt itself is told. */
function outOf(words) {
  const at = words.findIndex((word) => word === "--out" || word.startsWith("--out="));
  return words[at]?.startsWith("--out=") ? words[at].slice("--out=".length) : words[at + 1 || words.length];
}
