/**
 * Every bound, with its unit in its name, its default and its consequence. An application overrides any of them by
 * `throughline({ limits })`; those of the client by `connect(url, { limits })`. PROTOCOL.md lists them; a house test holds the two
 * together and asks that some test reaches each.
 */
export const LIMITS = {
  // Names and sizes: beyond them the sender gets an error and nothing is stored
  /** Characters of a channel's name: `bad_channel`. */
  channelNameCharsMax: 200,
  /** UTF-8 bytes of an event's name: `bad_event`. */
  eventBytesMax: 128,
  /** UTF-8 bytes of an idempotency key: `bad_key`. */
  keyBytesMax: 128,
  /** Bytes of one message's data: `too_large`. */
  messageBytesMax: 1_048_576,
  /** How deep the JSON of a body, a frame or a message may nest, the frame itself being one: `bad_json`. */
  jsonDepthMax: 1_000,
  /** Bytes of one signal's data: `too_large`. */
  signalBytesMax: 16_384,
  /** Envelopes in one POST /publish: `too_large`. */
  batchCountMax: 1_000,
  /** Bytes of one request body or WebSocket frame: `too_large`, and WebSocket closes with 1009. */
  bodyBytesMax: 8_388_608,

  // One connection
  /** Channels in one GET /events: `too_many_channels`. */
  streamChannelsMax: 32,
  /** Bytes of the `id:` vector of GET /events: `too_many_channels`. */
  streamIdBytesMax: 2_048,
  /** Channels on one WebSocket or POST /events: `too_many_channels`. Questions about presence without an answer yet on one WebSocket: `too_many_requests`; members whose life its pongs show. */
  connectionChannelsMax: 100,
  /** Malformed frames on one WebSocket; one more closes it with 4400. */
  badFramesMax: 16,
  /** Frames waiting for a slow `authorize` on one WebSocket, or `messageBytesMax` bytes of them; then its socket is no longer read until they are done. */
  framesPendingMax: 256,
  /** Requests without an answer yet on one connection, be they frames or requests of HTTP/1.1 that were sent at once: `too_many_requests`. */
  requestsPendingMax: 64,
  /** Seconds until a request without an answer fails with `request_timeout`. */
  requestSecondsMax: 30,
  /** Seconds in which another node says that it answers a request which this one has no handler for; nobody does: `no_handler`. */
  offerSecondsMax: 3,
  /** Requests without an answer yet that a node has forwarded: `too_many_requests`; and those that it answers for others: it offers no more. */
  forwardedCountMax: 1_000,
  /** Bytes of a request that is forwarded, its identity included, and of its answer: `too_large`. */
  forwardedBytesMax: 262_144,
  /** Seconds until an `authenticate` or `authorize` without an answer fails with `overloaded`. */
  gateSecondsMax: 10,
  /** Revocations that a node remembers, for those who were on their way meanwhile: who began to ask before one that is forgotten gets `overloaded`, and comes back. And those that it goes on telling other nodes, and has heard from them: one that is forgotten is told no more. */
  revocationsMax: 10_000,

  // Delivery
  /** Bytes unsent on one socket; beyond, the reader is lagging: it leaves the live set and reads on from the log when the socket drains. Whether it has room is asked before each write of at most half as many, or of one message. */
  sinkBytesMax: 262_144,
  /** Seconds without a byte drained from a socket that has unsent bytes; then a pipe is closed with `slow`, and resumes from the log, and the connection of any other answer is cut. */
  stalledSecondsMax: 120,
  /** Bytes of recent messages kept in memory per channel that has readers; a reader further behind reads from the log. */
  tailBytesMax: 262_144,
  /** Messages in one page of catching up. */
  catchUpCountMax: 256,
  /** Bytes in one page of catching up; a page has at least one message. */
  catchUpBytesMax: 131_072,
  /** Messages in one page of history: a larger `limit` is cut to it. */
  pageCountMax: 1_000,
  /** Bytes of data in one page of history; a page has at least one message. */
  pageBytesMax: 1_048_576,
  /** Seconds that a long-poll may wait: a larger `wait` is cut to it. */
  waitSecondsMax: 25,
  /** Seconds between heartbeats. A WebSocket that has not answered two of them is closed. */
  heartbeatSeconds: 15,
  /** Connections that a node holds: `overloaded`. */
  connectionsMax: 100_000,
  /** Channels whose last reader has gone, which a node still follows for 5 s: one more, and the first of them is let go at once. */
  lingeringChannelsMax: 1_000,
  /** Signals of one channel waiting for the next flush: the oldest is dropped. */
  signalsPendingMax: 1_000,

  // Publishing and the log
  /** Messages of one channel, and removals of it, waiting for the log: `overloaded`. */
  publishQueueMax: 20_000,
  /** Bytes of one channel's messages waiting for the log: `overloaded`. */
  publishQueueBytesMax: 67_108_864,
  /** Seconds until a publish that the log has not answered is told `unknown`. */
  publishSecondsMax: 10,
  /** Seconds until a log that does not say whether it can store counts as one that cannot: `not_ready`. */
  readySecondsMax: 2,
  /** Idempotency keys remembered per channel: a new key is refused with `keys_full`. */
  keysMax: 1_000_000,
  /** Seconds that a key is remembered at least; longer while its message is retained. */
  keySecondsMin: 86_400,
  /** Epochs that a log's lineage remembers: a position of an older one gets `gap epoch`. */
  lineageMax: 32,

  // Presence
  /** Bytes of what a member says of itself: `too_large`. */
  presenceBytesMax: 4_096,
  /** Members of one channel: one more is refused with `overloaded`. */
  presenceMembersMax: 20_000,
  /** Members that came in by one node, and those that left a moment ago: `overloaded`. */
  presencePlacesMax: 100_000,
  /** Channels with members or watchers on one node, and those that had some a moment ago: `overloaded`. */
  presenceChannelsMax: 10_000,
  /** Members in one page; fewer where they say more than `catchUpBytesMax` together. */
  presencePageMax: 500,
  /** Changes of one channel that a node remembers, and no more than `pageBytesMax` bytes of them: a watcher further behind is given the members anew. */
  presenceChangesMax: 1_000,
  /** Other nodes whose members of a channel a node keeps: those of one more are not shown. */
  presenceNodesMax: 64,

  // The client
  /** Publishes without an answer that a client holds: `outbox_full`. */
  outboxCountMax: 1_000,
  /** Bytes of publishes without an answer that a client holds: `outbox_full`. */
  outboxBytesMax: 1_048_576,
  /** Messages that a `for await` reader has not taken yet; then its channel is no longer read until it takes some. */
  iteratorCountMax: 256,
  /** Seconds until a connection attempt without a `connected` frame is given up and tried again. */
  connectSecondsMax: 10,
  /** Milliseconds of the first backoff window; it doubles with each failure. */
  backoffMsMin: 300,
  /** Milliseconds of the largest backoff window. */
  backoffMsMax: 20_000,
} as const;

export type Limits = { readonly [Name in keyof typeof LIMITS]: number };

/** The defaults with an application's own values on top. Throws a `RangeError` for a name that does not exist or a value that is not a positive number. */
export function withLimits(own: Partial<Limits> = {}): Limits {
  for (const [name, value] of Object.entries(own)) {
    if (!Object.hasOwn(LIMITS, name)) throw new RangeError(`There is no limit named ${name}. PROTOCOL.md lists them.`);
    if (typeof value !== "number" || !(value > 0))
      throw new RangeError(`The limit ${name} must be a number above 0, not ${String(value)}.`);
  }
  return { ...LIMITS, ...own };
}
