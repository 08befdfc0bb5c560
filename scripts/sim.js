#!/usr/bin/env node
// Plays stories of the whole line on a virtual time, network and disk (test/model/sim.ts), one for each seed, on all cores.
//
//   npm run sim -- --seeds 10000 --seed 1 [--out figures.json] [--history folder]
//   npm run sim -- --minutes 60 --seed 1       as many as are played in that time
//
// A history is written for each seed that failed, and for the seed if there is only one. What fails is told at once, and every minute how far it is.
import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { commit, machine } from "../bench/machine.js";
import { bundle } from "./sim-bundle.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "300" },
    minutes: { type: "string" },
    seed: { type: "string", default: "1" },
    out: { type: "string" },
    history: { type: "string" },
  },
});
const minutes = values.minutes === undefined ? Number.POSITIVE_INFINITY : wholeNumber("minutes");
const asked = values.minutes === undefined ? wholeNumber("seeds") : Number.POSITIVE_INFINITY;
const first = wholeNumber("seed");

/** What 10,000 seeds must show, or they prove less than they say. */
const SEEDS_THAT_COUNT = 10_000;
const DELIVERIES_MIN = 1_000_000;
const FAULTS_MIN = 100_000;
const CHUNK = 20;
/** So many stories one worker plays, then another takes its place: Node keeps some 30 kB of each (errored streams, and their weak listeners). */
const WORKER_SEEDS_MAX = 5_000;

const TELL_MS = 60_000;

const began = performance.now();
const failed = [];
const counts = { deliveries: 0, faults: {}, acts: {}, plots: {} };
let played = 0;
const telling = setInterval(() => console.error(`${played} seeds, ${failed.length} failed`), TELL_MS);
await playAll(await bundle());
clearInterval(telling);
const seeds = played;
const seconds = (performance.now() - began) / 1_000;
failed.sort((a, b) => a.seed - b.seed);
const faults = Object.values(counts.faults).reduce((sum, count) => sum + count, 0);

console.log(`seeds        ${first} to ${first + seeds - 1}: ${seeds}`);
console.log(`deliveries   ${counts.deliveries}`);
console.log(`faults       ${faults}: ${table(counts.faults)}`);
console.log(`acts         ${table(counts.acts)}`);
console.log(`seen         ${table(counts.plots)}`);
console.log(`violations   ${failed.reduce((sum, { violations }) => sum + violations.length, 0)} in ${failed.length} seeds`);
console.log(`seconds      ${seconds.toFixed(1)}`);
for (const { seed, violations } of failed.slice(0, 20)) console.log(`\nseed ${seed}\n  ${violations.slice(0, 5).join("\n  ")}`);
if (failed.length > 0) console.log(`\nAgain: npm run sim -- --seeds 1 --seed ${failed[0].seed} --history .`);
if (values.out !== undefined) {
  const told = failed.map(({ seed, violations }) => ({ seed, violations }));
  const measuredOn = { commit: commit(), date: new Date().toISOString().slice(0, 10), machine: machine(tmpdir()) };
  writeFileSync(
    values.out,
    `${JSON.stringify({ seeds, first, ...counts, faultCount: faults, failed: told, seconds, ...measuredOn }, null, 2)}\n`,
  );
}
let isGood = failed.length === 0;
if (seeds >= SEEDS_THAT_COUNT) {
  if (counts.deliveries < DELIVERIES_MIN) isGood = complain(`${counts.deliveries} deliveries are less than ${DELIVERIES_MIN}.`);
  if (faults < FAULTS_MIN) isGood = complain(`${faults} faults are less than ${FAULTS_MIN}.`);
}
process.exitCode = isGood ? 0 : 1;

/** Each worker is given the next seeds when it is done with the last. */
function playAll(file) {
  let next = first;
  const end = first + asked;
  const isOver = () => next >= end || performance.now() - began > minutes * 60_000;
  const workers = Array.from({ length: Math.min(availableParallelism(), Math.ceil(asked / CHUNK)) }, async () => {
    do await playOn(file);
    while (!isOver());
  });
  return Promise.all(workers);

  function playOn(path) {
    let given = 0;
    return new Promise((resolve, reject) => {
      const worker = fork(fileURLToPath(new URL("sim-worker.js", import.meta.url)), [path], { execArgv: ["--enable-source-maps"] });
      worker.on("message", (outcomes) => {
        for (const outcome of outcomes) take(outcome);
        const count = given < WORKER_SEEDS_MAX && !isOver() ? Math.min(CHUNK, end - next) : 0;
        given += count;
        if (count > 0) worker.send({ first: next, count, isKept: values.history !== undefined && asked === 1 });
        else worker.disconnect();
        next += count;
      });
      worker.on("error", reject);
      worker.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`A worker ended with ${code}.`))));
    });
  }
}

function take(outcome) {
  played++;
  counts.deliveries += outcome.counts.deliveries;
  for (const kind of ["faults", "acts", "plots"]) {
    for (const [name, count] of Object.entries(outcome.counts[kind])) counts[kind][name] = (counts[kind][name] ?? 0) + count;
  }
  if (outcome.violations.length > 0) {
    failed.push(outcome);
    console.error(`seed ${outcome.seed}: ${outcome.violations[0]}`);
  }
  if (values.history === undefined || outcome.events === undefined) return;
  mkdirSync(values.history, { recursive: true });
  writeFileSync(join(values.history, `${outcome.seed}.ndjson`), outcome.events.map((event) => `${JSON.stringify(event)}\n`).join(""));
}

function table(counted) {
  return Object.entries(counted)
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(", ");
}

function complain(sentence) {
  console.error(sentence);
  return false;
}

function wholeNumber(name) {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${name} is a whole number above 0.`);
  process.exit(2);
}
