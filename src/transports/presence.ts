import type { Gathering, Watcher } from "../core/gathering.ts";
import type { Hub } from "../core/hub.ts";
import type { Place } from "../core/presence.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { utf8Length } from "../protocol/message.ts";
import type { PresenceChange } from "../protocol/presence.ts";
import { stringifyJson } from "../wire/json.ts";
import { changesJson, membersJson } from "../wire/presence.ts";
import { ownField, readShape, type Shape } from "../wire/shape.ts";
import { answerText } from "./answer.ts";
import { mediaType, readJson } from "./bodies.ts";
import type { Call, Caller } from "./call.ts";
import { Bell } from "./long-poll.ts";
import { permit } from "./permit.ts";
import { PresenceStream } from "./presence-stream.ts";
import { admits, lastEventId, shed, varied } from "./streams.ts";

/** What a client says of itself, and what it wants to know (PROTOCOL.md §13). */
interface Asked {
  /** It is there, under this name. Absent: it only watches. */
  readonly client?: string;
  readonly turn?: number;
  readonly leave?: boolean;
  /** Where it stands as a watcher: empty if it knows nobody. Absent: it does not watch, if it is there. */
  readonly position?: string;
  /** The page of members that begins there. */
  readonly after?: string;
  /** Seconds to wait for news. */
  readonly wait?: number;
}

const ASKED: Shape<Asked> = {
  client: "string?",
  turn: "integer?",
  leave: "boolean?",
  position: "string?",
  after: "string?",
  wait: "number?",
};

const CLIENT = /^[\w-]{1,64}$/;

/** Waits for news, for so many seconds; resolves sooner if nobody waits any more. Rejects with what ended the waiting. */
export type Wait = (gathering: Gathering, seconds: number) => Promise<void>;

/** What a client is answered. */
export interface Attended {
  /** What it watches, if it does: then the answer may be large, and is about the moment in which it is made. */
  readonly gathering: Gathering | null;
  readonly json: () => string;
}

/** Does what a client asks. `onPlace` hears of the member that it is. */
export async function attend(
  { hub, identity, asked }: Caller,
  channel: string,
  body: unknown,
  wait: Wait,
  onPlace: (place: Place) => void = () => {},
): Promise<Attended> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ThroughlineError("bad_request", "What is said and asked about presence is a JSON object.");
  }
  const wanted = readShape(body, "presence", ASKED) as Asked;
  const { client, leave = false } = wanted;
  let about = `"channel":${JSON.stringify(channel)},"leaseSeconds":${hub.presence.leaseMs / 1_000}`;
  if (client !== undefined) {
    const entrance = { client: checkClient(client), data: readData(ownField(body, "data"), hub.limits), turn: wanted.turn };
    await permit({ hub, identity, asked }, "presence", channel, () => hub.opened());
    let late: number | null;
    if (leave) late = hub.presence.leave(identity, channel, entrance);
    else {
      const { place, isLate } = hub.presence.enter(identity, asked, channel, entrance);
      onPlace(place);
      late = isLate ? place.turn : null;
    }
    if (late !== null) about += `,"late":${late}`;
  }
  if (leave || (client !== undefined && wanted.position === undefined)) return { gathering: null, json: () => `{${about}}` };
  const gathering = await admitWatcher({ hub, identity, asked }, channel);
  await awaitNews(hub, gathering, wanted, wait);
  return { gathering, json: () => `{${about},${report(hub, gathering, wanted)}}` };
}

/** POST /presence/{name}: what the request `$presence` does on a WebSocket. */
export async function postPresence(call: Call): Promise<void> {
  const { hub, exchange, headers, channel } = call;
  const type = mediaType(exchange);
  if (type !== "application/json" && type !== "") throw new ThroughlineError("unsupported_media", "Send the body as application/json.");
  // Six bytes of JSON text may stand for one of what it says (\u0041)
  const body = readJson(await exchange.body(hub.limits.presenceBytesMax * 6 + 4_096), hub.limits);
  answerText(exchange, 200, (await attend(call, channel, body, waitOf(call))).json(), headers);
}

/** GET /presence/{name} as JSON: the members in pages, or what changed since a position. */
export async function getPresencePage(call: Call): Promise<void> {
  const { exchange, headers, channel } = call;
  const text = (name: string): string | undefined => exchange.query.get(name) ?? undefined;
  const seconds = text("wait");
  if (seconds !== undefined && !/^\d{1,9}$/.test(seconds)) {
    throw new ThroughlineError("bad_request", '"wait" is a whole number of seconds.');
  }
  const body = { position: text("position") ?? "", after: text("after"), wait: seconds === undefined ? undefined : Number(seconds) };
  answerText(exchange, 200, (await attend(call, channel, body, waitOf(call))).json(), varied(headers));
}

/** GET /presence/{name} as an event stream: the members, and every change, for as long as somebody reads. */
export async function streamPresence(call: Call): Promise<void> {
  const { exchange, headers, channel } = call;
  const gathering = await admitWatcher(call, channel).catch((error) => {
    // What passes, such as too many channels: a status would end an EventSource for good
    if (!(error instanceof ThroughlineError) || !/^(overloaded|restart)$/.test(error.code)) throw error;
    shed(call, error);
  });
  if (gathering === undefined || !admits(call)) return;
  const stream = new PresenceStream(call, gathering);
  if (stream.open(exchange, varied(headers))) stream.begin(lastEventId(exchange));
  else stream.closed();
}

/** Waits on an HTTP call: it is a pipe meanwhile, and what ends those ends it. */
function waitOf({ hub, identity, asked, exchange }: Call): Wait {
  return async (gathering, seconds) => {
    hub.connections.admit();
    const bell = new Bell(hub.random.letters(12), identity, asked);
    const watcher: Watcher = { identity, asked, news: bell.ring, dismiss: (error) => bell.end(error) };
    gathering.watch(watcher);
    hub.enter(bell);
    exchange.onGone(bell.ring);
    const cancel = hub.clock.after(seconds * 1_000, bell.ring);
    try {
      await bell.heard;
    } finally {
      cancel();
      hub.leave(bell);
      hub.presence.unwatch(gathering, watcher);
    }
  };
}

async function awaitNews(hub: Hub, gathering: Gathering, asked: Asked, waiting: Wait): Promise<void> {
  const { wait = 0, client } = asked;
  const seconds = Math.min(wait, hub.limits.waitSecondsMax, client === undefined ? wait : hub.presence.leaseMs / 3_000);
  if (seconds > 0 && changesFor(gathering, asked)?.length === 0) await waiting(gathering, seconds);
}

/** Null if it is given members. */
function changesFor({ roster }: Gathering, { position = "", after }: Asked): readonly PresenceChange[] | null {
  return after === undefined ? roster.since(position) : null;
}

function report(hub: Hub, gathering: Gathering, asked: Asked): string {
  const { roster } = gathering;
  const changes = changesFor(gathering, asked);
  const youngMs = hub.presence.youngMs(gathering);
  const young = youngMs === 0 ? "" : `,"youngSeconds":${Math.ceil(youngMs / 100) / 10}`;
  if (changes !== null) return `"position":"${roster.position}","count":${roster.count},"changes":${changesJson(changes)}${young}`;
  const page = roster.page(asked.after);
  const more = page.more === null ? "" : `,"more":${JSON.stringify(page.more)}`;
  return `"position":"${page.position}","count":${page.count},"members":${membersJson(page.members)}${more}${young}`;
}

/** The channel's members, for one who may watch, once other nodes have had time to say whom they have. */
async function admitWatcher(caller: Caller, channel: string): Promise<Gathering> {
  const { hub } = caller;
  await permit(caller, "watch", channel, async () => {
    await hub.opened();
    await hub.presence.gathering(channel).settle();
  });
  return hub.presence.gathering(channel);
}

function checkClient(client: string): string {
  if (CLIENT.test(client)) return client;
  throw new ThroughlineError("bad_request", '"client" is 1 to 64 letters, digits, _ and -. A random one for each tab is a good one.');
}

function readData(data: unknown, limits: Limits): string | undefined {
  if (data === undefined) return undefined;
  const text = stringifyJson(data);
  const bytes = utf8Length(text);
  if (bytes <= limits.presenceBytesMax) return text;
  throw new ThroughlineError("too_large", `A member may say ${limits.presenceBytesMax} bytes of itself, not ${bytes}.`);
}
