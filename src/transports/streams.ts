import type { Hub } from "../core/hub.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { parseFrom, type Start } from "../protocol/from.ts";
import { parsePosition } from "../protocol/position.ts";
import { plainBye } from "../wire/control.ts";
import { readShape, type Shape } from "../wire/shape.ts";
import { answerText, byeFrame, errorFrame, tellable } from "./answer.ts";
import { mediaType, readJson } from "./bodies.ts";
import type { Call } from "./call.ts";
import type { Exchange } from "./exchange.ts";
import { PollPipe } from "./long-poll.ts";
import { FrameStream, PlainStream, STREAM_HEADERS, VectorStream } from "./sse.ts";

/** GET /channels/{name}: one channel as plain events. */
export async function streamChannel(call: Call): Promise<void> {
  const { hub, exchange, identity, asked, headers, channel } = call;
  const start = startOf(exchange, "now");
  await hub.gate.authorize(identity, "subscribe", channel);
  if (!admits(call)) return;
  const pipe = new PlainStream(call);
  const reader = hub.read(channel, pipe);
  await hub.locate(reader, start);
  pipe.keep(reader);
  if (!pipe.open(exchange, varied(headers))) {
    pipe.closed();
    return;
  }
  await hub.connections.recheck(pipe, [reader], asked);
  reader.begin();
}

/** GET /events: many channels as plain events, with one id that resumes them all. */
export async function streamChannels(call: Call): Promise<void> {
  const { hub, exchange, identity, asked, headers } = call;
  const channels = [...new Set(exchange.query.getAll("channel").map((name) => checkChannelName(name, hub.limits)))];
  checkCount(hub, channels.length);
  const starts = startsOf(exchange, channels.length);
  for (const channel of channels) await hub.gate.authorize(identity, "subscribe", channel);
  if (!admits(call)) return;
  const pipe = new VectorStream(call, channels);
  try {
    for (const [index, channel] of channels.entries()) {
      const reader = hub.read(channel, pipe);
      pipe.keep(reader);
      await hub.locate(reader, starts[index]!);
    }
  } catch (error) {
    pipe.closed();
    throw error;
  }
  if (!pipe.open(exchange, varied(headers))) {
    pipe.closed();
    return;
  }
  await hub.connections.recheck(pipe, pipe.readers(), asked);
  pipe.sayConnected();
  for (const reader of [...pipe.readers()]) reader.begin();
}

interface Asked {
  readonly name: string;
  readonly from?: string;
  readonly id?: number;
}

const ASKED: Shape<Asked> = { name: "string", from: "string?", id: "integer?" };

/** POST /events: many channels as frames, on a stream or, with `wait`, in one answer. A channel that is refused is told so; the others are read. */
export async function streamFrames(call: Call): Promise<void> {
  const { hub, exchange, asked, headers } = call;
  const type = mediaType(exchange);
  if (type !== "application/json") throw new ThroughlineError("unsupported_media", "POST /events takes application/json.");
  const wanted = readAsked(readJson(await exchange.body(hub.limits.bodyBytesMax), hub.limits), hub);
  hub.connections.admit();
  const wait = exchange.query.get("wait");
  if (wait !== null && !/^\d{1,9}$/.test(wait)) throw new ThroughlineError("bad_request", '"wait" is a whole number of seconds.');
  const pipe = wait === null ? new FrameStream(call) : new PollPipe(call, (frames) => answerFrames(call, frames));
  const failed = new Map<Asked, ThroughlineError>();
  await Promise.all(
    wanted.map((one) =>
      prepare(hub, pipe, one).catch((error) =>
        failed.set(
          one,
          tellable(error, (text) => hub.warn(text)),
        ),
      ),
    ),
  );
  if (pipe instanceof PollPipe) {
    exchange.onGone(() => pipe.closed());
    pipe.open();
  } else if (pipe.open(exchange, headers)) pipe.sayConnected();
  else {
    pipe.closed();
    return;
  }
  await hub.connections.recheck(pipe, pipe.readers(), asked);
  for (const one of wanted) {
    const error = failed.get(one);
    if (error === undefined) pipe.reader(one.name)?.begin(one.id);
    else pipe.say(errorFrame(error, { id: one.id, channel: one.name }));
  }
  if (pipe instanceof PollPipe) pipe.listen(Math.min(Number(wait), hub.limits.waitSecondsMax));
}

async function prepare(hub: Hub, pipe: FrameStream | PollPipe, { name, from }: Asked): Promise<void> {
  checkChannelName(name, hub.limits);
  const start = parseFrom(from ?? "now");
  await hub.gate.authorize(pipe.identity, "subscribe", name);
  const reader = hub.read(name, pipe);
  await hub.locate(reader, start);
  pipe.keep(reader);
}

function readAsked(body: unknown, hub: Hub): Asked[] {
  const channels =
    typeof body === "object" && body !== null && Object.hasOwn(body, "channels") ? (body as { channels: unknown }).channels : null;
  if (!Array.isArray(channels))
    throw new ThroughlineError("bad_request", 'The body of POST /events is {"channels": [{"name", "from"?, "id"?}]}.');
  if (channels.length > hub.limits.connectionChannelsMax) {
    throw new ThroughlineError("too_many_channels", `One connection carries at most ${hub.limits.connectionChannelsMax} channels.`);
  }
  const asked = new Map<string, Asked>();
  for (const one of channels) {
    if (typeof one !== "object" || one === null)
      throw new ThroughlineError("bad_request", 'A channel is asked for as {"name", "from"?, "id"?}.');
    const read = readShape(one, undefined, ASKED) as Asked;
    asked.set(read.name, read);
  }
  return [...asked.values()];
}

/** Where a stream or a page begins: Last-Event-ID wins, since it is what a browser sends when it comes back to a URL that says `from`. */
export function startOf(exchange: Exchange, absent: string): Start {
  const last = lastEventId(exchange);
  return last === null ? parseFrom(exchange.query.get("from") ?? absent) : { type: "after", position: parsePosition(last) };
}

function startsOf(exchange: Exchange, count: number): Start[] {
  const last = lastEventId(exchange);
  if (last === null) return new Array<Start>(count).fill(parseFrom(exchange.query.get("from") ?? "now"));
  const positions = last.split(",");
  if (positions.length === count) return positions.map((text) => ({ type: "after", position: parsePosition(text) }));
  throw new ThroughlineError(
    "bad_position",
    `Last-Event-ID has ${positions.length} positions for ${count} channels. Send it back as it came.`,
  );
}

export function lastEventId(exchange: Exchange): string | null {
  return exchange.header("last-event-id") || exchange.query.get("lastEventId") || null;
}

function checkCount(hub: Hub, count: number): void {
  const { streamChannelsMax, streamIdBytesMax } = hub.limits;
  const idBytes = count * 47 - 1;
  if (count === 0) throw new ThroughlineError("bad_request", "Name at least one channel: /events?channel=chat/lobby.");
  if (count <= streamChannelsMax && idBytes <= streamIdBytesMax) return;
  const sentence = `One event stream carries at most ${streamChannelsMax} channels (${streamIdBytesMax} bytes of id), not ${count}. Open a WebSocket.`;
  throw new ThroughlineError("too_many_channels", sentence);
}

export function admits(call: Call): boolean {
  try {
    call.hub.connections.admit();
    return true;
  } catch (thrown) {
    shed(
      call,
      tellable(thrown, (sentence) => call.hub.warn(sentence)),
    );
    return false;
  }
}

/** EventSource never comes back after a status other than 200, so load is shed by a stream that ends, and says when to come back. */
export function shed({ exchange, headers }: Call, error: ThroughlineError): void {
  const stream = exchange.stream({ ...STREAM_HEADERS, ...headers }, { drained: () => undefined, closed: () => undefined });
  stream?.write(plainBye(byeFrame(error)));
  stream?.end();
}

function answerFrames({ exchange, headers }: Call, frames: string): void {
  answerText(exchange, 200, frames, headers);
}

export function varied(headers: Readonly<Record<string, string>>): Record<string, string> {
  return { ...headers, vary: "Accept, Origin" };
}
