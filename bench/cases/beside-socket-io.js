import { CLIENT_CORE, readOf, serve } from "../child.js";
import { nothingLost } from "../demand.js";
import { field, of, ratio, spread, spreadText, text } from "../figures.js";
import { climb } from "../ladder.js";
import { rounds } from "../measure.js";
import { serveRedis } from "../redis.js";
import { installRivals } from "../rival.js";

const READERS = 200;
const RATE = 100;
const LADDER = [100, 200, 300, 400, 500, 600, 700, 800, 1000, 1200, 1400, 1700, 2000, 2500, 3000, 4000, 5000];

const KINDS = [
  { kind: "Throughline", dialect: "throughline", program: "server.js", env: { ENGINE: "redis" } },
  { kind: "redis-adapter", dialect: "socket.io", program: "rivals/server.js", env: { ADAPTER: "redis-adapter" } },
  { kind: "redis-streams-adapter", dialect: "socket.io", program: "rivals/server.js", env: { ADAPTER: "redis-streams-adapter" } },
];

const SUBJECTS = [1, 2].flatMap((nodes) =>
  KINDS.map((kind) => ({ ...kind, nodes, name: `${kind.kind}, ${nodes} node${nodes > 1 ? "s" : ""}` })),
);

/** A Redis and nodes on it, and a load on them at a rate. */
async function stage({ dialect, program, env, nodes }) {
  const redis = await serveRedis();
  const servers = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await redis.stop();
  };
  try {
    for (let node = 0; node < nodes; node++) servers.push(await serve(program, { ...env, REDIS_PORT: String(redis.port) }));
  } catch (error) {
    await stop();
    throw error;
  }
  const pids = { nodes: servers.map(({ pid }) => pid), redis: redis.pid };
  const load = (rate, seconds, warmUp) => {
    const asked = { dialect, ports: servers.map(({ port }) => port), readers: READERS, rate, warmUp, seconds, drain: 3, ...pids };
    return readOf("sockets.js", { core: CLIENT_CORE, words: [JSON.stringify(asked)], secondsMax: warmUp + seconds + 30 });
  };
  return { load, stop };
}

async function measure(subject, { seconds, quick }) {
  const on = await stage(subject);
  let row;
  try {
    row = await on.load(RATE, seconds, 2);
  } finally {
    await on.stop();
  }
  const { held, best, steps } = await climb(() => stage(subject), {
    ...{ readers: READERS, ladder: quick ? LADDER.slice(0, 1) : LADDER, seconds: Math.max(1, seconds / 2) },
  });
  return { subject: subject.name, ...row, held, held_row: best, steps };
}

/** One channel or room, 200 readers over WebSocket, one publisher on the first node: beside Socket.IO on the same Redis. */
export async function besideSocketIo({ rounds: count, seconds, quick, say }) {
  installRivals();
  const rows = await rounds(count, SUBJECTS, (subject) => measure(subject, { seconds, quick }), say);
  const oursOf = ({ nodes }) => SUBJECTS.find((subject) => subject.nodes === nodes && subject.kind === "Throughline").name;
  const demands = SUBJECTS.filter(({ kind }) => kind === "Throughline").map(({ name }) => nothingLost(name, of(rows, name)));

  const table = SUBJECTS.map((subject) => {
    const { name } = subject;
    const atHeld = (what) => spread(of(rows, name).map(({ held_row: row }) => row?.[what] ?? 0)).median;
    return {
      subject: name,
      "p50 ms": spreadText(field(rows, name, "p50_ms")),
      "p99 ms": spreadText(field(rows, name, "p99_ms"), 1),
      "of ours": spreadText(ratio(rows, name, oursOf(subject), "p50_ms")),
      lost: of(rows, name).reduce((sum, { lost }) => sum + lost, 0),
      "CPU us/delivery": spreadText(field(rows, name, "cpu_us_per_delivery"), 1),
      "CPU of ours": spreadText(ratio(rows, name, oursOf(subject), "cpu_us_per_delivery")),
      "Redis us/publish": text(field(rows, name, "redis_us_per_publish").median, 0),
      "Redis us/delivery": text(field(rows, name, "redis_us_per_delivery").median, 2),
      "held/s": spreadText(field(rows, name, "held"), 0),
      "held of ours": spreadText(ratio(rows, name, oursOf(subject), "held")),
      "delivered/s at it": text(atHeld("delivered_s"), 0),
      "client % at it": text(atHeld("client_percent"), 0),
    };
  });
  return { title: `${RATE} messages/s of 100 B to ${READERS} readers over Redis, and the rate that is held`, rows, table, demands };
}
