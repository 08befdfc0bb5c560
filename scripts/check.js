#!/usr/bin/env node
// Judges what happened: node scripts/check.js <history.ndjson...>
//
// All files together are one history, in the form of test/check/history.ts. Prints each promise that was broken, and counts; ends
// with 1 if there was one.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const outfile = join(root, `node_modules/.cache/throughline/check-${process.pid}.mjs`);
await build({ entryPoints: [join(root, "test/check/cli.ts")], outfile, bundle: true, platform: "node", format: "esm" });
const { status } = spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: "inherit" });
rmSync(outfile);
process.exitCode = status ?? 2;
