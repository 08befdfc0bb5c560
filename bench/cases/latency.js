import { nothingLost } from "../demand.js";
import { field, spreadText } from "../figures.js";
import { measure, rounds } from "../measure.js";
import { product } from "../subject.js";

/** From publish to receipt on a server that has little to do. A table, without limits: at 10/s a p99 stands on few messages. */
export async function latency({ rounds: count, seconds, say, ...options }) {
  const subjects = [];
  for (const engine of ["memory", "disk"]) {
    for (const transport of ["ws", "sse"]) {
      for (const readers of [1, 100]) {
        for (const rate of [10, 100]) {
          const subject = product(engine, transport, options);
          subjects.push({ ...subject, name: `${subject.name}, ${readers} reader${readers > 1 ? "s" : ""}, ${rate}/s`, readers, rate });
        }
      }
    }
  }
  const rows = await rounds(count, subjects, (one) => measure(one, { n: one.readers, r: one.rate, w: 1, d: seconds, D: 2 }), say);
  const table = subjects.map(({ name }) => ({
    subject: name,
    "p50 ms": spreadText(field(rows, name, "p50_ms")),
    "p99 ms": spreadText(field(rows, name, "p99_ms")),
    "max ms": spreadText(field(rows, name, "max_ms"), 1),
  }));
  return { title: "from publish to receipt", rows, table, demands: [nothingLost("all", rows)] };
}
