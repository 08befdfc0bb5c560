import { readFileSync } from "node:fs";
import { demand, medianAtMost, nothingLost } from "../demand.js";
import { field, of, ratio, spread, spreadText, text } from "../figures.js";
import { measure, rounds } from "../measure.js";
import { product } from "../subject.js";

const READERS = 20;
const SIZE = 4096;
const RATE = 2500;
/** What passes while the slow one does not read. */
const PASSING_BYTES = 100e6;
/** More than passes in a whole run, so that nothing is trimmed away under the slow one. */
/**
 * Seconds. A server is slower now and then until its code is compiled for what it does: almost all of the 99th percentile came from its first 3 s, and again from
 * the 2 s after it saw its first slow reader (V8 compiles what that path touches anew). So it is seen once before.
 */
const WARM_UP = 9;
const RETENTION_BYTES = 512 * 2 ** 20;
const MEGABYTES_MAX = 16;

/** Samples the anonymous memory of a process (heap and buffers; neither code nor mapped files) every 100 ms; gives its peak. */
function watchMemory(pid) {
  let peak = 0;
  const sample = () => {
    const [, kilobytes] = readFileSync(`/proc/${pid}/status`, "utf8").match(/RssAnon:\s+(\d+)/) ?? [];
    peak = Math.max(peak, Number(kilobytes ?? 0));
  };
  const timer = setInterval(sample, 100);
  return () => {
    clearInterval(timer);
    return { anon_peak_mb: (peak * 1024) / 1e6 };
  };
}

/**
 * One reader of many stops reading while 100 MB pass, then reads again: its memory, the others' latency, and whether it gets everything.
 * Each run stands beside the same run without it.
 */
export async function slowReader({ rounds: count, quick, only, say, ...options }) {
  const window = quick ? 5 : Math.ceil(PASSING_BYTES / SIZE / RATE);
  const reports = [];
  for (const engine of ["memory", "disk"]) {
    for (const transport of ["ws", "sse"]) {
      const name = `${engine}-${transport}`;
      if (only === undefined || name.includes(only)) reports.push(await one(engine, transport));
    }
  }
  return reports;

  async function one(engine, transport) {
    const subject = product(engine, transport, { ...options, retentionBytes: RETENTION_BYTES });
    const pair = [false, true].map((slow) => ({ ...subject, slow, name: `${subject.name}, ${slow ? "one slow" : "none slow"}` }));
    const [without, withIt] = pair.map(({ name }) => name);
    const run = (one) =>
      measure(
        one,
        { n: READERS + (one.slow ? 1 : 0), P: one.slow ? 1 : undefined, r: RATE, z: SIZE, w: WARM_UP, d: window, a: 2, D: 15 },
        watchMemory,
      );
    const rows = await rounds(count, pair, run, say);

    const more = spread(
      of(rows, withIt).map((row) => row.anon_peak_mb - of(rows, without).find(({ round }) => round === row.round).anon_peak_mb),
    );
    const missed = of(rows, withIt).map((row) => ({
      received: row.pausers_received - row.sent,
      faults: row.pausers_lost + row.pausers_late + row.pausers_duplicates,
    }));
    const everything = missed.every(({ received, faults }) => received === 0 && faults === 0);
    const demands = [
      medianAtMost(`${subject.name}: memory at its peak above the run without it, MB`, more, MEGABYTES_MAX, 1),
      nothingLost(`${subject.name}: the others`, rows),
      demand(`${subject.name}: the slow one gets every message once, in order`, everything, JSON.stringify(missed)),
      ...["p50_ms", "p99_ms"].map((name) => {
        const { median } = field(rows, withIt, name);
        const spreadWithout = field(rows, without, name);
        return demand(
          `${subject.name}: ${name} of the others within their spread without it`,
          median <= spreadWithout.max,
          `${text(median)} against ${spreadText(spreadWithout)}`,
        );
      }),
    ];
    const table = pair.map(({ name, slow }) => ({
      subject: name,
      "peak MB": spreadText(field(rows, name, "anon_peak_mb"), 0),
      "p50 ms": spreadText(field(rows, name, "p50_ms")),
      "p99 ms": spreadText(field(rows, name, "p99_ms"), 1),
      "CPU us/delivery": text(field(rows, name, "cpu_us_per_delivery").median),
      "/ without": slow ? spreadText(ratio(rows, name, without, "cpu_us_per_delivery")) : "-",
      "p99 ms meanwhile": slow ? text(field(rows, name, "catching_up_p99_ms").median) : "-",
      "caught up in s": slow ? text(field(rows, name, "caught_up_s").median) : "-",
    }));
    const megabytes = Math.round((window * RATE * SIZE) / 1e6);
    return {
      name: `${engine}-${transport}`,
      title: `${subject.name}: one of ${READERS + 1} stops reading while ${megabytes} MB pass`,
      rows,
      table,
      demands,
    };
  }
}
