import { demand, medianAtMost } from "../demand.js";
import { field, of, spreadText, text } from "../figures.js";
import { measure, rounds } from "../measure.js";
import { bare, product } from "../subject.js";

/** One process under RLIMIT_NOFILE 20,000. Per-connection figures fall with their number, so a limit must name it. */
const READERS = 19000;
const LIMITS = { ws: 6000, sse: 10500 };

/** What a connection that does nothing costs the server's user space. The kernel's share (sockets) is the same for every server. */
export async function idleMemory({ rounds: count, say, ...options }) {
  const ours = ["ws", "sse"].map((transport) => ({
    transport,
    subject: product("memory", transport, { ...options, nodeFlags: ["--expose-gc"] }),
  }));
  const subjects = [bare("ws"), bare("sse"), ...ours.map(({ subject }) => subject)];
  const idle = async (subject) => {
    // No publisher: the readers connect, and idle.
    const row = await measure(
      { ...subject, flags: (server) => ({ ...subject.flags(server), I: undefined, q: undefined, Q: undefined }) },
      { n: READERS, w: 0, d: 2, b: "127.0.0.2" },
    );
    return { ...row, after_gc_bytes_per_reader: row.rss_after_gc_bytes && (row.rss_after_gc_bytes - row.rss_base_kb * 1024) / row.readers };
  };
  const rows = await rounds(count, subjects, idle, say);
  const demands = ours.flatMap(({ transport, subject: { name } }) => {
    const missing = of(rows, name).reduce((sum, { readers, closed }) => sum + READERS - readers + closed, 0);
    return [
      demand(`${name}: ${READERS} connections stand`, missing === 0, `${missing} missing`),
      medianAtMost(`${name}: resident bytes a connection`, field(rows, name, "rss_bytes_per_reader"), LIMITS[transport], 0),
    ];
  });
  const table = subjects.map(({ name }) => ({
    subject: name,
    "RSS B/connection": spreadText(field(rows, name, "rss_bytes_per_reader"), 0),
    "after gc": text(field(rows, name, "after_gc_bytes_per_reader").median, 0),
    "handshake CPU us": text(field(rows, name, "connect_cpu_us").median, 0),
  }));
  return { title: `${READERS} idle connections`, rows, table, demands };
}
