import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import type { Draft, LogContext, Page, Told } from "../../src/core/log.ts";
import { readPage } from "../../src/core/page.ts";
import { positionAt, resume } from "../../src/core/resume.ts";
import type { Log } from "../../src/index.ts";
import { type NatsOptions, nats, publisher as natsPublisher } from "../../src/nats.ts";
import { type RedisOptions, redis, publisher as redisPublisher } from "../../src/redis.ts";
import { freePort } from "./free-port.ts";
import { connectTo, NatsServer } from "./nats-server.ts";
import { RedisCluster } from "./redis-cluster.ts";
import { LIBRARIES, RedisServer } from "./redis-server.ts";

export const EVERYTHING = { count: 1_000_000, bytes: 1e12 };
export const LOBBY = "chat/lobby";

/** Where a broker is found, and by which client: in a form that a process can be told. */
export interface Address {
  readonly kind: "redis" | "redis-cluster" | "nats";
  readonly port: number;
  /** Which of the two clients of Redis. */
  readonly library?: number;
}

export type BrokerOptions = NatsOptions & RedisOptions;

/** An engine on a broker, as a node has it. */
export function engineAt({ kind, port, library = 0 }: Address, options: BrokerOptions): Log {
  if (kind === "nats") return nats(connectTo({ port }), options);
  const { client, cluster } = LIBRARIES[library]!;
  return redis(kind === "redis" ? client({ port }) : cluster(port), options);
}

/** A program that serves nobody, on a broker of one server. */
export function publisherAt(
  { kind, port, library = 0 }: Address,
  options: BrokerOptions & { readonly warn: (sentence: string) => void },
): ReturnType<typeof natsPublisher> {
  return kind === "nats" ? natsPublisher(connectTo({ port }), options) : redisPublisher(LIBRARIES[library]!.client({ port }), options);
}

/** A broker of a test's own, which keeps what it has over a restart. */
export interface Broker {
  readonly address: Address;
  /** What it has been asked about channels, or told, by connections: what its own scripts ask is none of it. */
  questions(): Promise<number>;
  kill(): Promise<void>;
  start(): Promise<void>;
  freeze(): unknown;
  thaw(): void;
  /** Of several servers: once they are one again after they were started. */
  whole?(): Promise<void>;
  stop(): Promise<void>;
}

export interface BrokerKind {
  readonly name: string;
  /** What it is called where its operator is told of it. */
  readonly called: string;
  /** A publish whose answer is lost is looked for, and so known to be stored; elsewhere it is told as unknown. */
  readonly findsWhatIsLost: boolean;
  begin(): Promise<Broker>;
}

const PERSISTENT = [
  ["appendonly", "yes"],
  ["appendfsync", "always"],
] as const;

async function beginRedis(library: number): Promise<Broker> {
  const server = new RedisServer({ port: await freePort(), lines: PERSISTENT });
  return {
    address: { kind: "redis", port: server.port, library },
    questions: () => askedOf(server),
    kill: () => server.kill(),
    async start() {
      server.start();
      await server.rewrite();
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    stop: () => server.stop(),
  };
}

/** Each question is one HMGET: a look at a head is, and a script asks it once, which Redis counts as if it had been sent. So what a script asks otherwise is not counted. */
async function askedOf({ ask }: RedisServer): Promise<number> {
  return Number(/cmdstat_hmget:calls=(\d+)/.exec(await ask.info("commandstats"))?.[1] ?? 0);
}

export const REDIS: BrokerKind = { name: "Redis, by node-redis", called: "Redis", findsWhatIsLost: false, begin: () => beginRedis(0) };
export const IOREDIS: BrokerKind = { name: "Redis, by ioredis", called: "Redis", findsWhatIsLost: false, begin: () => beginRedis(1) };

export const NATS: BrokerKind = {
  name: "NATS",
  called: "NATS",
  findsWhatIsLost: true,
  async begin() {
    const server = new NatsServer();
    return {
      address: { kind: "nats", port: server.port },
      questions: () => server.received(),
      kill: () => server.kill(),
      start: async () => server.start(),
      freeze: () => server.freeze(),
      thaw: () => server.thaw(),
      stop: () => server.stop(),
    };
  },
};

export const CLUSTER: BrokerKind = {
  name: "a Redis Cluster of three",
  called: "Redis",
  findsWhatIsLost: false,
  async begin() {
    const cluster = await RedisCluster.start();
    const { nodes, port } = cluster;
    return {
      address: { kind: "redis-cluster", port },
      questions: async () => (await Promise.all(nodes.map(askedOf))).reduce((sum, asked) => sum + asked, 0),
      kill: async () => void (await Promise.all(nodes.map((node) => node.kill()))),
      start: async () => nodes.forEach((node) => void node.start()),
      freeze: () => nodes.forEach((node) => void node.freeze()),
      thaw: () => nodes.forEach((node) => void node.thaw()),
      whole: () => cluster.whole(),
      stop: () => cluster[Symbol.asyncDispose](),
    };
  },
};

/** Those of one server, by every client. */
export const BROKERS: readonly BrokerKind[] = [REDIS, IOREDIS, NATS];

/** An engine as a node has it, opened, with what its operator was told. */
export interface Node {
  readonly log: Log;
  readonly sentences: string[];
}

/** Opens engines on one broker and closes them all at the end. */
export class Nodes implements AsyncDisposable {
  readonly #make: (options: BrokerOptions) => Log;
  readonly #opened: Log[] = [];

  constructor(make: (options: BrokerOptions) => Log) {
    this.#make = make;
  }

  static at(address: Address): Nodes {
    return new Nodes((options) => engineAt(address, options));
  }

  async open(options: BrokerOptions = {}, context: Partial<LogContext> = {}): Promise<Node> {
    const sentences: string[] = [];
    const log = this.#make(options);
    await log.open({
      clock: systemClock,
      random: systemRandom,
      retain: (_channel, own) => own,
      keysMax: 1_000_000,
      keySecondsMin: 86_400,
      lineageMax: 32,
      warn: (sentence) => sentences.push(sentence),
      ...context,
    });
    this.#opened.push(log);
    return { log, sentences };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const log of this.#opened) await log.close();
  }
}

export function redisNodes(server: { readonly socket: string } | { readonly port: number }, { client } = LIBRARIES[0]!): Nodes {
  return new Nodes((options) => redis(client(server), options));
}

export function natsNodes(server: { readonly port: number }): Nodes {
  return new Nodes((options) => nats(connectTo(server), options));
}

export function text(data: string, key?: string): Draft {
  const draft = { event: "message", kind: "text" as const, data, size: data.length + 7 };
  return key === undefined ? draft : { ...draft, key, print: data };
}

export function everything(log: Log, channel = LOBBY): Promise<Page> {
  return log.read(channel, 0, EVERYTHING);
}

/** What a reader is given that has all up to an offset: why it is told of a gap, how much is missing, and which offsets. */
export async function givenAfter(log: Log, offset: number): Promise<unknown> {
  const position = positionAt((await everything(log)).head!, [], offset);
  const { gap, entries } = resume(position, await readPage(log, LOBBY, position, { count: 100, bytes: 1e6 }));
  return [gap?.reason, gap?.missing, entries.map((entry) => entry.offset)];
}

/** What a follower was told: the texts of messages, and `changed`. It reads first, as followers do: what it is told is what comes after. */
export async function follow(log: Log, channel = LOBBY): Promise<string[]> {
  const told: string[] = [];
  log.follow(channel, (one: Told) => told.push(...(one.type === "changed" ? ["changed"] : one.entries.map(({ data }) => String(data)))));
  await log.read(channel, 0, { count: 0, bytes: 0 });
  return told;
}

/** `stored`, or the code of what a publish or a read was refused with. */
export function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => "stored").catch(({ code }) => code as string);
}
