#!/usr/bin/env node
// Fuzzes parsers, server and client at length: what `npm test` does of test/fuzz with small numbers, with large ones.
//
//   npm run fuzz                          1,000,000 positions and frames, 100,000 requests and sequences of frames over sockets
//   npm run fuzz -- --count 50000         as many positions and frames, a tenth of it over sockets
//   npm run fuzz -- --minutes 30          rounds of CI size, each with the next seed, until the time is over
//   npm run fuzz -- --seed 7              the seed to begin with; without it one is drawn, and printed
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const LONG_COUNT = 1_000_000;
const ROUND_COUNT = 20_000;

const { values } = parseArgs({ options: { count: { type: "string" }, minutes: { type: "string" }, seed: { type: "string" } } });
const first = number("seed", values.seed) ?? Math.floor(Math.random() * 2 ** 31);
const minutes = number("minutes", values.minutes);
const count = number("count", values.count) ?? (minutes === undefined ? LONG_COUNT : ROUND_COUNT);
const end = performance.now() + (minutes ?? 0) * 60_000;

let round = 0;
do {
  const seed = first + round++;
  console.log(`fuzz: round ${round}, seed ${seed}, count ${count}. Again: npm run fuzz -- --seed ${seed} --count ${count}`);
  const env = { ...process.env, THROUGHLINE_FUZZ_SEED: String(seed), THROUGHLINE_FUZZ_COUNT: String(count) };
  const { status } = spawnSync("npx", ["vitest", "run", "test/fuzz"], { env, stdio: "inherit" });
  if (status !== 0) {
    console.error(`fuzz: failed in round ${round}, seed ${seed}, count ${count}.`);
    process.exit(1);
  }
} while (performance.now() < end);
console.log(`fuzz: ${round} rounds passed, seeds ${first} to ${first + round - 1}.`);

function number(name, text) {
  if (text === undefined) return undefined;
  if (/^\d{1,12}(\.\d+)?$/.test(text)) return Number(text);
  console.error(`fuzz: --${name} is a number, not ${text}.`);
  process.exit(2);
}
