import { ThroughlineError } from "../../protocol/error.ts";
import type { Level } from "../../protocol/message.ts";
import type { Line } from "./line.ts";
import { listOf, textOf } from "./link.ts";

/** Scripts that Redis refuses before they run, sharded Pub/Sub and CONFIG GET of several names came with it. */
const VERSION_MIN = 7;

/** A key of no channel. By it a cluster finds a node to ask; and a script asks that one alone, where a library would ask them all. */
const PROBE = "{throughline}";

/** What a Redis is and does, as far as it says. */
export interface Inspection {
  /** What an ack is worth there. */
  readonly level: Level;
  /** What the operator should know, a sentence each. */
  readonly sentences: readonly string[];
}

/** Asks Redis what it is. Throws if it is too old. */
export async function inspect(line: Line, replicas: number): Promise<Inspection> {
  const server = await ask(() => line.send(PROBE, ["EVAL", "return redis.call('INFO')", "1", PROBE]).then(textOf));
  const config = await ask(() =>
    line
      .send(PROBE, ["CONFIG", "GET", "maxmemory-policy", "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "save"])
      .then((reply) => pairs(listOf(reply).map(textOf))),
  );
  const sentences: string[] = [];

  if (typeof server === "string") {
    if (!line.isCluster && field(server, "cluster_enabled") === "1") throw new ThroughlineError("internal", ONE_OF_MANY);
    // Valkey says it is Redis 7.2.4, and its own version beside it
    const version = field(server, "redis_version") ?? "0";
    if (Number.parseInt(version, 10) < VERSION_MIN) {
      throw new ThroughlineError(
        "internal",
        `This is Redis ${version}, and the redis engine needs ${VERSION_MIN}.0 or later, or Valkey. Update it.`,
      );
    }
    const connected = Number(field(server, "connected_slaves") ?? 0);
    if (connected < replicas) {
      sentences.push(
        `Redis has ${connected} replicas and waitReplicas is ${replicas}: until there are more, publishes are answered as unknown, though they are stored.`,
      );
    }
  } else
    sentences.push(
      `Redis does not let this user ask INFO (${server.message}), so a failover is noticed by tags alone, and that a connection leads to a replica only when it is written. Permit INFO.`,
    );

  if (config instanceof Error) {
    sentences.push(
      `Redis does not let this user ask CONFIG GET (${config.message}), so acks say memory. See that maxmemory-policy is noeviction, and how it persists.`,
    );
    return { level: replicas > 0 ? "replicated" : "memory", sentences };
  }
  const policy = config.get("maxmemory-policy") ?? "noeviction";
  if (policy !== "noeviction") {
    sentences.push(
      `Redis throws away keys when its memory is full (maxmemory-policy ${policy}): messages then go before their time, which readers are told by a gap. Set it to noeviction.`,
    );
  }
  const [isAppended, fsync, save] = [config.get("appendonly") === "yes", config.get("appendfsync"), config.get("save")];
  if (!isAppended) sentences.push(save ? SNAPSHOTS : NOTHING_KEPT);
  else if (fsync !== "always") {
    sentences.push(
      `Redis writes to disk ${fsync === "everysec" ? "once a second" : "when the system likes"} (appendfsync ${fsync}): a power cut takes what came since, and readers are told by a gap. Set it to always for acks that say disk.`,
    );
  }
  const isEased = config.get("no-appendfsync-on-rewrite") === "yes";
  if (isAppended && fsync === "always" && isEased) {
    sentences.push(
      "Redis does not sync while it rewrites its file (no-appendfsync-on-rewrite yes): a power cut then takes what came since. Set it to no for acks that say disk.",
    );
  }
  const isSynced = isAppended && fsync === "always" && !isEased;
  if (replicas > 0 && !isSynced) sentences.push(TAKEN_BACK);
  const level = replicas > 0 ? "replicated" : isSynced ? "disk" : "memory";
  return { level, sentences };
}

const ONE_OF_MANY =
  "This Redis is a member of a cluster, and the client asks it alone, which has some of the channels only. Give redis() a client of the cluster: createCluster() of node-redis, or new Cluster() of ioredis.";
const NOTHING_KEPT =
  "Redis keeps nothing on disk (appendonly no, no save): when it restarts all channels begin anew, and readers are told by a gap. Set appendonly to yes.";
const TAKEN_BACK =
  "Redis does not sync each write: a master that loses its last writes in a power cut and comes back as the master takes them from its replicas too, though they were acknowledged as replicated. Let a replica take over before (Sentinel), or set appendfsync to always.";
const SNAPSHOTS =
  "Redis keeps snapshots only (appendonly no): a restart may go back to the last one, and readers are told by a gap. Set appendonly to yes.";

/** An answer, or the error where this user may not ask. Throws where there is no answer at all. */
async function ask<Answer>(act: () => Promise<Answer>): Promise<Answer | Error> {
  try {
    return await act();
  } catch (error) {
    if (/^MOVED\b/.test((error as Error).message)) throw new ThroughlineError("internal", ONE_OF_MANY, { cause: error });
    if (/^(NOPERM|ERR|NOAUTH)\b/.test((error as Error).message)) return error as Error;
    throw error;
  }
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
}

function pairs(list: readonly string[]): Map<string, string> {
  return new Map(Array.from({ length: Math.floor(list.length / 2) }, (_, index) => [list[index * 2]!, list[index * 2 + 1]!]));
}
