import type { History } from "../core/history.ts";
import type { Hub, Receipt } from "../core/hub.ts";
import { ANONYMOUS } from "../core/identity.ts";
import type { Codec, Outlet } from "../core/outlet.ts";
import { epochOf } from "../core/resume.ts";
import type { Batch, Entry } from "../protocol/entry.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { From, GapFrame, ServerFrame } from "../protocol/frame.ts";
import { formatFrom, parseFrom } from "../protocol/from.ts";
import { formatPosition, parsePosition } from "../protocol/position.ts";
import { checkSignal } from "../transports/signals.ts";
import { entryValue, readData } from "../wire/data.ts";

/** A message as an application sees it. */
export interface Message<T = unknown> {
  readonly channel: string;
  readonly event: string;
  /** The JSON value, the text, or the bytes as a Uint8Array. */
  readonly data: T;
  readonly position: string;
  /** When it was stored, in milliseconds since 1970. */
  readonly at: number;
}

export interface PublishOptions {
  /** The idempotency key: the same one is stored once. Default: none. */
  readonly key?: string;
  /** Hold a string as text, which plain event streams show as it is, instead of as JSON. Default: false. */
  readonly text?: boolean;
}

export interface ReadOptions {
  /** Where to begin. Default: `"now"`. */
  readonly from?: From;
  readonly signal?: AbortSignal;
  /** What cannot be delivered any more. Default: nothing is called. */
  readonly onGap?: (gap: GapFrame) => void;
}

export interface HistoryOptions {
  /** Default: `"start"`. */
  readonly from?: From;
  /** Instead of `from`: the messages that end just before this position. */
  readonly before?: string;
  /** Messages at most. Default: 100. */
  readonly limit?: number;
}

export interface HistoryPage<T = unknown> {
  readonly messages: readonly Message<T>[];
  /** Where to go on: `{ from: { after: position } }`. */
  readonly position: string;
  readonly upToDate: boolean;
}

/** Someone who is on a channel: one tab, device or program of a user. */
export interface PresentMember<T = unknown> {
  /** The id of its identity; empty for one that did not say who they are. */
  readonly user: string;
  /** Tells the tabs of a user apart. */
  readonly client: string;
  /** What it says of itself. */
  readonly data: T;
}

/**
 * A channel as the process that hosts it uses it.
 *
 * @example
 * const lobby = tl.channel("chat/lobby");
 * await lobby.publish("joined", { user: "ada" });
 * for await (const message of lobby.messages({ from: "start" })) console.log(message.data);
 */
export class ServerChannel {
  readonly name: string;
  readonly #hub: Hub;

  constructor(hub: Hub, name: string) {
    this.#hub = hub;
    this.name = name;
  }

  /** Stores a message, and resolves once the engine's level holds: `publish(data)`, or `publish(event, data, options)`. Throws what PROTOCOL.md §7 says. */
  publish(data: unknown): Promise<Receipt>;
  publish(event: string, data: unknown, options?: PublishOptions): Promise<Receipt>;
  async publish(...args: [data: unknown] | [event: string, data: unknown, options?: PublishOptions | undefined]): Promise<Receipt> {
    const [event, data, { key, text = false } = {}] = args.length === 1 ? [undefined, args[0]] : args;
    const content = readData({ data, event, ...(text ? { encoding: "text" as const } : {}) }, this.#hub.limits);
    return this.#hub.publish(ANONYMOUS, { channel: this.name, event, key, ...content });
  }

  /** Tells whoever is live now; it is stored nowhere and may be dropped. */
  signal(event: string, data: unknown = null): void {
    checkSignal(data, this.#hub.limits);
    this.#hub.signal(this.name, event, data, "");
  }

  /**
   * Asks the application as a client would, whichever node has the handler: what only another process knows, say. Rejects with `no_handler`, `request_failed`,
   * `request_timeout`, and with what the handler threw of ours.
   *
   * @example const { percent } = await tl.channel("jobs/7").request<{ percent: number }>("progress");
   */
  async request<Answer = unknown>(name: string, data: unknown = null): Promise<Answer> {
    return JSON.parse(await this.#hub.requests.ask(this.name, name, data, ANONYMOUS));
  }

  /** Calls `handler` for each message, one after the other, waiting for the promise it may return. Ends when disposed or aborted. */
  subscribe<T = unknown>(handler: (message: Message<T>) => void | Promise<void>, options: ReadOptions = {}): Disposable {
    const ended = new AbortController();
    const signal = options.signal === undefined ? ended.signal : AbortSignal.any([options.signal, ended.signal]);
    const run = async (): Promise<void> => {
      for await (const message of this.messages<T>({ ...options, signal })) {
        try {
          await handler(message);
        } catch (error) {
          this.#hub.warn(`A subscriber of ${this.name} threw: ${String(error)}`);
        }
      }
    };
    run().catch((error) => this.#hub.warn(`A subscriber of ${this.name} ended: ${String(error)}`));
    return { [Symbol.dispose]: () => ended.abort() };
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    return this.messages()[Symbol.asyncIterator]();
  }

  /** The messages from a place on, without end. Whoever takes them slowly holds nothing up: the reader lags in the log, like any other. */
  async *messages<T = unknown>(options: ReadOptions = {}): AsyncGenerator<Message<T>, void, void> {
    const start = parseFrom(formatFrom(options.from ?? "now"));
    const { signal, onGap } = options;
    if (signal?.aborted === true) return;
    const outlet = new LocalOutlet(onGap);
    const reader = this.#hub.read(this.name, outlet);
    const stop = () => outlet.end(null);
    signal?.addEventListener("abort", stop);
    try {
      await this.#hub.locate(reader, start);
      reader.begin();
      for (let batch = await outlet.take(); batch !== null; batch = await outlet.take()) {
        for (const entry of batch.entries) {
          if (outlet.ended) return;
          yield toMessage<T>(this.name, batch.epoch, entry);
        }
        reader.drained();
      }
    } finally {
      signal?.removeEventListener("abort", stop);
      reader.end();
    }
  }

  /** Who is on the channel now, by whichever node. `tl.on("presence", …)` tells what changes. */
  async presence<T = unknown>(): Promise<PresentMember<T>[]> {
    await this.#hub.open();
    const gathering = this.#hub.presence.gathering(this.name);
    await gathering.settle();
    return Array.from(gathering.roster.members(), ({ user, client, data }) => ({ user, client, data: JSON.parse(data) }));
  }

  async history<T = unknown>(options: HistoryOptions = {}): Promise<HistoryPage<T>> {
    const { limits } = this.#hub;
    const history: History = await this.#hub.history(this.name, {
      from: parseFrom(formatFrom(options.from ?? "start")),
      ...(options.before === undefined ? {} : { before: parsePosition(options.before) }),
      limit: { count: Math.min(options.limit ?? 100, limits.pageCountMax), bytes: limits.pageBytesMax },
    });
    const messages = history.entries.map((entry) => toMessage<T>(this.name, epochOf(history.head!, entry.offset), entry));
    return { messages, position: formatPosition(history.position), upToDate: history.upToDate };
  }
}

/** A reader's way to a loop in this process: it holds one batch, and is full until that is taken. */
class LocalOutlet implements Outlet {
  readonly codec: Codec = LOCAL;
  #batch: Batch | null = null;
  #wake: (() => void) | null = null;
  ended = false;
  #error: ThroughlineError | null = null;
  readonly #onGap: ((gap: GapFrame) => void) | undefined;

  constructor(onGap: ((gap: GapFrame) => void) | undefined) {
    this.#onGap = onGap;
  }

  full(): boolean {
    return this.#batch !== null;
  }

  write(encoded: unknown): void {
    this.#batch = encoded as Batch;
    this.#wake?.();
  }

  say(frame: ServerFrame): void {
    if (frame.type === "gap") this.#onGap?.(frame);
  }

  refuse(_channel: string, error: ThroughlineError): void {
    this.end(error);
  }

  end(error: ThroughlineError | null): void {
    this.ended = true;
    this.#error = error;
    this.#wake?.();
  }

  /** The next batch, or null at the end. */
  async take(): Promise<Batch | null> {
    if (this.#batch === null && !this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    if (this.#error !== null) throw this.#error;
    const batch = this.#batch;
    this.#batch = null;
    return this.ended ? null : batch;
  }
}

/** Nothing is encoded between two parts of one process. */
const LOCAL: Codec = { shared: true, batch: (batch) => batch, frame: () => null };

function toMessage<T>(channel: string, epoch: string, entry: Entry): Message<T> {
  const position = formatPosition({ epoch, offset: entry.offset, tag: entry.tag });
  return { channel, event: entry.event, data: entryValue(entry) as T, position, at: entry.at };
}
