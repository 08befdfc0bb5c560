// Mixed faults on the real server for a while: `npm run fault:soak -- --minutes 30 --seed 7`. Prints how much the server held as time went by.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "./root.js";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "30" }, seed: { type: "string" } } });
const minutes = Number(values.minutes);
if (!(minutes > 0) || (values.seed !== undefined && !/^\d+$/.test(values.seed))) {
  console.error("Say how long, and if you like with which seed: npm run fault:soak -- --minutes 30 --seed 7");
  process.exit(2);
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", "--config", "test/fault/vitest.config.ts", "test/fault/soak.fault.ts"], {
  cwd: root,
  stdio: "inherit",
  env: {
    ...process.env,
    THROUGHLINE_SOAK_MINUTES: String(minutes),
    ...(values.seed === undefined ? {} : { THROUGHLINE_SEED: values.seed }),
  },
});
process.exitCode = status ?? 1;
