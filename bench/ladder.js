import { faults } from "./figures.js";

const P99_MS = 100;

/**
 * Climbs a ladder of rates on a stage: `stage()` gives `{ load(rate, seconds, warmUp), stop }`. A step that fails is tried once more on a fresh stage, since a burst of other
 * work on the machine fails it too. Held is: nothing lost, at least 98.5 % delivered in time, p99 below 100 ms.
 */
export async function climb(stage, { readers, ladder, seconds }) {
  const steps = [];
  let best;
  let on = await stage();
  try {
    for (const rate of ladder) {
      for (let tries = 0; tries < 2 && best?.rate !== rate; tries++) {
        if (tries > 0) {
          await on.stop();
          on = await stage();
        }
        const row = await on.load(rate, seconds, 0.6);
        steps.push(row);
        if (holds(row, readers)) best = row;
      }
      if (best?.rate !== rate) break;
    }
  } finally {
    await on.stop();
  }
  return { held: best?.rate ?? 0, best, steps };
}

function holds(row, readers) {
  return faults([row]).length === 0 && row.delivered_s >= 0.985 * row.rate * readers && row.p99_ms < P99_MS;
}
