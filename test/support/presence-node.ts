import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { redis } from "../../src/redis.ts";
import { LIBRARIES } from "./redis-server.ts";

/*
 * A node in a process of its own, so that it can be killed. Run as: node presence-node.mjs <socket of Redis> <prefix> <heartbeat in seconds>. It says where
 * it listens.
 */
const [, , socket = "", prefix = "", heartbeatSeconds = ""] = process.argv;

if (process.send !== undefined && socket !== "") {
  const engine = redis(LIBRARIES[0]!.client({ socket }), { prefix });
  const tl = throughline({ engine, limits: { heartbeatSeconds: Number(heartbeatSeconds) } });
  await tl.open();
  const server = createServer();
  attach(tl, server);
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
}
