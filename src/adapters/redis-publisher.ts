import type { RedisClient } from "../engines/redis/plug.ts";
import { type RedisOptions, redis } from "../engines/redis/redis.ts";
import { type Publisher, type PublishingOptions, publishTo } from "./publisher.ts";

export interface PublisherOptions extends Omit<RedisOptions, "retain">, PublishingOptions {}

/**
 * For a program that serves nobody: a job, a script, a function. It publishes through the very same step in Redis as the servers do, which hear of it there.
 *
 * @example
 * const events = publisher(createClient({ url: "redis://localhost:6379" }));
 * await events.publish("orders/eu", "created", { id: 7 }, { key: "order-7" });
 */
export function publisher(client: RedisClient, { retain, warn, ...options }: PublisherOptions = {}): Publisher {
  return publishTo(redis(client, options), { ...(retain === undefined ? {} : { retain }), ...(warn === undefined ? {} : { warn }) });
}
