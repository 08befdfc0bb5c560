import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { engineAt } from "./brokers.ts";

/*
 * A node in a process of its own, so that it can be killed. Run as: node presence-node.mjs <address of its broker> <prefix> <heartbeat in seconds>. It says where
 * it listens.
 */
const [, , address = "", prefix = "", heartbeatSeconds = ""] = process.argv;

if (process.send !== undefined && address !== "") {
  const engine = engineAt(JSON.parse(address), { prefix });
  const tl = throughline({ engine, limits: { heartbeatSeconds: Number(heartbeatSeconds) } });
  await tl.open();
  const server = createServer();
  attach(tl, server);
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
}
