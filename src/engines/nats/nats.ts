import type { Appended, Draft, Log, LogContext, Notice, Page, PageLimit, Retention, Told } from "../../core/log.ts";
import type { Cancel } from "../../protocol/clock.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import type { Level } from "../../protocol/message.ts";
import { messageOf, readError, Unsent } from "../broker-failure.ts";
import type { LineEvents } from "../broker-line.ts";
import { Outage } from "../broker-outage.ts";
import { Channels } from "./channels.ts";
import type { NatsConnect } from "./connection.ts";
import { failureOf, isAway, isForbidden, Refused } from "./failure.ts";
import { Fence } from "./fence.ts";
import { Follows } from "./follows.ts";
import { inspect } from "./inspect.ts";
import { JetStream } from "./jetstream.ts";
import { Ledger } from "./ledger.ts";
import { Line } from "./line.ts";
import { forbidden, inspectPermissions, offer } from "./permissions.ts";
import { Places } from "./places.ts";
import { Reader } from "./reader.ts";
import { openStreams } from "./streams.ts";
import { Sweeper } from "./sweeper.ts";
import { Trimmer } from "./trimmer.ts";
import { Writer } from "./writer.ts";

/** What nats keeps of a channel where the application names nothing else. */
export const NATS_RETENTION: Retention = { countMax: 100_000, bytesMax: 64 * 1024 * 1024, secondsMax: 7 * 24 * 60 * 60 };

/** So long `close` waits for what is under way; then its outcome is not known. */
const CLOSE_MS_MAX = 5_000;
const STREAMS = 8;

export interface NatsOptions {
  /** What the names of streams and subjects begin with. Default: `throughline`. */
  readonly prefix?: string;
  /** Servers that each have all messages, asked for when the streams are made: 1, 3 or 5. From 2 on acks say `replicated`, and nats-server 2.11 is needed. Default: 1. */
  readonly replicas?: number;
  /** Streams that the channels are spread over, the same on every node and for ever. Default: 8. */
  readonly streams?: number;
  /** You have set `sync_interval: always` on every nats-server (2.10 or later), which does not say so itself: acks then say `disk`. Default: false. */
  readonly synced?: boolean;
  /** The domain of JetStream, where it has one. */
  readonly domain?: string;
  /** How much of a channel is kept. Default: 100,000 messages, 64 MiB, 7 days. */
  readonly retain?: Partial<Retention>;
}

/**
 * Channels in NATS JetStream 2.9 or later, for many nodes: any of them serves any channel. The client is your own, of `@nats-io/transport-node`; you give the way to connect, for
 * the engine opens three connections of its own. An ack says what NATS is set up to keep: `replicated` with `replicas`, `disk` with `synced`, else `memory`.
 *
 * @example throughline({ engine: nats(() => connect({ servers: "nats://localhost:4222" })) })
 */
export function nats(connect: NatsConnect, options: NatsOptions = {}): Log {
  if (typeof connect !== "function") {
    const sentence =
      "nats() takes a function that connects, such as () => connect({ servers }) of @nats-io/transport-node: the engine opens connections of its own.";
    throw new ThroughlineError("internal", sentence);
  }
  return new NatsEngine(connect, options);
}

interface Opened {
  readonly context: LogContext;
  readonly lines: readonly Line[];
  readonly writing: Line;
  readonly reading: Line;
  readonly js: JetStream;
  readonly readingJs: JetStream;
  readonly reader: Reader;
  readonly follows: Follows;
  readonly writer: Writer;
  readonly trimmer: Trimmer;
  readonly sweeper: Sweeper;
}

class NatsEngine implements Log {
  readonly name = "nats";
  readonly retention: Retention;
  level: Level = "memory";
  readonly #connect: NatsConnect;
  readonly #places: Places;
  readonly #replicas: number;
  readonly #isSynced: boolean;
  readonly #api: string;
  readonly #told = new Set<string>();
  #opened: Opened | null = null;
  #turn = 0;

  constructor(
    connect: NatsConnect,
    { prefix = "throughline", replicas = 1, streams = STREAMS, synced = false, domain, retain }: NatsOptions,
  ) {
    if (!Number.isInteger(replicas) || replicas < 1 || replicas > 5)
      throw new ThroughlineError("internal", "nats() takes 1, 3 or 5 replicas.");
    if (domain !== undefined && !/^[^\s.*>]+$/.test(domain))
      throw new ThroughlineError("internal", "The domain of nats() is a word without dots, spaces, * and >, as nats-server has it.");
    this.#connect = connect;
    this.#places = new Places(prefix, streams);
    this.#replicas = replicas;
    this.#isSynced = synced;
    this.#api = domain === undefined ? "$JS.API" : `$JS.${domain}.API`;
    this.retention = { ...NATS_RETENTION, ...retain };
  }

  async open(context: LogContext): Promise<void> {
    const node = context.random.letters(12);
    const outage = new Outage("NATS", context.warn);
    const line = (events: LineEvents) => new Line(this.#connect, context, events);
    const writing: Line = line(
      outage.needs(() => {
        writerReader.forget();
        writer.hearTurns();
        void this.#look(context, js);
      }),
    );
    const reading: Line = line(
      outage.needs(() => {
        reader.forget();
        follows.readable();
      }),
    );
    const hearing: Line = line(outage.hears(() => follows.up()));
    const places = this.#places;
    const [js, readingJs] = [new JetStream(writing, this.#api), new JetStream(reading, this.#api)];
    const isReplicated = () => this.level === "replicated";
    const reader = new Reader(readingJs, places, context, this.retention, isReplicated);
    const writerReader = new Reader(js, places, context, this.retention, isReplicated);
    const channels = new Channels();
    const ledger = new Ledger(js, context);
    const restore = async () => void (await openStreams(js, places, this.#replicas));
    const fence = new Fence(js, places.fence, context.random, restore);
    const follows: Follows = new Follows({ log: context, places, node, js: readingJs, reader, channels, hearing });
    const trimmer = new Trimmer({ log: context, js, places, reader: writerReader, channels, ledger });
    const writer: Writer = new Writer({
      ...{ log: context, js, places, fence, follows, reader: writerReader, channels, ledger, trimmer, retention: this.retention, node },
      restore,
    });
    const sweeper = new Sweeper({ log: context, js, places, reader: writerReader, trimmer });
    const lines = [writing, reading, hearing];
    try {
      await Promise.all([writing.open(), reading.open()]);
      await this.#inspect(context, js);
      for (const sentence of await inspectPermissions(js, places)) context.warn(sentence);
    } catch (error) {
      follows.close();
      for (const one of lines) one.close();
      if (error instanceof ThroughlineError) throw error;
      if (isForbidden(error)) throw forbidden([error as Error]);
      if (error instanceof Refused) {
        const sentence = `NATS does not give the engine its streams ${places.prefix}-*: ${messageOf(error)} See that this user may make them, and that nothing has their subjects ${places.prefix}.>.`;
        throw new ThroughlineError("internal", sentence, { cause: error });
      }
      throw new ThroughlineError("internal", `NATS cannot be reached: ${messageOf(failureOf(error))} See that it runs, and the address.`, {
        cause: error,
      });
    }
    sweeper.begin();
    this.#opened = { context, lines, writing, reading, js, readingJs, reader, follows, writer, trimmer, sweeper };
  }

  async append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    return this.#use("not_stored").writer.append(channel, drafts);
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    const { reader, follows } = this.#use("restart");
    try {
      const page = await reader.read(channel, after, limit);
      follows.hasRead(channel, page);
      return page;
    } catch (error) {
      throw readError("NATS", channel, error);
    }
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#use("restart").follows.follow(channel, follower);
  }

  async remove(channel: string): Promise<void> {
    await this.#use("not_stored").writer.remove(channel);
  }

  notify(notice: Notice): void {
    this.#opened?.follows.notify(this.#opened.writing, notice);
  }

  /** Hears of the channels that are followed here. */
  listen(listener: (notice: Notice) => void): () => void {
    return this.#use("restart").follows.listen(listener);
  }

  /**
   * By a write that is deleted again, to one stream after the other: one that is full, or whose servers are too few, refuses it as it would a message. One that is gone is made
   * anew, as it would be for a message: none may come to a node that is not ready. And by what this user may do to logs.
   */
  async ready(): Promise<string | null> {
    const { js, readingJs, writing, reading } = this.#use("restart");
    if (!writing.isUp || !reading.isUp) return "NATS cannot be reached.";
    const { stream, log, keys } = this.#places.ready(this.#turn++);
    const write = () => js.publish(keys, undefined, new Uint8Array(0));
    let act = "written";
    try {
      const seq = await write().catch(async (error) => {
        if (!isAway(error)) throw error;
        await openStreams(js, this.#places, this.#replicas);
        return write();
      });
      await Promise.all([js.delete(stream, seq), offer(js, log)]);
      act = "read";
      await readingJs.last(stream, log);
      return null;
    } catch (error) {
      if (error instanceof Unsent) return "NATS cannot be reached.";
      return error instanceof Refused ? `NATS refuses to be ${act}.` : "NATS does not answer.";
    }
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    if (opened === null) return;
    this.#opened = null;
    opened.sweeper.close();
    let cancel: Cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = opened.context.clock.after(CLOSE_MS_MAX, resolve);
    });
    await Promise.race([opened.writer.idle().then(() => opened.trimmer.idle()), late]);
    cancel();
    opened.follows.close();
    for (const line of opened.lines) line.close();
  }

  #use(code: "not_stored" | "restart"): Opened {
    if (this.#opened !== null) return this.#opened;
    throw new ThroughlineError(code, "The nats engine is not open: nothing was stored or read. Open it first.");
  }

  /** Another NATS may have taken the place of the one before, set up in another way. */
  async #look(context: LogContext, js: JetStream): Promise<void> {
    if (this.#opened === null) return;
    try {
      await this.#inspect(context, js);
    } catch (error) {
      if (!(error instanceof Unsent)) context.warn(messageOf(error));
    }
  }

  async #inspect(context: LogContext, js: JetStream): Promise<void> {
    const { level, sentences } = await inspect(js, this.#places, this.#replicas, this.#isSynced);
    this.level = level;
    for (const sentence of sentences) {
      if (this.#told.has(sentence)) continue;
      this.#told.add(sentence);
      context.warn(sentence);
    }
  }
}
