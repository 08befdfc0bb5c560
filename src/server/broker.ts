import type { Log } from "../core/log.ts";
import type { RedisClient } from "../engines/redis/plug.ts";
import { redis } from "../engines/redis/redis.ts";

/** The engine that a URL names: `redis://host:port`, or `rediss://` by TLS. Its client is not ours, and must be installed beside us. Throws what to do. */
export async function openBroker(url: string): Promise<Log> {
  if (!/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
    throw new Error(`There is no engine for ${plain(url)}. Write it as redis://host:port, or rediss://host:port for TLS.`);
  }
  const client = (await clientOfRedis(url)) ?? (await clientOfIoredis(url));
  if (client !== null) return redis(client);
  throw new Error(`To use ${plain(url)} a client of Redis is needed, and none is installed. Install one: npm install redis (or ioredis).`);
}

/** The URL without its password, for people to read. */
export function plain(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}

async function clientOfRedis(url: string): Promise<RedisClient | null> {
  try {
    const { createClient } = await import("redis");
    return createClient({ url });
  } catch (error) {
    return nullIfMissing(error);
  }
}

async function clientOfIoredis(url: string): Promise<RedisClient | null> {
  try {
    const { Redis } = await import("ioredis");
    return new Redis(url, { lazyConnect: true });
  } catch (error) {
    return nullIfMissing(error);
  }
}

function nullIfMissing(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return null;
  throw error;
}
