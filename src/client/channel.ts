import type { ThroughlineError } from "../protocol/error.ts";
import type { From, GapFrame, SignalFrame } from "../protocol/frame.ts";
import { backoff } from "./backoff.ts";
import type { ChannelFeed, Connection } from "./connection.ts";
import { attempt, createEmitter, type Subscription, subscription } from "./emitter.ts";
import type { Environment } from "./environment.ts";
import { formatFrom } from "./format-from.ts";
import { REQUEST_SECONDS } from "./http.ts";
import { mayRetry } from "./may-retry.ts";
import { type Message, toMessage } from "./message.ts";
import { disconnected } from "./pipe.ts";
import { createReader, type Reader, type Sink } from "./reader.ts";
import { type Published, type PublishOptions, pathOf, type RequestOptions } from "./upstream.ts";

export type ChannelState = "subscribing" | "catching-up" | "live" | "paused" | "gap" | "closed";

/** What cannot be delivered: see PROTOCOL.md §6. */
export type Gap = Omit<GapFrame, "type">;
/** What another client sent and nobody stored. */
export type Signal = Omit<SignalFrame, "type">;

export interface ReadOptions {
  /** Where to begin. Default `now`. */
  readonly from?: From | undefined;
  /** Ends the reading. */
  readonly signal?: AbortSignal | undefined;
}

export interface SubscribeOptions extends ReadOptions {
  /** Only messages of this event. */
  readonly event?: string | undefined;
}

export interface HistoryOptions {
  /** Default `start`. */
  readonly from?: From;
  /** A position: the messages that end just before it. Instead of `from`. */
  readonly before?: string;
  /** How many messages at most; the server has its own bound (1,000). */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface Page<T = unknown> {
  readonly messages: readonly Message<T>[];
  readonly gap?: Gap;
  /** Where to go on: `from: { after: position }`. */
  readonly position: string;
  /** Nothing is stored beyond. */
  readonly upToDate: boolean;
}

export type Handler<T> = (message: Message<T>) => unknown;

export interface ChannelEvents {
  /** Something cannot be delivered. Told before any later message. */
  gap: Gap;
  state: ChannelState;
  /** What others signal. Listening for it subscribes to the channel. */
  signal: Signal;
}

/** What an application holds of a channel. All subscriptions to it share one line; each has its own place on it. */
export interface Channel<T = unknown> extends AsyncIterable<Message<T>> {
  readonly name: string;
  readonly state: ChannelState;
  /** Everything up to here has been handed out. Null before the server has said where reading begins, and while nobody reads. */
  readonly position: string | null;
  /**
   * Calls `handler` with every message, in order, once, whatever happens to the connection. What it throws goes to `client.on("error")`.
   *
   * @example
   * using reading = channel.subscribe("order", ({ data, position }) => save(data, position), { from: { last: 50 } });
   */
  subscribe<Data = T>(handler: Handler<Data>, options?: SubscribeOptions): Subscription;
  subscribe<Data = T>(event: string, handler: Handler<Data>, options?: ReadOptions): Subscription;
  /**
   * The messages, pulled: when `iteratorCountMax` wait, the channel is no longer read until they are taken. Ends when `signal` fires or
   * the client is closed; throws if the server ends the subscription.
   *
   * @example
   * for await (const { data, position } of channel.messages({ from: { after: saved } })) await save(data, position);
   */
  messages<Data = T>(options?: ReadOptions): AsyncGenerator<Message<Data>, void, undefined>;
  /**
   * Stores a message. Resolves once it is stored at `level`; until then it is kept and sent again as often as it takes, and stored once.
   * Rejects with what cannot be helped by that (`forbidden`, `too_large`…), with `outbox_full`, `aborted` or `closed`.
   *
   * @example const { position } = await channel.publish("order", { total: 12 });
   */
  publish(data: unknown): Promise<Published>;
  publish(event: string, data: unknown, options?: PublishOptions): Promise<Published>;
  /** Tells everyone who reads the channel now. Not stored, perhaps dropped; the latest of an event wins. Data is JSON, at most 16 kB. */
  signal(event: string, data?: unknown): void;
  /** Asks the application's handler on the server. Rejects with `no_handler`, `request_failed`, `request_timeout`, `timeout`, `disconnected`… */
  request<Answer = unknown>(name: string, data?: unknown, options?: RequestOptions): Promise<Answer>;
  /** A page of what is stored. */
  history<Data = T>(options?: HistoryOptions): Promise<Page<Data>>;
  on<Name extends keyof ChannelEvents>(name: Name, handler: (value: ChannelEvents[Name]) => unknown): Subscription;
}

const PAGE_COUNT_MAX = 1_000;
/** How long a reader that is ahead of a line that has not begun waits before it looks again. */
const LINE_MS = 100;

/** `open`: the channels that someone reads, by what ends that. */
export function createChannel(
  name: string,
  connection: Connection,
  { clock, http, limits, random, report }: Environment,
  open: Set<(error?: ThroughlineError) => void>,
): Channel {
  const { upstream } = connection;
  const emitter = createEmitter<ChannelEvents>(report);
  const readers = new Set<Reader>();
  /** How far the pipes have brought it: the line that readers join. Null while it is on no pipe, or none has begun. */
  let line: string | null = null;
  let reads = false;
  let state: ChannelState = "closed";

  const feed: ChannelFeed = {
    get position() {
      return line;
    },
    from() {
      const joined = [...readers].filter(({ mode }) => mode === "joined");
      const [least] = joined.map(({ position }) => position).sort();
      return least ? `after:${least}` : joined[0]!.from;
    },
    begin(position) {
      line ??= position;
      for (const reader of readers) {
        reader.position ??= position;
        // Two pipes were asked for "now" at once, and this one's now is later than the one it began with
        if (reader.mode === "joined" && reader.position < position) resume(reader);
      }
      if (state === "subscribing") turn("catching-up");
    },
    message(message, live) {
      if (state === "gap") turn(live ? "live" : "catching-up");
      if (message.position > (line as string)) line = message.position;
      let taken = false;
      // A copy: a handler may begin another, for which this message is not meant
      for (const reader of [...readers]) {
        const outcome = reader.offer(message);
        if (outcome === "doubt") resume(reader);
        if (outcome === "taken") taken = true;
        relieve(reader);
      }
      return taken;
    },
    gap(gap) {
      let taken = false;
      for (const reader of readers) {
        const outcome = reader.skip(gap);
        if (outcome === "doubt") resume(reader);
        if (outcome === "taken") taken = true;
      }
      if (taken) {
        line = gap.resumeFrom;
        tellGap(gap);
      }
      return taken;
    },
    live: () => turn("live"),
    lost: () => turn("subscribing"),
    signal: (signal) => void emitter.emit("signal", signal),
    end: shut,
  };

  function shut(error?: ThroughlineError): void {
    for (const reader of readers) end(reader, error);
  }

  function turn(to: ChannelState): void {
    if (state === to) return;
    state = to;
    emitter.emit("state", to);
  }

  function tellGap(gap: Gap): void {
    turn("gap");
    emitter.emit("gap", gap);
  }

  /** Begins a local subscription, and returns it and its end. */
  function read(sink: Sink, { from = "now", signal }: ReadOptions = {}): readonly [Reader, () => void] {
    const start = formatFrom(from);
    const reader = createReader(start, sink, limits.iteratorCountMax / 2);
    const stop = (): void => {
      signal?.removeEventListener("abort", stop);
      end(reader);
    };
    const [first] = readers;
    const { machine } = connection;
    readers.add(reader);
    open.add(shut);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted || machine.state === "closed" || machine.error) end(reader, machine.error);
    else if (!reads) begin();
    else if (start === "now" && state === "live") reader.position = line;
    else if (line || start !== first?.from) resume(reader);
    return [reader, stop];
  }

  function end(reader: Reader, error?: ThroughlineError): void {
    if (!readers.delete(reader)) return;
    reader.mode = "ended";
    reader.abort.abort();
    reader.sink.end(error);
    rest();
  }

  /** Puts the channel on the connection's pipes. */
  function begin(): void {
    reads = true;
    turn("subscribing");
    connection.read(name, feed);
  }

  /** Takes it off, if nobody is on the line any more. */
  function rest(): void {
    const modes = [...readers].map(({ mode }) => mode);
    if (!readers.size) open.delete(shut);
    if (modes.includes("joined")) return;
    line = null;
    if (reads) connection.leave(name);
    reads = false;
    turn(modes.includes("reading") ? "catching-up" : readers.size ? "paused" : "closed");
  }

  function relieve(reader: Reader): void {
    if (reader.mode === "ended" || reader.sink.room() > 0) return;
    reader.mode = "paused";
    rest();
  }

  function resume(reader: Reader): void {
    reader.mode = "reading";
    rest();
    void catchUp(reader);
  }

  /** Pages of history until it meets the line; or, if there is no line, until there is nothing more, and then it is the line. */
  async function catchUp(reader: Reader): Promise<void> {
    const { from, sink } = reader;
    const { signal } = reader.abort;
    const pause = (ms: number): Promise<void> =>
      new Promise((resolve) => {
        signal.onabort = clock.after(ms, resolve);
      });
    let failures = 0;
    while (reader.mode === "reading") {
      try {
        const { position } = reader;
        // Half of what there is room for: the rest is for what the line brings meanwhile
        const page = await getPage({ from: position ? `after:${position}` : from, limit: `${Math.ceil(sink.room() / 2)}` }, signal);
        failures = 0;
        if (page.gap) tellGap(page.gap);
        page.messages.forEach(reader.take);
        reader.position = page.position;
        if (line) reader.meet(line);
        else if (page.upToDate && reads) await pause(LINE_MS);
        else if (page.upToDate) {
          reader.mode = "joined";
          begin();
        }
        relieve(reader);
      } catch (error) {
        const { code, retryAfterMs = 0 } = disconnected(error);
        if (!mayRetry(code)) return end(reader, disconnected(error));
        await pause(Math.max(retryAfterMs, backoff(failures++, limits, random.fraction())));
      }
    }
  }

  async function getPage(query: Readonly<Record<string, string>>, signal: AbortSignal | undefined): Promise<Page> {
    const page = (await http.json(pathOf("channels", name, query), REQUEST_SECONDS, { signal })) as Page;
    return { ...page, messages: page.messages.map((told) => toMessage(name, told.position, told)) };
  }

  const channel: Channel = {
    name,
    get state() {
      return state;
    },
    get position() {
      return receiver?.position ?? null;
    },
    subscribe(first: string | Handler<never>, second?: Handler<never> | SubscribeOptions, third?: ReadOptions): Subscription {
      const [event, handler, options] =
        typeof first === "string" ? [first, second, third] : [(second as SubscribeOptions)?.event, first, second as SubscribeOptions];
      const take = (message: Message): void => {
        if ((event ?? message.event) === message.event) attempt(handler as Handler<unknown>, message, report);
      };
      return subscription(read({ take, room: () => PAGE_COUNT_MAX, end() {} }, options)[1]);
    },
    async *messages<Data>(options?: ReadOptions) {
      const queue: Message[] = [];
      let over: ThroughlineError | true | undefined;
      let wake = (): void => {};
      const [reader, stop] = read(
        {
          take(message) {
            queue.push(message);
            wake();
          },
          room: () => limits.iteratorCountMax - queue.length,
          end(error) {
            over = error ?? true;
            if (!error) queue.length = 0;
            wake();
          },
        },
        options,
      );
      try {
        for (;;) {
          const message = queue.shift();
          if (message) yield message as Message<Data>;
          else if (over) {
            if (over !== true) throw over;
            return;
          } else {
            if (reader.mode === "paused") resume(reader);
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        stop();
      }
    },
    [Symbol.asyncIterator]: () => channel.messages(),
    publish(...given: [event: unknown, data?: unknown, options?: PublishOptions]): Promise<Published> {
      const [event, data, options = {}] = (given.length > 1 ? given : [undefined, ...given]) as typeof given;
      return upstream.publish(name, event as string | undefined, data, options);
    },
    signal: (event, data) => upstream.signal(name, event, data),
    request: (request, data, options = {}) => upstream.request(name, request, data, options) as Promise<never>,
    history({ from, before, limit, signal } = {}) {
      const start = before ? { before } : from && { from: formatFrom(from) };
      return getPage({ ...start, ...(limit && { limit: `${limit}` }) }, signal) as Promise<never>;
    },
    on(event, handler) {
      const { unsubscribe } = emitter.on(event, handler);
      if (event !== "signal") return subscription(unsubscribe);
      const [, stop] = read({ take() {}, room: () => PAGE_COUNT_MAX, end() {} });
      return subscription(() => {
        unsubscribe();
        stop();
      });
    },
  };
  return channel;
}
