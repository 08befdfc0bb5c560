export { checkChannelName, matchPattern } from "./protocol/channel-name.ts";
export type { Cancel, Clock, Random } from "./protocol/clock.ts";
export type { Batch, Entry } from "./protocol/entry.ts";
export { ERRORS, type ErrorCode, type ErrorMeaning, isErrorCode, ThroughlineError } from "./protocol/error.ts";
export type {
  AckFrame,
  ByeFrame,
  ClientFrame,
  ConnectedFrame,
  EpochFrame,
  ErrorFrame,
  From,
  GapFrame,
  GapReason,
  HeartbeatFrame,
  LiveFrame,
  MessageFrame,
  PingFrame,
  PublishFrame,
  RequestFrame,
  ResponseFrame,
  SendSignalFrame,
  ServerFrame,
  SignalFrame,
  SubscribedFrame,
  SubscribeFrame,
  UnsubscribedFrame,
  UnsubscribeFrame,
} from "./protocol/frame.ts";
export { formatFrom, parseFrom, type Start } from "./protocol/from.ts";
export { LIMITS, type Limits, withLimits } from "./protocol/limits.ts";
export { DEFAULT_EVENT, type Kind, type Level } from "./protocol/message.ts";
export { formatPosition, NO_EPOCH, NO_TAG, ORIGIN, type Position, parsePosition, readPosition } from "./protocol/position.ts";
