import { demand, medianAtMost, nothingLost } from "../demand.js";
import { field, of, ratio, spreadText, text } from "../figures.js";
import { measure, rounds } from "../measure.js";
import { bare, product } from "../subject.js";

const READERS = 500;
const RATE = 5000;
const CPU = "cpu_us_per_delivery";

/** 5,000 messages of 100 B a second to 500 readers: what a delivery costs beside the prototype's. */
export async function fixedRate({ rounds: count, seconds, say, ...options }) {
  // On disk the publisher asks for acks, so that the figure holds for an application that waits for its messages to be synced.
  const pairs = [
    { ours: product("memory", "ws", options), to: "bare ws", times: 1.4 },
    { ours: product("memory", "sse", options), to: "bare sse", times: 1.4 },
    { ours: product("disk", "ws", { ...options, way: "acked" }), to: "bare ws", times: 1.6 },
    { ours: product("disk", "sse", { ...options, way: "acked" }), to: "bare sse", times: 1.6 },
  ];
  const beside = ["post", "batch"].map((way) => product("memory", "ws", { ...options, way }));
  const subjects = [bare("ws"), bare("sse"), ...pairs.map(({ ours }) => ours), ...beside];
  const rows = await rounds(count, subjects, (subject) => measure(subject, { n: READERS, r: RATE, w: 1, d: seconds, D: 3 }), say);

  const demands = [];
  for (const { ours, to, times } of pairs) {
    const mine = of(rows, ours.name);
    demands.push(
      nothingLost(ours.name, mine),
      medianAtMost(`${ours.name}: p99, ms`, field(rows, ours.name, "p99_ms"), 50, 1),
      medianAtMost(`${ours.name}: CPU a delivery / ${to}`, ratio(rows, ours.name, to, CPU), times),
    );
    if (ours.name.includes("acked") && !options.againstItself) {
      const unacked = mine.reduce((sum, { sent, acked }) => sum + sent - acked, 0);
      demands.push(demand(`${ours.name}: every publish acked`, unacked === 0, `${unacked} not`));
    }
  }
  for (const [ws, sse] of [pairs.slice(0, 2), pairs.slice(2)].map((two) => two.map(({ ours }) => ours.name))) {
    const between = ratio(rows, sse, ws, CPU);
    const within = between.median <= 1.15 && between.median >= 1 / 1.15;
    demands.push(demand(`${sse} / ${ws}: CPU a delivery within 15 %`, within, spreadText(between)));
  }

  const table = subjects.map(({ name }) => {
    const to = name.includes("sse") ? "bare sse" : "bare ws";
    return {
      subject: name,
      "CPU us/delivery": spreadText(field(rows, name, CPU), 3),
      "/ bare": spreadText(ratio(rows, name, to, CPU)),
      "delivered/s": text(field(rows, name, "delivered_s").median, 0),
      "p50 ms": text(field(rows, name, "p50_ms").median, 1),
      "p99 ms": spreadText(field(rows, name, "p99_ms"), 1),
      "server %": text(field(rows, name, "server_percent").median, 0),
      "client %": text(field(rows, name, "client_percent").median, 0),
      "loop p99 ms": text(field(rows, name, "loop_p99_ms").median, 1),
    };
  });
  return { title: `${RATE} messages/s of 100 B to ${READERS} readers`, rows, table, demands };
}
