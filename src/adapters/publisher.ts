import type { Receipt } from "../core/hub.ts";
import type { Retention } from "../core/log.ts";
import type { RedisClient } from "../engines/redis/plug.ts";
import { type RedisOptions, redis } from "../engines/redis/redis.ts";
import type { PublishOptions } from "./server-channel.ts";
import { throughline } from "./throughline.ts";

export interface PublisherOptions extends Omit<RedisOptions, "retain"> {
  /** How much of a channel is kept: the same as the servers say. */
  readonly retain?: Partial<Retention> | ((channel: string) => Partial<Retention> | undefined);
  /** Where sentences for the operator go. Default: `console.warn`. */
  readonly warn?: (sentence: string) => void;
}

/** Publishes, and does nothing else. */
export interface Publisher extends AsyncDisposable {
  /** Stores a message, and resolves once the engine's level holds: `publish(channel, data)`, or `publish(channel, event, data, options)`. Throws what PROTOCOL.md §7 says. */
  publish(channel: string, data: unknown): Promise<Receipt>;
  publish(channel: string, event: string, data: unknown, options?: PublishOptions): Promise<Receipt>;
  close(): Promise<void>;
}

/**
 * For a program that serves nobody: a job, a script, a function. It publishes through the very same step in Redis as the servers do, which hear of it there.
 *
 * @example
 * const events = publisher(createClient({ url: "redis://localhost:6379" }));
 * await events.publish("orders/eu", "created", { id: 7 }, { key: "order-7" });
 */
export function publisher(client: RedisClient, { retain, warn, ...options }: PublisherOptions = {}): Publisher {
  const line = throughline({
    engine: redis(client, options),
    authorize: () => false,
    ...(retain === undefined ? {} : { retain }),
    ...(warn === undefined ? {} : { warn }),
  });
  const close = () => line.close();
  return {
    publish: (channel: string, ...message: [unknown] | [string, unknown, (PublishOptions | undefined)?]) =>
      message.length === 1 ? line.channel(channel).publish(message[0]) : line.channel(channel).publish(...message),
    close,
    [Symbol.asyncDispose]: close,
  };
}
