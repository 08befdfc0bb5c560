import type { NatsConnect } from "../engines/nats/connection.ts";
import { type NatsOptions, nats } from "../engines/nats/nats.ts";
import { type Publisher, type PublishingOptions, publishTo } from "./publisher.ts";

export interface PublisherOptions extends Omit<NatsOptions, "retain">, PublishingOptions {}

/**
 * For a program that serves nobody: a job, a script, a function. It publishes through the very same step in NATS as the servers do, which hear of it there.
 *
 * @example
 * const events = publisher(() => connect({ servers: "nats://localhost:4222" }));
 * await events.publish("orders/eu", "created", { id: 7 }, { key: "order-7" });
 */
export function publisher(connect: NatsConnect, { retain, warn, ...options }: PublisherOptions = {}): Publisher {
  return publishTo(nats(connect, options), { ...(retain === undefined ? {} : { retain }), ...(warn === undefined ? {} : { warn }) });
}
