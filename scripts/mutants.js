#!/usr/bin/env node
// Breaks the product in many ways, one at a time, and sees that the simulation notices each:
//
//   npm run sim:mutants -- [--seed 1] [--seeds 3000] [--workers 2] [--only name,name] [--out file.json]
//
// A mutant is a change of the source's text while it is bundled (test/model/mutants.ts); the source itself is not touched. Each is
// played from the seed on, by the whole line and by the core alone, until a fault shows. Ends with 1 if one survives.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
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
  const measuredOn = JSON.stringify({ commit: commit(), date: new Date().toISOString().slice(0, 10), machine: machine(tmpdir()) });
  const { status } = spawnSync(process.execPath, [outfile, "--measured-on", measuredOn, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exitCode = status ?? 2;
} finally {
  rmSync(outfile, { force: true });
}
