import type { Log } from "../core/log.ts";
import type { NatsConnect } from "../engines/nats/connection.ts";
import { nats } from "../engines/nats/nats.ts";
import type { RedisClient } from "../engines/redis/plug.ts";
import { redis } from "../engines/redis/redis.ts";

/** The engine that a URL names: `redis://host:port` or `nats://host:port`, `rediss://` or `tls://` for TLS. Its client is not ours, and must be installed beside us. Throws what to do. */
export async function openBroker(url: string): Promise<Log> {
  const scheme = URL.canParse(url) ? new URL(url).protocol : "";
  if (scheme === "nats:" || scheme === "tls:") return nats((await connectOfNats(url)) ?? missing(url, "NATS", "@nats-io/transport-node"));
  if (scheme === "redis:" || scheme === "rediss:") {
    return redis((await clientOfRedis(url)) ?? (await clientOfIoredis(url)) ?? missing(url, "Redis", "redis (or ioredis)"));
  }
  throw new Error(
    `There is no engine for ${plain(url)}. Write it as redis://host:port or nats://host:port, or rediss://host:port or tls://host:port for TLS.`,
  );
}

function missing(url: string, broker: string, name: string): never {
  throw new Error(`To use ${plain(url)} a client of ${broker} is needed, and none is installed. Install one: npm install ${name}.`);
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

async function connectOfNats(url: string): Promise<NatsConnect | null> {
  try {
    const { connect } = await import("@nats-io/transport-node");
    const { protocol, host, username, password } = new URL(url);
    const user = username === "" ? {} : { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
    return () => connect({ servers: host, ...user, ...(protocol === "tls:" ? { tls: {} } : {}) });
  } catch (error) {
    return nullIfMissing(error);
  }
}

function nullIfMissing(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return null;
  throw error;
}
