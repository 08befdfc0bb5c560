import { mkdirSync, rmSync } from "node:fs";
import { serve } from "./child.js";
import { cacheDirectory } from "./client.js";
import { profileFlags } from "./profile.js";

// A subject is a server and a way to use it: `serve()` starts it anew, `flags(server)` tell the load client how to read and publish.

/** The prototype. `batch` is its flush window in milliseconds, 0 for none. */
export function bare(transport, { batch = 5 } = {}) {
  return {
    name: `bare ${transport}`,
    serve: () => serve("prototype.js", { TRANSPORT: transport, BATCH: String(batch) }),
    flags: ({ publishPort }) => ({ m: transport, u: "/", I: `line:${publishPort}` }),
  };
}

const FRAME = '{"type":"publish","channel":"t","data":"';
const FRAME_ACKED = '{"type":"publish","id":%n,"channel":"t","data":"';

/** The ways into the product. */
const WAYS = {
  /** One frame a message, without an id: nothing is answered. */
  socket: (port) => ({ I: `ws:${port}:/socket`, q: FRAME, Q: '"}' }),
  /** One frame a message, with an id: each is answered by an ack once it is stored. */
  acked: (port) => ({ I: `ws:${port}:/socket`, q: FRAME_ACKED, Q: '"}' }),
  /** One POST a message, pipelined on one connection. */
  post: (port) => ({ I: `http:${port}:/channels/t` }),
  /** One POST for all messages of 5 ms, at the rate of `fixed-rate`. */
  batch: (port) => ({ I: `batch:${port}:/publish`, q: '{"channel":"t","data":"', Q: '"}', B: 25 }),
};

let directories = 0;

/**
 * The product. `againstItself` puts the prototype in its place: every ratio must then be about 1, and what it is off by is the error of
 * the measurement.
 */
export function product(engine, transport, { way = "socket", retentionBytes, againstItself, profile, nodeFlags = [] } = {}) {
  const name = `${engine} ${transport}${way === "socket" ? "" : `, ${way}`}`;
  if (againstItself) return { ...bare(transport), name };
  return {
    name,
    serve: async () => {
      const directory = `${cacheDirectory}data-${process.pid}-${directories++}`;
      mkdirSync(directory, { recursive: true });
      const forget = () => rmSync(directory, { recursive: true, force: true });
      const env = { ENGINE: engine, DIRECTORY: directory, RETENTION_BYTES: retentionBytes && String(retentionBytes) };
      try {
        const server = await serve("server.js", env, [...nodeFlags, ...(profile ? profileFlags(name) : [])]);
        return { ...server, stop: () => server.stop().finally(forget) };
      } catch (error) {
        forget();
        throw error;
      }
    },
    flags: ({ port }) => ({ m: transport, u: transport === "ws" ? "/socket?channel=t" : "/channels/t", ...WAYS[way](port) }),
  };
}
