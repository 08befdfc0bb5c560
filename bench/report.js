import { syncBuiltinESMExports } from "node:module";
import { monitorEventLoopDelay } from "node:perf_hooks";
import timers from "node:timers";

// What a server under load tells about itself. One line of JSON on stdout when it is ready, and one at each SIGUSR2, about the time since
// the last. The load client sends the signal when its measured window begins and when it ends, so the last line is about the window.

// A slice is one synchronous run of a callback that somebody gave to setImmediate or setTimeout: a flush, or a part of one. It is timed
// here, outside the server, so that prototype and product are asked the same. Two clock readings a slice cost nothing beside a flush.
// Those below 1 ms are no part of a large fan-out and would only thin the percentile out.
const SLICE_MS_MIN = 1;
let slices = [];
function timed(callback) {
  return function slice(...args) {
    const from = performance.now();
    try {
      return callback.apply(this, args);
    } finally {
      const ms = performance.now() - from;
      if (ms >= SLICE_MS_MIN) slices.push(ms);
    }
  };
}
for (const name of ["setImmediate", "setTimeout"]) {
  const plain = timers[name];
  const wrapped = (callback, ...rest) => plain(timed(callback), ...rest);
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(plain));
  timers[name] = globalThis[name] = wrapped;
}
syncBuiltinESMExports();

// At resolution 1 an idle loop reads about 1.06 ms.
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

let cpu = process.cpuUsage();

const round = (ms) => Math.round(ms * 1000) / 1000;

function since() {
  slices.sort((a, b) => a - b);
  const { user, system } = process.cpuUsage(cpu);
  const said = {
    cpu: { user_s: user / 1e6, system_s: system / 1e6 },
    memory: process.memoryUsage(),
    loop: { p50_ms: round(delay.percentile(50) / 1e6), p99_ms: round(delay.percentile(99) / 1e6), max_ms: round(delay.max / 1e6) },
    slice: {
      count: slices.length,
      p99_ms: round(slices[Math.floor(slices.length * 0.99)] ?? 0),
      max_ms: round(slices.at(-1) ?? 0),
    },
  };
  slices = [];
  delay.reset();
  cpu = process.cpuUsage();
  return said;
}

// Ends by itself, so that --cpu-prof can write what it saw.
process.on("SIGTERM", () => process.exit(0));

/** Says that the server stands, and from then on answers SIGUSR2. `more` is what else the server knows. */
export function report(ready, more = () => ({})) {
  process.stdout.write(`${JSON.stringify({ ready })}\n`);
  process.on("SIGUSR2", () => {
    const said = { ...since(), ...more() };
    // Only a server that was started with --expose-gc tells what is left after a collection.
    if (globalThis.gc) {
      globalThis.gc();
      said.rssAfterGc = process.memoryUsage().rss;
    }
    process.stdout.write(`${JSON.stringify(said)}\n`);
  });
}
