export {
  type HistoryOptions,
  type HistoryPage,
  type Message,
  type PresentMember,
  type PublishOptions,
  type ReadOptions,
  ServerChannel,
} from "./adapters/server-channel.ts";
export { type Counts, Throughline, type ThroughlineOptions, throughline } from "./adapters/throughline.ts";
export type { Connection, TransportName } from "./core/connection.ts";
export type { Handler, HandlerInput } from "./core/handlers.ts";
export type { Receipt } from "./core/hub.ts";
export type { Action, Authenticate, Authorize, Credentials, Identity, Question } from "./core/identity.ts";
export type { HubEvents } from "./core/listeners.ts";
export type { Log, Retention } from "./core/log.ts";
export { memory } from "./engines/memory/memory.ts";
export { type ErrorCode, ThroughlineError } from "./protocol/error.ts";
export type { Limits } from "./protocol/limits.ts";
