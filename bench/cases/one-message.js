import { atMost, medianAtMost, nothingLost } from "../demand.js";
import { field, of, ratio, spreadText, text } from "../figures.js";
import { measure, rounds } from "../measure.js";
import { bare, product } from "../subject.js";

const READERS = 5000;
const CPU = "cpu_us_per_delivery";

/** One message outstanding to 5,000 readers: nothing can be gathered, so this is the bare cost of a write, and the longest flush there is. */
export async function oneMessage({ rounds: count, seconds, say, ...options }) {
  const ours = ["ws", "sse"].map((transport) => product("memory", transport, options));
  const subjects = [bare("ws", { batch: 0 }), ours[0], bare("sse", { batch: 0 }), ours[1]];
  const rows = await rounds(count, subjects, (subject) => measure(subject, { n: READERS, k: 1, w: 1, d: seconds, D: 3 }), say);
  const bareOf = (name) => (name.includes("sse") ? "bare sse" : "bare ws");
  const demands = ours.flatMap(({ name }) => {
    const times = ratio(rows, name, bareOf(name), CPU);
    return [
      nothingLost(name, of(rows, name)),
      medianAtMost(`${name}: CPU a delivery / ${bareOf(name)}, median`, times, 1.15),
      atMost(`${name}: CPU a delivery / ${bareOf(name)}, worst round`, times.max, 1.25),
      medianAtMost(`${name}: longest slice of our own, p99 ms`, field(rows, name, "slice_p99_ms"), 10, 1),
      medianAtMost(`${name}: event-loop delay, p99 ms`, field(rows, name, "loop_p99_ms"), 12, 1),
    ];
  });
  const table = subjects.map(({ name }) => ({
    subject: name,
    "CPU us/delivery": spreadText(field(rows, name, CPU)),
    "/ bare": spreadText(ratio(rows, name, bareOf(name), CPU)),
    "messages/s": text(field(rows, name, "published_s").median, 1),
    "p50 ms": text(field(rows, name, "p50_ms").median, 1),
    "p99 ms": text(field(rows, name, "p99_ms").median, 1),
    "slice p99/max ms": `${text(field(rows, name, "slice_p99_ms").median, 1)}/${text(field(rows, name, "slice_max_ms").max, 1)}`,
    "loop p99/max ms": `${text(field(rows, name, "loop_p99_ms").median, 1)}/${text(field(rows, name, "loop_max_ms").max, 1)}`,
  }));
  return { title: `one message at a time to ${READERS} readers`, rows, table, demands };
}
