import { expect, test } from "vitest";
import { PLOTS, play } from "./story.ts";

/** Seeds that failed once, and why. */
const FAILED: readonly { readonly seed: number; readonly why: string }[] = [
  { seed: 784, why: "a channel goes on only from a head that is certain: not while the log still has to explain a change" },
  { seed: 1868, why: "a page is shared by readers of one position, not of one offset" },
  { seed: 97, why: "a look at the log that failed is repeated, though nothing more is told" },
];

const SEEDS = Number(process.env["SEEDS"] ?? 6_000);
/** One seed alone: what a failure prints. */
const SEED = process.env["SEED"];

test.each(FAILED)("[D2] [D3] [D10] $why (seed $seed)", async ({ seed }) => {
  expect(await play(seed)).toEqual([]);
});

test("[D1] [D2] [D3] [D4] [D5] [D7] [D10] readers get an unbroken story and true gaps, whatever befalls the log and the outlets", {
  timeout: 3_600_000,
}, async () => {
  const first = SEED === undefined ? 1 : Number(SEED);
  const last = SEED === undefined ? SEEDS : first;
  const seen = new Set<string>();
  for (let seed = first; seed <= last; seed++) {
    const faults = await play(seed, seen);
    if (faults.length > 0) expect.fail(`SEED=${seed} npx vitest run test/model\n${faults.slice(0, 5).join("\n")}`);
  }
  if (last - first >= 500) expect(PLOTS.filter((plot) => !seen.has(plot))).toEqual([]);
});
