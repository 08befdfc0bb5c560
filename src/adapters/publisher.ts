import type { Receipt } from "../core/hub.ts";
import type { Log, Retention } from "../core/log.ts";
import type { PublishOptions } from "./server-channel.ts";
import { throughline } from "./throughline.ts";

/** What a publisher is told beside the options of its engine. */
export interface PublishingOptions {
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

/** A hub without readers: it publishes through the very same step in the broker as the servers do. */
export function publishTo(engine: Log, { retain, warn }: PublishingOptions): Publisher {
  const line = throughline({
    engine,
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
