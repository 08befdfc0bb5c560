import { mkdtempSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../../src/core/log.ts";
import { redis } from "../../src/redis.ts";
import { freePort } from "./free-port.ts";
import { type Library, RedisServer } from "./redis-server.ts";

/** A master, its replica, and a name that leads to one of them, as a name server or a sentinel does. They keep nothing on disk: what a replica has came by replication. */
export class RedisPair implements AsyncDisposable {
  #master: RedisServer;
  #replica: RedisServer;
  readonly #directory = mkdtempSync(join(tmpdir(), "throughline-pair-"));

  private constructor(ports: readonly [number, number]) {
    const lines = [["repl-diskless-sync-delay", "0"]] as const;
    this.#master = new RedisServer({ port: ports[0], lines });
    this.#replica = new RedisServer({ port: ports[1], lines });
    symlinkSync(this.master.socket, this.socket);
  }

  static async start(): Promise<RedisPair> {
    const pair = new RedisPair([await freePort(), await freePort()]);
    await pair.replica.follow(pair.master);
    return pair;
  }

  get master(): RedisServer {
    return this.#master;
  }

  get replica(): RedisServer {
    return this.#replica;
  }

  get socket(): string {
    return join(this.#directory, "redis.sock");
  }

  /** The master dies, and whoever asks for it finds the replica. */
  async failOver(): Promise<void> {
    this.#leadTo(this.replica);
    await this.master.kill();
  }

  /** The replica is made a master too, and whoever asks for it finds that one. The other does not know, and serves those who have a connection to it. */
  async split(): Promise<void> {
    const [old, young] = [this.master, this.replica];
    await young.ask.replicaof("NO", "ONE");
    [this.#master, this.#replica] = [young, old];
    this.#leadTo(young);
  }

  /** The replica takes over with what it has, and the master that was follows it: two machines again, with their parts exchanged. */
  async takeOver(): Promise<void> {
    await this.split();
    await this.replica.follow(this.master);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.master.stop();
    await this.replica.stop();
    rmSync(this.#directory, { recursive: true });
  }

  #leadTo({ socket }: RedisServer): void {
    unlinkSync(this.socket);
    symlinkSync(socket, this.socket);
  }
}

/** Long for a replica that has what is waited for in a moment. */
const WAIT_MS = 10_000;

/** Makes engines on one pair, each after the one before was closed. Before each but the first opens, the replica takes over: what was acknowledged, it has. */
export function takingOver(pair: RedisPair, { client }: Library, prefix: string): () => Log {
  let made = 0;
  return () => {
    const isFirst = made++ === 0;
    const log = redis(client(pair), { prefix, waitReplicas: 1, waitMs: WAIT_MS });
    const { open } = log;
    return Object.assign(log, {
      async open(context: Parameters<Log["open"]>[0]) {
        if (!isFirst) await pair.takeOver();
        await open.call(log, context);
      },
    });
  };
}

const started: RedisPair[] = [];
const idle: RedisPair[] = [];
let prefixes = 0;

/** A pair that is no other test's until it is given back, and a prefix of its own there. One does for a file, or as many as are told at once; `stopRedisPairs` ends them. */
export async function borrowRedisPair(): Promise<{ readonly pair: RedisPair; readonly prefix: string; giveBack(): void }> {
  let pair = idle.pop();
  if (pair === undefined) {
    pair = await RedisPair.start();
    started.push(pair);
  }
  const borrowed = pair;
  return { pair, prefix: `test-${++prefixes}:`, giveBack: () => void idle.push(borrowed) };
}

export async function stopRedisPairs(): Promise<void> {
  idle.length = 0;
  for (const pair of started.splice(0)) await pair[Symbol.asyncDispose]();
}
