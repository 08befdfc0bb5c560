#!/usr/bin/env node
import { existsSync } from "node:fs";

const cli = new URL("../dist/server/cli.js", import.meta.url);
if (existsSync(cli)) {
  const { run } = await import(cli.href);
  await run(process.argv.slice(2));
} else {
  console.error("throughline: dist is missing. This is a checkout that has not been built yet: run `npm ci && npm run build` first.");
  process.exitCode = 1;
}
