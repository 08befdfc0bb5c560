import { Redis } from "ioredis";
import { Places } from "../../src/engines/nats/places.ts";
import { decodeSheet } from "../../src/engines/nats/record.ts";
import type { Log } from "../../src/index.ts";
import type { Entry } from "../../src/protocol/entry.ts";
import { formatPosition } from "../../src/protocol/position.ts";
import type { HistoryEvent } from "../check/history.ts";
import type { Address } from "./brokers.ts";
import { Chronicle } from "./chronicle.ts";
import { connectTo } from "./nats-server.ts";

/**
 * The negative control: a node that hands on what each wake-up is about, and neither compares it with what it has nor ever looks by itself. By a way that is whole it
 * misses nothing.
 */
export class NaiveNode implements AsyncDisposable {
  readonly #chronicle = new Chronicle();
  readonly #log: Log;
  readonly #close: (() => unknown)[] = [];
  #told: Promise<unknown> = Promise.resolve();

  private constructor(log: Log) {
    this.#log = log;
  }

  /** Listens by way of `address`, and reads by `log`. Of each channel it knows where it begins. */
  static async listen(address: Address, prefix: string, log: Log, channels: ReadonlyMap<string, string>): Promise<NaiveNode> {
    const node = new NaiveNode(log);
    for (const [channel, position] of channels) node.#chronicle.begin(`naive ${channel}`, channel, position);
    if (address.kind === "nats") await node.#listenToNats(address, prefix, [...channels.keys()]);
    else await node.#listenToRedis(address, prefix, [...channels.keys()]);
    return node;
  }

  /** What it handed on, once it has read all that it was told to. */
  async events(): Promise<readonly HistoryEvent[]> {
    await this.#told;
    return this.#chronicle.events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#close) await close();
  }

  /** A wake-up has the last offset of what was stored: here always one message. */
  async #listenToRedis({ port }: Address, prefix: string, channels: readonly string[]): Promise<void> {
    const redis = new Redis(port, "127.0.0.1");
    this.#close.push(() => redis.disconnect());
    const channelAt = new Map(channels.map((channel) => [`${prefix}{${channel}}:wake`, channel]));
    redis.on("message", (place: string, message: string) => {
      const channel = channelAt.get(place)!;
      const [type, epoch, top] = message.split(" ") as [string, string, string];
      if (type !== "w") return;
      const read = this.#log.read(channel, Number(top) - 1, { count: 1, bytes: 1e6 });
      this.#told = this.#told.then(async () => this.#hand(channel, epoch, (await read).entries));
    });
    await redis.subscribe(...channelAt.keys());
  }

  /** A wake-up is the message itself. */
  async #listenToNats(address: Address, prefix: string, channels: readonly string[]): Promise<void> {
    const connection = await connectTo(address)();
    this.#close.push(() => connection.close());
    const places = new Places(prefix, 8);
    for (const channel of channels) {
      const callback = (_: unknown, { headers, data }: { headers?: { get(name: string): string }; data: Uint8Array }) => {
        if (headers === undefined) return;
        const { lineage, lines } = decodeSheet(Number(headers.get("Nats-Sequence")), (name) => headers.get(name), data);
        const entries = lines.map(({ entry }) => entry);
        this.#hand(channel, lineage.at(-1)!.epoch, entries);
      };
      connection.subscribe(places.of(channel).told, { callback });
    }
    await connection.flush();
  }

  #hand(channel: string, epoch: string, entries: readonly Entry[]): void {
    for (const { offset, tag, data } of entries)
      this.#chronicle.message(`naive ${channel}`, channel, formatPosition({ epoch, offset, tag }), JSON.parse(String(data)));
  }
}
