/** A message as a connection gives it. */
export interface NatsMessage {
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  readonly headers?: NatsHeaders | undefined;
}

export interface NatsHeaders {
  /** Of a message that is only a status: 404, 408, 409, 503. */
  readonly code: number;
  get(name: string): string;
}

/** What a server says of itself when it is connected to. */
export interface NatsServerInfo {
  readonly version: string;
  readonly max_payload: number;
  /** Whether messages may have headers. */
  readonly headers?: boolean | undefined;
}

/** What this engine needs of a connection of `@nats-io/transport-node` 3 (or of `nats` 2). */
export interface NatsConnection {
  // biome-ignore lint/suspicious/noExplicitAny: options of its own
  publish(subject: string, data?: any, options?: any): void;
  // biome-ignore lint/suspicious/noExplicitAny: options of its own
  request(subject: string, data?: any, options?: any): Promise<NatsMessage>;
  // biome-ignore lint/suspicious/noExplicitAny: options of its own
  requestMany(subject: string, data?: any, options?: any): Promise<AsyncIterable<NatsMessage>>;
  // biome-ignore lint/suspicious/noExplicitAny: options of its own
  subscribe(subject: string, options?: any): { unsubscribe(): void };
  flush(): Promise<void>;
  close(): Promise<void>;
  closed(): Promise<void | Error>;
  status(): AsyncIterable<{ readonly type: string }>;
  readonly info?: NatsServerInfo | undefined;
}

/** Opens a connection: `() => connect({ servers: "nats://localhost:4222" })`. */
export type NatsConnect = () => Promise<NatsConnection>;
