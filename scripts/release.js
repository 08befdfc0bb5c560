// The fault matrix at the size of a release: each fault of one server, of its workers, and of two nodes on Redis, a Redis Cluster and NATS a hundred times, under load.
// `npm run fault:release`, three hours on two cores, and some six for the cluster; `-- --times 10` for a tenth of it, `-- --only redis` for one of them, `-- --at-once 1` for a small machine.
// It goes in rounds of ten times each: `-- --only redis --rounds 6-10` goes on with one that was broken off, and at the same commit its figures are added to the others.
// THROUGHLINE_EVIDENCE names a directory for what came of it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "./root.js";

const CAMPAIGNS = ["redis", "cluster", "nats", "workers", "server"];

const { values } = parseArgs({
  options: {
    times: { type: "string", default: "100" },
    progress: { type: "string", default: "600" },
    only: { type: "string" },
    rounds: { type: "string" },
    "at-once": { type: "string", default: "2" },
  },
});
const asked = values.only === undefined ? CAMPAIGNS : CAMPAIGNS.filter((name) => name === values.only);
const atOnce = Number(values["at-once"]);
const [from, to = from] = values.rounds?.split("-").map(Number) ?? [];
const rounds = from === undefined ? [] : ["-t", `, (${Array.from({ length: to - from + 1 }, (_, index) => from + index).join("|")}) of `];
if (asked.length === 0 || !(Number(values.times) >= 1) || !(atOnce >= 1)) {
  console.error(
    `Say how often, which and how many at once: npm run fault:release -- --times 100 --only ${CAMPAIGNS.join("|")} --at-once 2`,
  );
  process.exit(2);
}

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const env = {
  ...process.env,
  THROUGHLINE_CAMPAIGN_TIMES: values.times,
  THROUGHLINE_CAMPAIGN_PROGRESS: values.progress,
  THROUGHLINE_CAMPAIGN_BATCHERS: "4",
};

async function run(name) {
  const words = ["run", "--config", "test/fault/vitest.config.ts", `test/fault/campaign-${name}.fault.ts`, ...rounds];
  const child = spawn(process.execPath, [vitest, ...words], { cwd: root, stdio: "inherit", env });
  const [status] = await once(child, "exit");
  if (status !== 0) process.exitCode = 1;
}

const waiting = [...asked];
await Promise.all(
  Array.from({ length: atOnce }, async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await run(name);
  }),
);
