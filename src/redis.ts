export type { Publisher } from "./adapters/publisher.ts";
export { type PublisherOptions, publisher } from "./adapters/redis-publisher.ts";
export type { RedisClient } from "./engines/redis/plug.ts";
export { type RedisOptions, redis } from "./engines/redis/redis.ts";
