export type {
  Channel,
  ChannelEvents,
  ChannelState,
  Gap,
  Handler,
  HistoryOptions,
  Page,
  ReadOptions,
  Signal,
  SubscribeOptions,
} from "./client/channel.ts";
export type { Client } from "./client/connect.ts";
export { connect } from "./client/connect.ts";
export type { Counts } from "./client/connection.ts";
export type { ConnectionState } from "./client/connection-state.ts";
export type { Subscription } from "./client/emitter.ts";
export type { ClientEvents } from "./client/environment.ts";
export type { Message } from "./client/message.ts";
export type { ClientLimits, ConnectOptions, Transport } from "./client/options.ts";
export type { ClientClock, WebSocketClass, WebSocketLike } from "./client/system.ts";
export type { Published, PublishOptions, RequestOptions } from "./client/upstream.ts";
export type { ErrorCode } from "./protocol/error.ts";
export { ThroughlineError } from "./protocol/error.ts";
export type { From } from "./protocol/frame.ts";
