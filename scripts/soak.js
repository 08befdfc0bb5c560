// Mixed faults for a while: `npm run soak -- --minutes 30 --seed 7`. On one server on a disk it also prints how much the server held as time went by;
// `--on workers`, `--on redis`, `--on cluster` and `--on nats` try several processes on one log.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "./root.js";

const FILES = { disk: "soak", workers: "campaign-workers", redis: "campaign-redis", cluster: "campaign-cluster", nats: "campaign-nats" };

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "30" }, seed: { type: "string" }, on: { type: "string", default: "disk" } },
});
const minutes = Number(values.minutes);
const file = FILES[values.on];
if (!(minutes > 0) || (values.seed !== undefined && !/^\d+$/.test(values.seed)) || file === undefined) {
  console.error(
    "Say how long, and if you like with which seed and on what: npm run soak -- --minutes 30 --seed 7 --on disk|workers|redis|cluster|nats",
  );
  process.exit(2);
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const { status } = spawnSync(process.execPath, [vitest, "run", "--config", "test/fault/vitest.config.ts", `test/fault/${file}.fault.ts`], {
  cwd: root,
  stdio: "inherit",
  env: {
    ...process.env,
    [values.on === "disk" ? "THROUGHLINE_SOAK_MINUTES" : "THROUGHLINE_CAMPAIGN_MINUTES"]: String(minutes),
    ...(values.seed === undefined ? {} : { THROUGHLINE_SEED: values.seed }),
  },
});
process.exitCode = status ?? 1;
