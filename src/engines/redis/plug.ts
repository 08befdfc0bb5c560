import { ThroughlineError } from "../../protocol/error.ts";
import { type IoredisClient, ioredisPlug } from "./ioredis.ts";
import type { Plug } from "./link.ts";
import { type NodeRedisClient, nodeRedisPlug } from "./node-redis.ts";

/** A client of node-redis (`createClient()`, `createCluster()`) or of ioredis (`new Redis()`, also with sentinels, `new Cluster()`), version 5 or 6. */
export type RedisClient = NodeRedisClient | IoredisClient;

/** Tells the two libraries apart by what they have. */
export function plugOf(client: RedisClient): Plug {
  if (has(client, "duplicate") && has(client, "callBuffer")) return ioredisPlug(client as IoredisClient);
  // A sentinel or a pool of node-redis sends a command again by itself, though it may have been done
  const isRepeating = has(client, "acquire") || has(client, "execute");
  if (!isRepeating && has(client, "duplicate") && has(client, "sendCommand") && has(client, "destroy"))
    return nodeRedisPlug(client as NodeRedisClient);
  throw new ThroughlineError(
    "internal",
    "redis() takes a client of node-redis (createClient() or createCluster()) or of ioredis (new Redis() or new Cluster()), version 5 or 6. For Redis Sentinel, take one of ioredis.",
  );
}

function has(client: unknown, method: string): boolean {
  return typeof (client as Record<string, unknown> | null)?.[method] === "function";
}
