import { atLeast } from "../demand.js";
import { faults, field, of, ratio, spreadText, text } from "../figures.js";
import { probe, rounds } from "../measure.js";
import { bare, product } from "../subject.js";

const READERS = 500;
const LADDER = [
  500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 11000, 12000, 13500, 15000, 17000, 19000, 22000, 25000, 28000, 31000,
];

/** Held: nothing lost, at least 98.5 % delivered inside the window, p99 below 50 ms. */
function holds(row) {
  return faults([row]).length === 0 && row.delivered_s >= 0.985 * row.rate * row.readers && row.p99_ms < 50;
}

/**
 * Climbs the ladder from a step. A step that fails is tried once more on a fresh server, since a burst of other work on the machine fails it
 * too; if it fails again, the step below is the rate held. If the first step fails, it climbs down instead.
 */
async function climb(subject, from, { seconds, probesMax }) {
  const steps = [];
  let server = await subject.serve();
  let loads = 0;
  const at = async (rate) => {
    // Batches come every 5 ms, whatever the rate.
    const burst = subject.name.includes("batch") ? { B: Math.ceil(rate / 200) } : {};
    const row = await probe(server, subject, { n: READERS, r: rate, w: 0.6, d: seconds, D: 2, ...burst }, undefined, loads++);
    steps.push(row);
    return row;
  };
  const held = async (rate) => {
    const row = await at(rate);
    if (holds(row)) return row;
    await server.stop();
    server = await subject.serve();
    loads = 0;
    const second = await at(rate);
    return holds(second) ? second : undefined;
  };
  let best;
  try {
    let step = LADDER.indexOf(from);
    let direction = 0;
    for (let probes = 0; probes < probesMax && LADDER[step] !== undefined; probes++) {
      const row = await held(LADDER[step]);
      if (row) best = row;
      if (direction !== 0 && direction > 0 !== Boolean(row)) break;
      direction = row ? 1 : -1;
      step += direction;
    }
  } finally {
    await server.stop();
  }
  const last = best ?? steps.at(-1);
  return { ...last, subject: subject.name, held: best?.rate ?? 0, steps };
}

/** The highest rate held to 500 readers. */
export async function heldRate({ rounds: count, seconds, quick, say, ...options }) {
  const floors = [
    { ours: product("memory", "ws", options), floor: 10000 },
    { ours: product("memory", "sse", options), floor: 10000 },
    { ours: product("disk", "ws", options), floor: 6000 },
    { ours: product("disk", "sse", options), floor: 6000 },
    { ours: product("memory", "ws", { ...options, way: "post" }), floor: 3000 },
  ];
  // Without a floor: shown beside them. They begin where the prototype of the research stood.
  const beside = [
    { ours: bare("ws"), from: 15000 },
    { ours: product("disk", "ws", { ...options, way: "post" }), from: 2000 },
    { ours: product("memory", "ws", { ...options, way: "batch" }), from: 10000 },
  ];
  const begin = new Map([...floors.map(({ ours, floor }) => [ours, floor]), ...beside.map(({ ours, from }) => [ours, from])]);
  const probesMax = quick ? 1 : 9;
  const rows = await rounds(
    count,
    [...begin.keys()],
    (subject) => climb(subject, begin.get(subject), { seconds: Math.max(1, seconds / 2), probesMax }),
    say,
  );
  const demands = floors.map(({ ours, floor }) => {
    const { median } = field(rows, ours.name, "held");
    return atLeast(`${ours.name}: messages/s held`, median, floor);
  });
  const table = [...begin.keys()].map(({ name }) => ({
    subject: name,
    "held/s": spreadText(field(rows, name, "held"), 0),
    "/ bare ws": spreadText(ratio(rows, name, "bare ws", "held")),
    "CPU us/delivery at it": text(field(rows, name, "cpu_us_per_delivery").median, 3),
    "p99 ms at it": text(field(rows, name, "p99_ms").median, 1),
    "server %": text(field(rows, name, "server_percent").median, 0),
    "client %": text(field(rows, name, "client_percent").median, 0),
    "steps tried": of(rows, name)
      .map(({ steps }) => steps.length)
      .join(" "),
  }));
  return { title: `highest rate held to ${READERS} readers`, rows, table, demands };
}
