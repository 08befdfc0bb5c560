import { play as playLine } from "./sim.ts";
import { play as playCore } from "./story.ts";

/**
 * Plays seeds until one shows a fault: `mutant-child <line | core> <first> <count>`. Prints a line of JSON for each that it begins, so that whoever
 * waits knows where it hangs, and one for what it found.
 */
const [machine, first, count] = process.argv.slice(2) as ["line" | "core", string, string];

async function faultsOf(seed: number): Promise<readonly string[]> {
  return machine === "core" ? playCore(seed) : (await playLine(seed)).violations;
}

let seed = Number(first);
const last = seed + Number(count) - 1;
// What a broken product throws into the air is a fault found
process.on("uncaughtException", (error) => tell({ seed, fault: `it threw: ${error.message}` }, () => process.exit()));
process.on("unhandledRejection", (error) => tell({ seed, fault: `it rejected: ${String(error)}` }, () => process.exit()));

for (; seed <= last; seed++) {
  tell({ seed });
  const [fault] = await faultsOf(seed);
  if (fault === undefined) continue;
  tell({ seed, fault }, () => process.exit());
  break;
}

function tell(what: { readonly seed: number; readonly fault?: string }, then?: () => void): void {
  process.stdout.write(`${JSON.stringify(what)}\n`, then);
}
