import type { Log } from "../core/log.ts";
import type { NatsConnect } from "../engines/nats/connection.ts";
import { nats } from "../engines/nats/nats.ts";
import type { RedisClient } from "../engines/redis/plug.ts";
import { redis } from "../engines/redis/redis.ts";

/** So long it may take a Redis to say whether it belongs to a cluster; opening the engine then says what is wrong. */
const PROBE_MS_MAX = 5_000;

/**
 * The engine that a URL names: `redis://host:port` or `nats://host:port`, `rediss://` or `tls://` for TLS; of a Redis Cluster any member. Its client is not ours, and must be
 * installed beside us. Throws what to do.
 */
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
    const { createClient, createCluster } = await import("redis");
    const probe = createClient({ url, socket: { reconnectStrategy: false, connectTimeout: PROBE_MS_MAX, socketTimeout: PROBE_MS_MAX } });
    probe.on("error", () => {});
    const info = async () => String(await (await probe.connect()).sendCommand(["INFO", "cluster"]));
    if (!(await isCluster(info, () => void (probe.isOpen && probe.destroy())))) return createClient({ url });
    const { username, password, isTls } = loginOf(url);
    // What stands in the URL of one member holds for all of them
    return createCluster({ rootNodes: [{ url }], defaults: { ...username, ...password, ...(isTls ? { socket: { tls: true } } : {}) } });
  } catch (error) {
    return nullIfMissing(error);
  }
}

async function clientOfIoredis(url: string): Promise<RedisClient | null> {
  try {
    const { Cluster, Redis } = await import("ioredis");
    const probe = new Redis(url, { lazyConnect: true, retryStrategy: null, connectTimeout: PROBE_MS_MAX, commandTimeout: PROBE_MS_MAX });
    probe.on("error", () => {});
    const info = () => probe.info("cluster");
    if (!(await isCluster(info, () => probe.disconnect()))) return new Redis(url, { lazyConnect: true });
    const { username, password, isTls } = loginOf(url);
    return new Cluster([url], { lazyConnect: true, redisOptions: { ...username, ...password, ...(isTls ? { tls: {} } : {}) } });
  } catch (error) {
    return nullIfMissing(error);
  }
}

/** Whether a Redis belongs to a cluster. One that cannot be asked does not, as far as we know. */
async function isCluster(info: () => Promise<string>, end: () => void): Promise<boolean> {
  try {
    return /^cluster_enabled:1/m.test(await info());
  } catch {
    return false;
  } finally {
    end();
  }
}

function loginOf(url: string): { username?: { username: string }; password?: { password: string }; isTls: boolean } {
  const { protocol, username, password } = new URL(url);
  return {
    ...(username === "" ? {} : { username: { username: decodeURIComponent(username) } }),
    ...(password === "" ? {} : { password: { password: decodeURIComponent(password) } }),
    isTls: protocol === "rediss:",
  };
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
