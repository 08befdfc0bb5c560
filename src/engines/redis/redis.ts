import type { Appended, Draft, Log, LogContext, Notice, Page, PageLimit, Retention, Told } from "../../core/log.ts";
import type { Cancel } from "../../protocol/clock.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import type { Level } from "../../protocol/message.ts";
import { messageOf, readError, Unsent } from "../broker-failure.ts";
import { Outage } from "../broker-outage.ts";
import { Agreement } from "./agreement.ts";
import { Follows } from "./follows.ts";
import { inspect } from "./inspect.ts";
import { Line } from "./line.ts";
import type { Plug } from "./link.ts";
import { Places } from "./places.ts";
import { plugOf, type RedisClient } from "./plug.ts";
import { readPage } from "./record.ts";
import { Replication } from "./replication.ts";
import { run, SCRIPTS } from "./scripts.ts";
import { Writer } from "./writer.ts";

/** What redis keeps of a channel where the application names nothing else. */
export const REDIS_RETENTION: Retention = { countMax: 100_000, bytesMax: 64 * 1024 * 1024, secondsMax: 7 * 24 * 60 * 60 };

/** So long `close` waits for what is under way; then its outcome is not known. */
const CLOSE_MS_MAX = 5_000;
/** The key that `ready` writes is gone after it. */
const READY_KEY_MS = "10000";

export interface RedisOptions {
  /** What the names of all keys begin with. Default: `throughline:`. */
  readonly prefix?: string;
  /** Replicas that must have a message before it is acknowledged, by WAIT; acks then say `replicated`. Default: 0. Not on a cluster. */
  readonly waitReplicas?: number;
  /** Milliseconds that this may take; then the publish is answered `unknown`. Default: 1,000. */
  readonly waitMs?: number;
  /** How much of a channel is kept. Default: 100,000 messages, 64 MiB, 7 days. */
  readonly retain?: Partial<Retention>;
}

/**
 * Channels in Redis 7 or Valkey, for many nodes: any of them serves any channel. The client is your own, of `redis` or `ioredis`, and need not be connected: the engine
 * opens three connections like it. An ack says what Redis is set up to keep: `disk` with `appendonly yes` and `appendfsync always`, `replicated` with `waitReplicas`, else `memory`.
 *
 * @example throughline({ engine: redis(createClient({ url: "redis://localhost:6379" })) })
 */
export function redis(client: RedisClient, options: RedisOptions = {}): Log {
  return new RedisEngine(plugOf(client), options);
}

interface Opened {
  readonly context: LogContext;
  readonly lines: readonly Line[];
  readonly writing: Line;
  readonly reading: Line;
  readonly follows: Follows;
  readonly writer: Writer;
}

class RedisEngine implements Log {
  readonly name = "redis";
  readonly retention: Retention;
  level: Level = "memory";
  readonly #plug: Plug;
  readonly #places: Places;
  readonly #replicas: number;
  readonly #waitMs: number;
  readonly #publish: "PUBLISH" | "SPUBLISH";
  readonly #told = new Set<string>();
  #opened: Opened | null = null;

  constructor(plug: Plug, { prefix = "throughline:", waitReplicas = 0, waitMs = 1_000, retain }: RedisOptions) {
    this.#plug = plug;
    this.#places = new Places(prefix);
    this.#replicas = waitReplicas;
    this.#waitMs = waitMs;
    this.#publish = plug.isCluster ? "SPUBLISH" : "PUBLISH";
    this.retention = { ...REDIS_RETENTION, ...retain };
    if (plug.isCluster && waitReplicas > 0)
      throw new ThroughlineError("unsupported", "waitReplicas does not work on a cluster. Leave it out there.");
  }

  async open(context: LogContext): Promise<void> {
    const node = context.random.letters(12);
    const outage = new Outage("Redis", context.warn);
    const writing: Line = new Line(
      this.#plug,
      context,
      outage.needs(() => void this.#look(context, writing)),
    );
    const reading: Line = new Line(
      this.#plug,
      context,
      outage.needs(() => follows.readable()),
    );
    const subscriber: Line = new Line(
      this.#plug,
      context,
      outage.hears(() => {
        // While it may: once it has subscribed it is not answered
        subscriber.findLead().catch(() => {});
        follows.up();
      }),
      (name, message) => follows.heard(name, message),
    );
    const { log, read } = { log: context, read: this.#readOn(reading, context) };
    const agreement = new Agreement([writing, reading], subscriber);
    const follows: Follows = new Follows({ log, read, places: this.#places, node, reader: reading, subscriber, agreement });
    const replication = new Replication(writing, this.#replicas, this.#waitMs);
    const writer = new Writer({
      ...{ log, line: writing, places: this.#places, follows, replication, node },
      ...{ retention: this.retention, publish: this.#publish, replicas: this.#replicas },
    });
    const lines = [writing, reading, subscriber];
    try {
      await Promise.all([writing.open(), reading.open()]);
      await this.#inspect(context, writing);
    } catch (error) {
      follows.close();
      for (const one of lines) one.close();
      if (error instanceof ThroughlineError) throw error;
      throw new ThroughlineError("internal", `Redis cannot be reached: ${messageOf(error)} See that it runs, and the address.`, {
        cause: error,
      });
    }
    this.#opened = { context, lines, writing, reading, follows, writer };
  }

  async append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    return this.#use("not_stored").writer.append(channel, drafts);
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    const { reading, context, follows } = this.#use("restart");
    try {
      const page = await this.#readOn(reading, context)(channel, after, limit);
      follows.hasRead(channel, page);
      return page;
    } catch (error) {
      throw readError("Redis", channel, error);
    }
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#use("restart").follows.follow(channel, follower);
  }

  async remove(channel: string): Promise<void> {
    await this.#use("not_stored").writer.remove(channel);
  }

  notify(notice: Notice): void {
    this.#opened?.follows.notify(this.#opened.writing, this.#publish, notice);
  }

  /** Hears of the channels that are followed here. */
  listen(listener: (notice: Notice) => void): () => void {
    return this.#use("restart").follows.listen(listener);
  }

  /** By a write of a key that is no channel's: a Redis that is full, a replica, or has lost its own disk or its replicas refuses that too. Of a cluster one node is asked. */
  async ready(): Promise<string | null> {
    const { writing, reading } = this.#use("restart");
    if (!writing.isUp || !reading.isUp) return "Redis cannot be reached.";
    const key = this.#places.ready;
    try {
      await Promise.all([writing.send(key, ["SET", key, "1", "PX", READY_KEY_MS]), reading.send(key, ["EXISTS", key])]);
      return null;
    } catch (error) {
      return error instanceof Unsent ? "Redis cannot be reached." : "Redis refuses to be written.";
    }
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    if (opened === null) return;
    this.#opened = null;
    let cancel: Cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = opened.context.clock.after(CLOSE_MS_MAX, resolve);
    });
    // What a node says last is that it stops
    await Promise.race([Promise.all([opened.writer.idle(), opened.follows.told()]), late]);
    cancel();
    opened.follows.close();
    for (const line of opened.lines) line.close();
  }

  #use(code: "not_stored" | "restart"): Opened {
    if (this.#opened !== null) return this.#opened;
    throw new ThroughlineError(code, "The redis engine is not open: nothing was stored or read. Open it first.");
  }

  #readOn(line: Line, context: LogContext): Log["read"] {
    return async (channel, after, { count, bytes }) => {
      const { secondsMax } = context.retain(channel, this.retention);
      const words = [after, count, bytes, Math.floor(context.clock.now()), secondsMax * 1_000].map(String);
      return readPage(await run(line, SCRIPTS.read, this.#places.of(channel).keys, words));
    };
  }

  /** Another Redis may have taken the place of the one before, set up in another way. */
  async #look(context: LogContext, writing: Line): Promise<void> {
    if (this.#opened === null) return;
    try {
      await this.#inspect(context, writing);
    } catch (error) {
      if (!(error instanceof Unsent)) context.warn(messageOf(error));
    }
  }

  async #inspect(context: LogContext, writing: Line): Promise<void> {
    const { level, sentences } = await inspect(writing, this.#replicas);
    this.level = level;
    for (const sentence of sentences) {
      if (this.#told.has(sentence)) continue;
      this.#told.add(sentence);
      context.warn(sentence);
    }
  }
}
