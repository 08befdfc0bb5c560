import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { disk } from "../../src/disk.ts";
import { type Log, memory } from "../../src/index.ts";
import { nats } from "../../src/nats.ts";
import { redis } from "../../src/redis.ts";
import { sharedNats, stopSharedNats } from "./nats-server.ts";
import { sharedCluster, stopSharedCluster } from "./redis-cluster.ts";
import { borrowRedisPair, stopRedisPairs, takingOver } from "./redis-pair.ts";
import { LIBRARIES, sharedRedis, stopSharedRedis } from "./redis-server.ts";
import { workerWithOwner } from "./worker-log.ts";

export interface EnginePowers {
  /** What was stored is there after a stop and a start. */
  readonly restart: boolean;
  /** What was stored is gone after a stop and a start, and so is the epoch. */
  readonly forgets: boolean;
}

/** Storage of its own for one test. */
export interface Storage {
  /** An engine on this storage; the one before was closed. */
  engine(): Log;
  dispose(): void;
}

export interface Engine {
  readonly name: string;
  /** What an ack says. */
  readonly level: string;
  readonly powers: EnginePowers;
  create(): Storage | Promise<Storage>;
}

afterAll(stopSharedRedis);
afterAll(stopSharedCluster);
afterAll(stopRedisPairs);
afterAll(stopSharedNats);

export const ENGINES: readonly Engine[] = [
  {
    name: "memory",
    level: "memory",
    powers: { restart: false, forgets: true },
    create: () => ({ engine: () => memory(), dispose: () => undefined }),
  },
  {
    name: "disk",
    level: "disk",
    powers: { restart: true, forgets: false },
    create() {
      const directory = mkdtempSync(join(tmpdir(), "throughline-spec-"));
      return { engine: () => disk(directory), dispose: () => rmSync(directory, { recursive: true, force: true }) };
    },
  },
  {
    name: "disk, by a worker",
    level: "disk",
    powers: { restart: true, forgets: false },
    create() {
      const directory = mkdtempSync(join(tmpdir(), "throughline-spec-"));
      return { engine: () => workerWithOwner(directory), dispose: () => rmSync(directory, { recursive: true, force: true }) };
    },
  },
  {
    name: "redis",
    level: "memory",
    powers: { restart: true, forgets: false },
    create() {
      const { server, prefix } = sharedRedis();
      return { engine: () => redis(LIBRARIES[0]!.client(server), { prefix }), dispose: () => undefined };
    },
  },
  {
    name: "redis, whose replica takes over at each start",
    level: "replicated",
    powers: { restart: true, forgets: false },
    async create() {
      const { pair, prefix, giveBack } = await borrowRedisPair();
      return { engine: takingOver(pair, LIBRARIES[0]!, prefix), dispose: giveBack };
    },
  },
  {
    name: "redis, a cluster of three",
    level: "memory",
    powers: { restart: true, forgets: false },
    async create() {
      const { cluster, prefix } = await sharedCluster();
      return { engine: () => redis(LIBRARIES[1]!.cluster(cluster.port), { prefix }), dispose: () => undefined };
    },
  },
  {
    name: "nats",
    level: "memory",
    powers: { restart: true, forgets: false },
    create() {
      const { server, prefix } = sharedNats();
      return { engine: () => nats(server.connect, { prefix, streams: 1 }), dispose: () => undefined };
    },
  },
];
