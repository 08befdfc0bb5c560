export { type PublisherOptions, publisher } from "./adapters/nats-publisher.ts";
export type { Publisher } from "./adapters/publisher.ts";
export type { NatsConnect } from "./engines/nats/connection.ts";
export { type NatsOptions, nats } from "./engines/nats/nats.ts";
