import { readOf } from "../child.js";
import { demand, medianAtMost } from "../demand.js";
import { field, ratio, spreadText, text } from "../figures.js";
import { rounds } from "../measure.js";
import { serveRedis } from "../redis.js";

const IN_FLIGHT = 500;
const RATE = 500;
const TIMES = 3;
const LATENCY_TIMES = 1.5;

const SUBJECTS = [
  { library: "node-redis" },
  { library: "ioredis" },
  // Beside them: the same in an append-only file that is synced every second.
  { library: "node-redis", appends: true },
].flatMap((setting) => [
  { ...setting, way: "engine" },
  { ...setting, way: "single" },
]);

const nameOf = ({ library, appends, way }) =>
  `${library}${appends ? ", appendonly" : ""}: ${way === "engine" ? "one call for all that waits" : "one call for each"}`;

/** One load on a Redis of its own, from a program of its own. */
async function publish({ library, appends, way }, seconds, load) {
  const redis = await serveRedis({ appends });
  try {
    const env = { WAY: way, LIBRARY: library, REDIS_PORT: redis.port, REDIS_PID: redis.pid, SECONDS: seconds, ...load };
    return await readOf("step.js", { env, secondsMax: seconds + 20 });
  } finally {
    await redis.stop();
  }
}

async function measure(subject, seconds) {
  const full = await publish(subject, seconds, { IN_FLIGHT });
  const paced = await publish(subject, seconds, { RATE });
  const foreign = Math.max(full.foreign_percent, paced.foreign_percent);
  return {
    ...{ subject: subject.name, ...full, foreign_percent: foreign },
    ...{ paced_s: paced.published_s, paced_p50_ms: paced.p50_ms, paced_p99_ms: paced.p99_ms },
  };
}

/** Publishes to one channel: the engine, and the same step of Redis called for each message. */
export async function oneStep({ rounds: count, seconds, say }) {
  const subjects = SUBJECTS.map((subject) => ({ ...subject, name: nameOf(subject) }));
  const rows = await rounds(count, subjects, (subject) => measure(subject, seconds), say);
  const singleOf = (subject) => nameOf({ ...subject, way: "single" });

  const demands = subjects
    .filter(({ way, appends }) => way === "engine" && !appends)
    .flatMap((subject) => {
      const { name, library } = subject;
      const rate = ratio(rows, name, singleOf(subject), "published_s");
      const p50 = ratio(rows, name, singleOf(subject), "paced_p50_ms");
      // Or the yardstick would gather too
      const alone = field(rows, singleOf(subject), "messages_per_call");
      return [
        demand(`${library}: one call for each is one`, Math.abs(alone.median - 1) < 0.1, spreadText(alone)),
        demand(`${library}: messages/s / one call for each >= ${TIMES}`, rate.median >= TIMES, spreadText(rate)),
        medianAtMost(`${library}: p50 of the ack at ${RATE}/s / one call for each`, p50, LATENCY_TIMES),
      ];
    });

  const table = subjects.map((subject) => {
    const { name } = subject;
    return {
      subject: name,
      "messages/s": spreadText(field(rows, name, "published_s"), 0),
      "/ for each": spreadText(ratio(rows, name, singleOf(subject), "published_s")),
      "messages a call": text(field(rows, name, "messages_per_call").median, 1),
      "CPU us/message": text(field(rows, name, "cpu_us_per_publish").median, 1),
      "of Redis": text(field(rows, name, "redis_us_per_publish").median, 1),
      [`p50 ms at ${RATE}/s`]: spreadText(field(rows, name, "paced_p50_ms")),
      "p50 / for each": spreadText(ratio(rows, name, singleOf(subject), "paced_p50_ms")),
      "p99 ms": text(field(rows, name, "paced_p99_ms").median),
    };
  });
  return { title: `publishes of 200 B to one channel in Redis, ${IN_FLIGHT} in flight, and ${RATE}/s`, rows, table, demands };
}
