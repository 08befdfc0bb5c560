import { spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MUTANTS } from "./mutants.ts";
import { bundleMutant, type Mutant, ROOT } from "./mutate.ts";

/** What became of a mutant. `machine`: which of the two that play seeds caught it, the whole line or the core alone. */
interface Row {
  readonly name: string;
  readonly what: string;
  readonly machine: "line" | "core" | null;
  readonly seed: number | null;
  readonly violation: string | null;
  readonly seconds: number;
}

/** So many stories of the whole line come first; the core's, which are ten times as quick, are next, and then the others. */
const LINE_FIRST = 400;
/** A seed that takes so long never ends, which is a fault too. */
const SEED_MS_MAX = 60_000;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "3000" },
    workers: { type: "string", default: "2" },
    only: { type: "string" },
    out: { type: "string" },
    // What the figures are of: JSON
    "measured-on": { type: "string", default: "{}" },
  },
});

const chosen = MUTANTS.filter(({ name }) => values.only === undefined || values.only.split(",").includes(name));
if (chosen.length === 0) throw new Error(`No mutant is called ${values.only}.`);
const rows: Row[] = [];
/** Seeds that fail without any mutant. */
const sick = new Map<string, string>();
const waiting = [...chosen];
const CHILD = join(ROOT, "test/model/mutant-child.ts");
const SOUND = join(ROOT, `node_modules/.cache/throughline/mutant-none-${process.pid}.mjs`);
await bundleMutant(null, { entryPoints: [CHILD], outfile: SOUND });
await Promise.all(Array.from({ length: Number(values.workers) }, work));
rmSync(SOUND, { force: true });
rows.sort((a, b) => chosen.findIndex(({ name }) => name === a.name) - chosen.findIndex(({ name }) => name === b.name));

const survivors = rows.filter(({ machine }) => machine === null);
console.log(`\n${rows.length} mutants, ${rows.length - survivors.length} caught, ${survivors.length} survive.`);
for (const { name, what } of survivors) console.log(`SURVIVES ${name}: ${what}`);
for (const [seed, fault] of sick) console.log(`WITHOUT A MUTANT ${seed} fails: ${fault}`);
if (values.out !== undefined) {
  const { seed, seeds } = values;
  const measuredOn: object = JSON.parse(values["measured-on"]);
  writeFileSync(values.out, `${JSON.stringify({ seed: Number(seed), seeds: Number(seeds), mutants: rows, ...measuredOn }, null, 2)}\n`);
}
process.exitCode = survivors.length + sick.size === 0 ? 0 : 1;

async function work(): Promise<void> {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
    const row = await hunt(mutant);
    rows.push(row);
    const by = row.machine === null ? "survives" : `${row.machine} ${row.seed}`;
    console.log(
      `${row.name.padEnd(30)} | ${by.padEnd(10)} | ${String(row.seconds).padStart(5)} s | ${(row.violation ?? "").slice(0, 160)}`,
    );
  }
}

async function hunt(mutant: Mutant): Promise<Row> {
  const { name, what } = mutant;
  const file = join(ROOT, "node_modules/.cache/throughline", `mutant-${name}-${process.pid}.mjs`);
  const began = performance.now();
  const row = (machine: Row["machine"], seed: number | null, violation: string | null): Row => {
    return { name, what, machine, seed, violation, seconds: Math.round((performance.now() - began) / 100) / 10 };
  };
  try {
    await bundleMutant(mutant, { entryPoints: [CHILD], outfile: file });
    const first = Number(values.seed);
    const last = first + Number(values.seeds);
    const middle = Math.min(last, first + LINE_FIRST);
    const hunts = [["line", first, middle] as const, ["core", first, last] as const, ["line", middle, last] as const];
    for (const [machine, begin, end] of hunts) {
      let from = begin;
      while (from < end) {
        const caught = await play(file, machine, from, end - from);
        if (caught === null) break;
        // A fault that the product shows without the mutant proves nothing of it
        const own = await play(SOUND, machine, caught.seed, 1);
        if (own === null) return row(machine, caught.seed, caught.fault.split("\n")[0]!);
        sick.set(`${machine} ${caught.seed}`, own.fault);
        from = caught.seed + 1;
      }
    }
    return row(null, null, null);
  } finally {
    rmSync(file, { force: true });
  }
}

/** The first seed that shows a fault; null if none does. */
function play(file: string, machine: "line" | "core", first: number, count: number): Promise<{ seed: number; fault: string } | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [file, machine, String(first), String(count)], { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    let errors = "";
    let seed = 0;
    let caught: { seed: number; fault: string } | null = null;
    let timer = setTimeout(hang, SEED_MS_MAX);
    child.stderr.on("data", (bytes) => {
      errors = (errors + String(bytes)).slice(-2_000);
    });
    child.stdout.on("data", (bytes) => {
      text += String(bytes);
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const told = JSON.parse(line) as { seed: number; fault?: string };
        seed = told.seed;
        if (told.fault !== undefined) caught ??= { seed, fault: told.fault };
      }
      clearTimeout(timer);
      timer = setTimeout(hang, SEED_MS_MAX);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (caught !== null) resolve(caught);
      else if (code === 0) resolve(null);
      else if (seed > 0) resolve({ seed, fault: `the process ended with ${signal ?? code}: ${errors.trim().split("\n").at(-1) ?? ""}` });
      else reject(new Error(`The mutant cannot be run: ${errors}`));
    });
    function hang(): void {
      caught ??= { seed, fault: `the story does not end within ${SEED_MS_MAX / 1_000} s` };
      child.kill("SIGKILL");
    }
  });
}
