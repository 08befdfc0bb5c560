import type { From, GapFrame, SignalFrame } from "../protocol/frame.ts";
import type { Subscription } from "./emitter.ts";
import type { Message } from "./message.ts";
import type { Published, PublishOptions, RequestOptions } from "./upstream.ts";

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
  /** How many messages at most. Default 100; the server has its own bound (1,000). */
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
   * Calls `handler` with every message, in order, once, whatever happens to the connection. What it throws goes to `client.on("error")`,
   * and so does what the server ends it with. A promise that it gives is not waited for: `messages` is for that.
   *
   * @example
   * const reading = channel.subscribe("order", ({ data, position }) => show(data, position), { from: { last: 50 } });
   * reading.unsubscribe();
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
   * Rejects with what cannot be helped by that (`forbidden`, `too_large`…: it is not stored), or with `outbox_full`. It may be stored after
   * `unknown`, which is told with such a refusal as its `cause` where an earlier attempt had no answer, and after `aborted`, `closed` or
   * `retries_exhausted`, if it was sent before.
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
