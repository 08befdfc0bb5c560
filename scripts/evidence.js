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

/** As much of it as the run has noted. */
function where({ commit, date, machine }) {
  const on = machine === undefined ? [] : [`${machine.cores} cores of ${machine.cpu}, kernel ${machine.kernel}, Node ${machine.node}`];
  const told = [...(commit === undefined ? [] : [`commit \`${commit}\``]), ...(date === undefined ? [] : [date]), ...on].join(", ");
  return told === "" ? "" : ` ${told.charAt(0).toUpperCase()}${told.slice(1)}.`;
}

/** Of each claim the run that shows it, if there is one: its figures are at least and at most what the claim says. `each`: so many runs, and each of them. */
function claims() {
  const runsOf = ({ run, row, rows }) =>
    run !== undefined
      ? jsonFiles(run).map(figuresOf)
      : rows !== undefined
        ? [rows.map((name) => lines.filter((line) => line.row === name && isWhole(line)).at(-1)).reduce(sum)]
        : lines.filter((line) => line.row === row);
  const rows = JSON.parse(readFileSync(`${folder}claims.json`, "utf8")).map((claim) => {
    const { least, most, each } = claim;
    const holds = (figures) =>
      Object.entries(least).every(([name, min]) => figures[name] >= min) &&
      Object.entries(most).every(([name, max]) => figures[name] <= max);
    const runs = runsOf(claim).filter((one) => one !== undefined);
    const [worst] = Object.keys(most);
    const isShown = each === undefined || (runs.length >= each && runs.every(holds));
    const shown = isShown
      ? runs
          .filter(holds)
          .sort((a, b) => (each === undefined ? 0 : a[worst] - b[worst]))
          .at(-1)
      : undefined;
    if (shown === undefined) return [claim.claim, rowOf(claim), "**not measured at this length yet**", ""];
    const names = [...new Set([...Object.keys(least), ...Object.keys(most)])];
    return [claim.claim, rowOf(claim), names.map((name) => `${name} ${number(shown[name])}`).join(", "), shown.commit ?? ""];
  });
  return section("At a glance", "What was to be shown, and the run that shows it; the tables below have all of them.", [
    table(["claim", "row", "measured", "commit"], rows),
  ]);
}

/** A campaign that was tried to its end: of one that was not, each kind of fault was tried less often than the sum says. */
const isWhole = ({ round, rounds }) => round === rounds;

const rowOf = ({ row, rows }) => row ?? rows?.join(", ") ?? "";

/** Several campaigns as one; nothing, if one of them is missing. */
function sum(all, line) {
  if (all === undefined || line === undefined) return undefined;
  return { ...add(all, line), commit: all.commit === line.commit ? line.commit : `${all.commit}, ${line.commit}` };
}

function figuresOf({ mutants, failed = [], ...run }) {
  const survivors = (mutants ?? []).filter(({ machine }) => machine === null).length;
  return { ...run, failed: failed.length, mutants: mutants?.length, survivors };
}

function simulation() {
  const runs = jsonFiles("sim-").map((run) => {
    const { seeds, first, deliveries, faults, faultCount, failed, seconds } = run;
    const kinds = Object.entries(faults).map(([kind, count]) => [kind, number(count)]);
    return [
      `Seeds ${first} to ${first + seeds - 1}: ${number(seeds)} stories, **${number(deliveries)} deliveries, ${number(faultCount)} faults, ` +
        `${number(failed.length)} stories with a violation**, in ${number(seconds)} s.${where(run)}`,
      `    npm run sim -- --seeds ${seeds} --seed ${first}`,
      table(["fault", "how often"], kinds),
    ].join("\n\n");
  });
  return section(
    "Simulation",
    "The real hub, transports, wire, engines' logic and client in one process, on a virtual clock, network and disk. One seed is one history; the checker (`test/check`) judges each by the promises.",
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
      `**${caught} of ${rows.length} caught.**${where(run)}`,
      "    npm run sim:mutants",
      table(["mutant", "what is broken", "caught by seed", "by what"], rows),
    ].join("\n\n");
  });
  return section("Mutants", "The same simulation with one fault put into the product while it is bundled: each must be noticed.", runs);
}

const COUNTS = ["injections", "acked", "delivered", "lost", "twice", "disordered", "untold"];
const KNOWN = new Set(["row", "what", "control", "seconds", "seed", "commit", ...COUNTS]);

/** One line for each run of a row; the rounds of a campaign are one. */
const lines = together(
  readdirSync(folder)
    .filter((name) => name.endsWith(".ndjson"))
    .sort()
    .flatMap((name) =>
      readFileSync(folder + name, "utf8")
        .trim()
        .split("\n"),
    )
    .map((line) => JSON.parse(line)),
);

function together(all) {
  const campaigns = new Map();
  for (const [index, line] of all.entries()) {
    const name = line.rounds > 1 ? `${line.row} ${line.commit} ${line.rounds}` : index;
    // A round that was tried once more counts once
    campaigns.set(name, { ...campaigns.get(name), [line.round ?? 1]: line });
  }
  return [...campaigns.values()].map((parts) => {
    const rounds = Object.values(parts);
    const [first] = rounds;
    if (rounds.length === 1) return first;
    const seed = rounds.map((one) => one.seed).join(", ");
    return { ...rounds.slice(1).reduce(add, first), kinds: first.kinds, rounds: first.rounds, round: rounds.length, seed };
  });
}

/** The figures of both; NaN where one of them has none. */
function add(one, other) {
  const both = Object.entries(other).map(([name, value]) => [name, typeof value === "number" ? (one[name] ?? Number.NaN) + value : value]);
  return { ...Object.fromEntries(both), control: one.control };
}

/** What was measured, of the rows of this kind. */
function figures(kind) {
  const rows = lines
    .filter((line) => kindOf(line.row) === kind)
    .map((line) => {
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
  return rows.length === 0 ? [] : [table(["row", "what", ...COUNTS, "negative control", "s", "seed", "commit"], rows)];
}

/** Rows of the fault matrix bear a letter and a number; the others say what they are. */
function kindOf(row) {
  return /^(proxy|browser|fuzz)/.exec(row)?.[0] ?? "fault";
}

function faults() {
  const rows = JSON.parse(readFileSync(`${folder}rows.json`, "utf8")).map(({ row, fault, test, control, again }) => [
    row,
    fault,
    `\`${test}\``,
    control,
    `\`${again}\``,
  ]);
  return section(
    "Faults on real processes",
    "N network, P process, D disk, F scarcity, T time, C client, H history, U publish again, B brokers and the nodes on them; each is done again and again, healed, and then judged by the checker " +
      "(`test/check`). The negative control goes through the same fault and is judged by the same checker, which must find what it did wrong. *Planted*: the checker is also given the history with a message lost, given twice, out of order or not given, and must find each.",
    [
      table(["row", "fault", "test", "negative control", "at length"], rows),
      "What is not here: V1, an upgrade and a downgrade, for there was no release before this one (directories of older formats: `test/golden`); and U3, the fencing of a producer by its epoch, which is not promised: " +
        "two that use one key are one publish (`test/spec/idempotent-publish.test.ts`).",
      "What came of it, at length; THROUGHLINE_SEED repeats a seed, and THROUGHLINE_EVIDENCE names a directory for the figures. A `+` behind a commit: with changes that were not committed yet.",
      ...figures("fault"),
    ],
  );
}

function proxies() {
  return section(
    "Proxies",
    "nginx, HAProxy, Caddy, Apache and Varnish of Debian, as they come and in common configurations: `npx vitest run test/proxy`.",
    figures("proxy"),
  );
}

function browsers() {
  return section("Browsers", "Chromium and Firefox of Debian: `npx vitest run test/browser`.", figures("browser"));
}

function fuzz() {
  return section(
    "Fuzz",
    "Positions, frames, HTTP and event streams by grammar, by fast-check, and by mutants of a corpus: `npm run fuzz -- --seed` and the seed.",
    figures("fuzz"),
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

const text = [HEAD, claims(), simulation(), mutants(), faults(), proxies(), browsers(), fuzz(), found()]
  .filter((part) => part !== "")
  .join("\n");
if (process.argv[2] === "check") {
  const is = existsSync(page) ? readFileSync(page, "utf8") : "";
  if (is !== text) console.error("docs/evidence.md is not what docs/evidence/ gives. Write it anew: npm run evidence");
  process.exitCode = is === text ? 0 : 1;
} else {
  writeFileSync(page, text);
  console.log("Written: docs/evidence.md");
}
