// npm run bench -- <name> [options]. See README.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { besideSocketIo } from "./cases/beside-socket-io.js";
import { fixedRate } from "./cases/fixed-rate.js";
import { heldRate } from "./cases/held-rate.js";
import { idleMemory } from "./cases/idle-memory.js";
import { latency } from "./cases/latency.js";
import { oneMessage } from "./cases/one-message.js";
import { oneStep } from "./cases/one-step.js";
import { slowReader } from "./cases/slow-reader.js";
import { workers } from "./cases/workers.js";
import { pinSelf } from "./child.js";
import { cacheDirectory, compile } from "./client.js";
import { commit, machine } from "./machine.js";
import { table, verdict } from "./print.js";
import { forgetProfiles, topFunctions } from "./profile.js";

/** A case gives one report, or several: `{ name, title, rows, table, demands }`. */
const BENCHES = {
  "fan-out": { "fixed-rate": fixedRate, "held-rate": heldRate, "one-message": oneMessage, "idle-memory": idleMemory },
  "slow-reader": { "slow-reader": slowReader },
  latency: { latency },
  redis: { "one-step": oneStep, "beside-socket-io": besideSocketIo },
  workers: { workers },
};

const USAGE = `npm run bench -- <${Object.keys(BENCHES).join(" | ")}> [options]

  --only <case>      of fan-out: ${Object.keys(BENCHES["fan-out"]).join(", ")}
                     of redis: ${Object.keys(BENCHES.redis).join(", ")}
                     of slow-reader: memory, disk, ws, sse, memory-ws, ...
  --rounds <n>       rounds; ratios are taken inside a round (3)
  --seconds <s>      length of a measured window (4)
  --quick            one round of 1 s: does everything run? Its figures mean nothing
  --against-itself   the prototype in the product's place: every ratio must be about 1; not of redis, workers
  --profile          where the product spends its time; its figures mean nothing; not of redis, workers

Exit code: 0 every demand met, 1 a demand failed, 2 it could not be measured.`;

/** Of these, `--only` names a case; of the others it is the case's own affair. */
const isByCase = (name) => name === "fan-out" || name === "redis";

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: "string" },
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean" },
      "against-itself": { type: "boolean" },
      profile: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const [name] = positionals;
  const cases = BENCHES[name];
  const { only, quick, profile, "against-itself": againstItself } = values;
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  const seconds = Number(values.seconds ?? (quick ? 1 : 4));
  const known = !isByCase(name) || only === undefined || only in cases;
  // their load has no prototype, and their programs are not profiled
  const isAsked = (name !== "redis" && name !== "workers") || !(profile || againstItself);
  if (values.help || !cases || !known || !isAsked || !(rounds >= 1) || !(seconds > 0)) {
    console.error(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  return { name, only, rounds, seconds, quick, profile, againstItself };
}

/** One line while it runs, so that a disturbed row is seen at once. */
function say(row) {
  const {
    round,
    subject,
    held,
    delivered,
    cpu_us_per_delivery: cpu,
    p99_ms: p99,
    lost,
    foreign_percent: foreign,
    client_percent: client,
    messages_per_call: messages,
  } = row;
  const alone = messages ? `${row.published_s} messages/s, ${messages.toFixed(1)} a call` : `${row.rss_bytes_per_reader} B a connection`;
  const figures = delivered ? `${cpu} us a delivery, p99 ${p99} ms` : alone;
  const notes = [
    held === undefined ? "" : `held ${held}/s`,
    lost ? `lost ${lost}` : "",
    foreign > 10 ? `disturbed: ${foreign} % of the server's core was taken by others` : "",
    client > 95 ? "the load client was at its limit" : "",
    row.complaint?.trim() ?? "",
  ].filter(Boolean);
  console.error(`  round ${round}  ${subject}: ${figures}${notes.length ? `  (${notes.join("; ")})` : ""}`);
}

function write(given, reports) {
  const { name, only, quick, profile, againstItself } = given;
  // Only a whole measurement is kept beside the code; whatever else is a look.
  const kept = !(quick || profile || againstItself);
  const directory = kept ? fileURLToPath(new URL("results/", import.meta.url)) : `${cacheDirectory}results/`;
  mkdirSync(directory, { recursive: true });
  const file = `${directory}${[name, only, quick && "quick", profile && "profile", againstItself && "against-itself"].filter(Boolean).join("-")}.json`;
  const { loadAtStart, ...measuredOn } = given.machine;
  const result = {
    bench: name,
    date: new Date().toISOString(),
    commit: given.commit,
    machine: measuredOn,
    loadAtStart,
    rounds: given.rounds,
    seconds: given.seconds,
    demands: reports.flatMap(({ demands }) => demands),
    reports: reports.map(({ title, table: figures, rows }) => ({ title, figures, rows })),
  };
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
  return file;
}

async function main() {
  const given = options();
  mkdirSync(cacheDirectory, { recursive: true });
  // what is published to Redis and through it, and to workers, has load clients of its own
  if (given.name !== "redis" && given.name !== "workers") compile();
  // Before this program is pinned: then it sees one core only.
  Object.assign(given, { machine: machine(cacheDirectory), commit: commit(), say });
  pinSelf();
  if (given.profile) forgetProfiles();
  const { cpu, cores, kernel, node, filesystem, loadAtStart } = given.machine;
  console.error(
    `${cpu}, ${cores} cores, kernel ${kernel}, Node ${node}, ${filesystem}, load ${loadAtStart.toFixed(1)}, commit ${given.commit}`,
  );
  if (cores < 2) throw new Error("The server and the load client need a core each.");

  const reports = [];
  for (const [name, run] of Object.entries(BENCHES[given.name])) {
    if (isByCase(given.name) && given.only !== undefined && given.only !== name) continue;
    console.error(`${name}`);
    for (const report of [await run(given)].flat()) {
      reports.push(report);
      console.log(`\n${report.title}\n\n${table(report.table)}\n\n${report.demands.map(verdict).join("\n")}\n`);
    }
  }
  if (given.profile) for (const [file, functions] of Object.entries(topFunctions())) console.log(`${file}\n${table(functions)}\n`);
  console.log(`Rows: ${write(given, reports).replace(`${process.cwd()}/`, "")}`);
  const failed = reports.flatMap(({ demands }) => demands).filter(({ passed }) => !passed);
  console.log(failed.length === 0 ? "Every demand is met." : `${failed.length} demands are not met.`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(error.message);
  process.exit(2);
});
