import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { slope } from "./figures.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import type { Sample } from "./sample.ts";
import { MORTAL, serverFaults } from "./server-faults.ts";
import { Volume } from "./volume.ts";

/** `npm run soak -- --minutes 30` */
const MINUTES = Number(process.env["THROUGHLINE_SOAK_MINUTES"] ?? 1);
/** Servers die in the first part only: of one that lives on it can be seen whether it holds more and more. */
const DYING_SHARE = 0.25;
/** Of a log that is full a server holds the same from then on. */
const RETAIN_COUNT = 5_000;
/** What the fitted line may grow by from the warm-up to the end. */
const GROWTH_MAX: Partial<Readonly<Record<keyof Sample, number>>> = {
  heapBytes: Math.max(24, MINUTES) * 1024 * 1024,
  rssBytes: Math.max(96, 4 * MINUTES) * 1024 * 1024,
  listeners: 0.5,
};
/** These go up and down with the connections that faults leave behind for a while. At the end they must come back to what the fewest samples had, but for these. */
const LEFT_MAX = 5;
/** What a server that leaks keeps of each fault: in a minute there are few. */
const LEAK_BYTES = (MINUTES < 10 ? 40 : 1) * 1024 * 1024;
type Growth = Record<keyof Sample, { first: number; last: number; grew: number }>;

test(`[D2] [D3] [D4] [D7] [D10] for ${MINUTES} min of mixed faults nothing is lost or given twice, and the server holds no more at the end`, {
  timeout: 120_000 + MINUTES * 90_000,
}, async () => {
  const ground = new Ground();
  const volume = new Volume(ground, 512);
  ground.data = join(volume.path, "data");
  const serve = () => ground.serve({ words: ["--retain-count", String(RETAIN_COUNT)] });
  await serve();
  ground.fault("retention", "start", { may: ["trimmed"] });
  await ground.gather({ paceMs: 40, naive: 1 });

  const faults = serverFaults(ground, volume, serve);
  const minutes = () => (performance.now() - ground.startMs) / 60_000;
  const samples: (readonly [minute: number, sample: Sample])[] = [];
  while (minutes() < MINUTES) {
    const isDying = minutes() < MINUTES * DYING_SHARE;
    const names = Object.keys(faults).filter((name) => isDying || !MORTAL.has(name));
    const name = names[Math.floor(ground.random.fraction() * names.length)] as string;
    ground.fault(name, "start");
    await faults[name]?.();
    ground.fault(name, "stop");
    await ground.progress(20);
    await ground.whole();
    if (!isDying) samples.push([minutes(), await ground.sample()]);
  }
  await ground.calm();
  const growth = growthOf(samples);
  console.log(
    `${ground.injections} faults in ${minutes().toFixed(1)} min, seed ${ground.seed}; from the warm-up to the end, by the fitted line:`,
  );
  console.table(growth);
  expect(tooMuch(growth)).toEqual([]);
  // The control: the same server, had it kept a little of each fault
  const leaking = growthOf(samples.map(([minute, sample], index) => [minute, leaked(sample, index)]));
  expect(tooMuch(leaking)).toEqual(Object.keys(GROWTH_MAX));
  const left: Record<string, number> = {};
  for (const name of ["descriptors", "handles"] as const) {
    const fewest = Math.min(...samples.map(([, sample]) => sample[name]));
    await until(`${name} come back to ${fewest}`, async () => (await ground.sample())[name] <= fewest + LEFT_MAX, 60_000);
    left[`${name}Left`] = (ground.samples.at(-1)?.[name] ?? Number.NaN) - fewest;
  }
  judge(ground, {
    row: "soak",
    what: `${MINUTES} min of mixed faults: ${Object.keys(faults).join(", ")}; how much the server holds from the warm-up to the end.`,
    minutes: MINUTES,
    samples: samples.length,
    heapMbFirst: megabytes(growth.heapBytes.first),
    heapMbGrew: megabytes(growth.heapBytes.grew),
    rssMbGrew: megabytes(growth.rssBytes.grew),
    listenersGrew: growth.listeners.grew,
    ...left,
    control: "a leak planted in what was measured is found in heap, RSS and listeners",
  });
});

/** What grew by more than it may. */
function tooMuch(growth: Growth): string[] {
  return Object.entries(GROWTH_MAX).flatMap(([name, max]) => (growth[name as keyof Sample].grew < max ? [] : [name]));
}

/** What a server would hold that keeps a few megabytes and a listener of each fault. */
function leaked(sample: Sample, faults: number): Sample {
  const bytes = faults * LEAK_BYTES;
  const { heapBytes, rssBytes, listeners } = sample;
  return { ...sample, heapBytes: heapBytes + bytes, rssBytes: rssBytes + bytes, listeners: listeners + faults };
}

const megabytes = (bytes: number) => Math.round(bytes / 1_048_576);

function growthOf(samples: readonly (readonly [minute: number, sample: Sample])[]): Growth {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined) throw new Error("Not one sample was taken: the time was too short.");
  const names = Object.keys(first[1]) as (keyof Sample)[];
  const rows = names.map((name) => {
    const perMinute = slope(samples.map(([minute, sample]) => [minute, sample[name]]));
    return [name, { first: first[1][name], last: last[1][name], grew: Math.round(perMinute * (last[0] - first[0])) }] as const;
  });
  return Object.fromEntries(rows) as Growth;
}
