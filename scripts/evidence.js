#!/usr/bin/env node
// Writes docs/evidence.md from the results in docs/evidence/: nothing in it is written by hand, so that a number there is one that was measured.
//
//   npm run evidence            writes it
//   npm run evidence -- check   says whether it is what the results give; exit code 1 if not
//
// The results are those of `npm run sim -- --out`, `npm run sim:mutants -- --out`, and one line of each run of a row, which tests leave where
// THROUGHLINE_EVIDENCE names a directory.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../docs/evidence/", import.meta.url));
const page = fileURLToPath(new URL("../docs/evidence.md", import.meta.url));

const HEAD = `# The evidence

What was tried to break the promises of [PROTOCOL.md](../PROTOCOL.md), what came of it, and how to try it again. This page is made by
\`npm run evidence\` of the results in [evidence/](evidence/), not by hand. A row stands beside its negative control: the same injection
at something that is known to be wrong, which the same judge must find.
`;

/** The results of several runs of the same are in several files: \`sim-hour.json\`, \`sim-10000.json\`. */
function jsonFiles(prefix) {
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && name.endsWith(".json"))
    .sort()
    .map((name) => JSON.parse(readFileSync(folder + name, "utf8")));
}

const number = (value) => Number(value).toLocaleString("en-US", { maximumFractionDigits: 1 });

const cell = (value) =>
  String(value ?? "")
    .replaceAll("|", "\\|")
    .replaceAll("\n", " ");

function table(columns, rows) {
  const line = (cells) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}

const where = ({ commit, date, machine: { cpu, cores, kernel, node } }) =>
  `Commit \`${commit}\`,${date === undefined ? "" : ` ${date},`} ${cores} cores of ${cpu}, kernel ${kernel}, Node ${node}.`;

function simulation() {
  const runs = jsonFiles("sim-").map((run) => {
    const { seeds, first, deliveries, faults, faultCount, failed, seconds } = run;
    const kinds = Object.entries(faults).map(([kind, count]) => [kind, number(count)]);
    return [
      `Seeds ${first} to ${first + seeds - 1}: ${number(seeds)} stories, **${number(deliveries)} deliveries, ${number(faultCount)} faults, ` +
        `${number(failed.length)} stories with a violation**, in ${number(seconds)} s. ${where(run)}`,
      `    npm run sim -- --seeds ${seeds} --seed ${first}`,
      table(["fault", "how often"], kinds),
    ].join("\n\n");
  });
  return section(
    "Simulation",
    "The real hub, transports, wire, engines' logic and client in one process, with bare EventSources beside, on a virtual clock, network and disk. One seed is one history; the checker (`test/check`) judges each by the promises.",
    runs,
  );
}

function mutants() {
  const runs = jsonFiles("mutants").map((run) => {
    const rows = run.mutants.map(({ name, what, machine, seed, violation }) => [
      name,
      what,
      machine === null ? "**survives**" : `${seed}`,
      (violation ?? "").slice(0, 120),
    ]);
    const caught = run.mutants.filter(({ machine }) => machine !== null).length;
    return [
      `**${caught} of ${rows.length} caught.** ${where(run)}`,
      "    npm run sim:mutants",
      table(["mutant", "what is broken", "caught by seed", "by what"], rows),
    ].join("\n\n");
  });
  return section("Mutants", "The same simulation with one fault put into the product while it is bundled: each must be noticed.", runs);
}

const COUNTS = ["injections", "acked", "delivered", "lost", "twice", "disordered", "untold"];
const KNOWN = new Set(["row", "what", "control", "seconds", "seed", "commit", ...COUNTS]);

function faults() {
  const lines = readdirSync(folder)
    .filter((name) => name.endsWith(".ndjson"))
    .sort()
    .flatMap((name) =>
      readFileSync(folder + name, "utf8")
        .trim()
        .split("\n"),
    )
    .map((line) => JSON.parse(line));
  const rows = lines.map((line) => {
    const more = Object.entries(line).filter(([name]) => !KNOWN.has(name));
    return [
      line.row,
      line.what + (more.length > 0 ? ` (${more.map(([name, value]) => `${name} ${value}`).join(", ")})` : ""),
      ...COUNTS.map((name) => (line[name] === undefined ? "" : number(line[name]))),
      line.control,
      number(line.seconds),
      line.seed,
      line.commit,
    ];
  });
  return section(
    "Faults on real processes",
    "Rows with a letter are those of a fault matrix: N network, P process, D disk, F scarcity, T time, C client, H history, U publish again. " +
      "Again: `npm test` and `npm run fault` with THROUGHLINE_EVIDENCE naming a directory; the long sizes by the variables that the files in `test/fault` name.",
    rows.length === 0 ? [] : [table(["row", "what", ...COUNTS, "negative control", "s", "seed", "commit"], rows)],
  );
}

function found() {
  const file = `${folder}bugs.json`;
  if (!existsSync(file)) return "";
  const rows = JSON.parse(readFileSync(file, "utf8")).map(({ by, bug, guard }) => [by, bug, `\`${guard}\``]);
  return section("What it found", "Bugs of the product, by what found them, and what guards against them since.", [
    table(["found by", "what was wrong", "guarded by"], rows),
  ]);
}

function section(title, about, parts) {
  if (parts.length === 0) return "";
  return `## ${title}\n\n${about}\n\n${parts.join("\n\n")}\n`;
}

const text = [HEAD, simulation(), mutants(), faults(), found()].filter((part) => part !== "").join("\n");
if (process.argv[2] === "check") {
  const is = existsSync(page) ? readFileSync(page, "utf8") : "";
  if (is !== text) console.error("docs/evidence.md is not what docs/evidence/ gives. Write it anew: npm run evidence");
  process.exitCode = is === text ? 0 : 1;
} else {
  writeFileSync(page, text);
  console.log("Written: docs/evidence.md");
}
