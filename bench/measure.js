import { load } from "./client.js";

/** Starts the subject, puts one load on it, stops it: one row. */
export async function measure(subject, flags, watch = () => () => ({})) {
  const server = await subject.serve();
  try {
    return await probe(server, subject, flags, watch);
  } finally {
    await server.stop();
  }
}

/** One load on a server that stands; `nth` counts the loads it had before. `watch(pid)` looks on and returns what ends the looking. */
export async function probe(server, subject, flags, watch = () => () => ({}), nth = 0) {
  const seen = watch(server.pid);
  const row = await load(server, { ...subject.flags(server), ...flags });
  const extra = seen();
  // The first line was `ready`; then each load makes two: the window begins, the window ends.
  const { cpu, memory, loop, slice, rssAfterGc } = (await server.told(nth * 2 + 2)) ?? {};
  return {
    subject: subject.name,
    ...row,
    // What else ran on the server's core: above some 10 % the row was disturbed.
    foreign_percent: Math.round((row.core_percent - row.server_percent) * 10) / 10,
    // Our code and Node's against the kernel's, whose larger part is the same for every server.
    user_us_per_delivery: row.delivered && cpu ? (cpu.user_s * 1e6) / row.delivered : undefined,
    system_us_per_delivery: row.delivered && cpu ? (cpu.system_s * 1e6) / row.delivered : undefined,
    loop_p99_ms: loop?.p99_ms,
    loop_max_ms: loop?.max_ms,
    slice_p99_ms: slice?.p99_ms,
    slice_max_ms: slice?.max_ms,
    heap_bytes: memory?.heapUsed,
    array_buffer_bytes: memory?.arrayBuffers,
    rss_after_gc_bytes: rssAfterGc,
    ...extra,
  };
}

/** All subjects once a round, every other round in the opposite order, so that what drifts meets each of them alike. */
export async function rounds(count, subjects, measureOne, say) {
  const rows = [];
  for (let round = 1; round <= count; round++) {
    for (const subject of round % 2 ? subjects : subjects.toReversed()) {
      const row = { round, ...(await measureOne(subject)) };
      rows.push(row);
      say(row);
    }
  }
  return rows;
}
