// The product from its build, as an application would run it, on a free port of loopback.
//
//   ENGINE=memory|disk|redis   DIRECTORY: where the disk engine keeps its data   REDIS_PORT: where Redis listens
//   RETENTION_BYTES: what a channel keeps, instead of the default
import http from "node:http";
// Before the product, so that the timers it takes are the ones that are timed.
import { report } from "./report.js";

const { throughline, memory } = await import("../dist/index.js");
const { attach } = await import("../dist/node.js");

const { ENGINE = "memory", DIRECTORY, REDIS_PORT, RETENTION_BYTES } = process.env;
const retain = RETENTION_BYTES ? { bytesMax: Number(RETENTION_BYTES), countMax: 10_000_000 } : {};
const ENGINES = {
  memory: () => memory({ retain }),
  disk: async () => (await import("../dist/disk.js")).disk(DIRECTORY, { retain }),
  redis: async () => {
    const [{ redis }, { createClient }] = await Promise.all([import("../dist/redis.js"), import("redis")]);
    return redis(createClient({ url: `redis://127.0.0.1:${REDIS_PORT}` }), { retain });
  },
};
const tl = throughline({ engine: await ENGINES[ENGINE]() });

const server = http.createServer();
attach(tl, server);
await tl.open();
server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () =>
  report({ port: server.address().port }, () => ({ counts: tl.counts() })),
);
