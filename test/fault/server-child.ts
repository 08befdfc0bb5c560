import { createServer } from "node:http";
import { connect } from "@nats-io/transport-node";
import { Cluster } from "ioredis";
import { createClient, createCluster } from "redis";
import { disk } from "../../src/disk.ts";
import { type Log, memory, type ThroughlineOptions, throughline } from "../../src/index.ts";
import { nats } from "../../src/nats.ts";
import { attach } from "../../src/node.ts";
import { type RedisClient, redis } from "../../src/redis.ts";

/*
 * A server as an application makes it with the library, for what `throughline dev` cannot be asked: other hosts than loopback, other limits,
 * tokens. Run as: node server-child.mjs <Serving as JSON>. A signal ends it.
 */
export interface Serving {
  readonly host: string;
  readonly port: number;
  /** Left out, and no broker named: in memory. */
  readonly data?: string;
  readonly broker?: BrokerOptions & { readonly url: string };
  readonly limits?: ThroughlineOptions["limits"];
  /** A token is the time in milliseconds since 1970 at which it expires; `at the door`: and nobody looks at it again, as a negative control. */
  readonly tokens?: boolean | "at the door";
}

/** What an application may tell of its broker, beside where it is. */
export interface BrokerOptions {
  readonly waitReplicas?: number;
  readonly waitMs?: number;
  readonly synced?: boolean;
  readonly replicas?: number;
  /** Where NATS is found, beside the URL: `127.0.3.1:4222`. */
  readonly servers?: readonly string[];
  /** Redis is a cluster. */
  readonly cluster?: ClusterOptions;
}

export interface ClusterOptions {
  readonly library: "node-redis" | "ioredis";
  /** Where this server finds each of its members, by the address that the members name: `127.0.3.1:6379`. */
  readonly members: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}

const { host, port, data, broker, limits = {}, tokens = false } = JSON.parse(process.argv[2] ?? "{}") as Serving;

const tl = throughline({
  engine: broker !== undefined ? engineOf(broker) : data === undefined ? memory() : disk(data),
  limits,
  authorize: ({ identity }) => !tokens || identity.id !== "",
  ...(tokens
    ? {
        authenticate({ token }) {
          const expiresAt = Number(token);
          if (token === null || expiresAt <= Date.now()) return false;
          return tokens === "at the door" ? { id: "someone" } : { id: "someone", expiresAt };
        },
      }
    : {}),
});
await tl.open();
const server = createServer();
attach(tl, server);
server.listen(port, host, () => console.log("ready: Ctrl-C stops it"));
function engineOf({ url, servers = [new URL(url).host], cluster, ...options }: NonNullable<Serving["broker"]>): Log {
  if (cluster !== undefined) return redis(clusterOf(cluster), options);
  if (url.startsWith("redis:")) return redis(createClient({ url }), options);
  return nats(() => connect({ servers: [...servers], timeout: 1_000 }), options);
}

function clusterOf({ library, members }: ClusterOptions): RedisClient {
  const all = Object.values(members);
  if (library === "ioredis") return new Cluster([...all], { lazyConnect: true, natMap: { ...members } });
  return createCluster({ rootNodes: all.map((socket) => ({ socket })), nodeAddressMap: { ...members } });
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    server.close();
    await tl.close();
    process.exit(0);
  });
}
