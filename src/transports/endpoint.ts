import type { Hub } from "../core/hub.ts";
import { ANONYMOUS, type Credentials } from "../core/identity.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { answerEmpty, answerError, tellable } from "./answer.ts";
import type { Call } from "./call.ts";
import type { Exchange } from "./exchange.ts";
import { checkOrigin, PREFLIGHT, type Site } from "./origin.ts";
import { readPage } from "./pages.ts";
import { permit } from "./permit.ts";
import { publishEnvelopes, publishOne, request, signal } from "./posts.ts";
import { getPresencePage, postPresence, streamPresence } from "./presence.ts";
import { live, ready } from "./probes.ts";
import { streamChannel, streamChannels, streamFrames } from "./streams.ts";
import { SocketPipe } from "./websocket.ts";

type Act = (call: Call) => Promise<void> | void;

/** What each path does, by method. The paths of §4 of PROTOCOL.md, and no other. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, Act>>>> = {
  channels: { GET: getChannel, POST: publishOne, HEAD: headChannel, DELETE: deleteChannel },
  signals: { POST: signal },
  requests: { POST: request },
  presence: { GET: getPresence, POST: postPresence },
  publish: { POST: publishEnvelopes },
  events: { GET: streamChannels, POST: streamFrames },
  socket: { GET: upgradeRequired },
  livez: { GET: live, HEAD: live },
  readyz: { GET: ready, HEAD: ready },
};

/** The paths below which a channel's name stands. */
const NAMED = new Set(["channels", "signals", "requests", "presence"]);

/** What a machine asks that has no credentials; nobody learns of a channel by them. */
const PROBES = new Set<Act>([live, ready]);

/** The HTTP and WebSocket side of a hub, for any adapter. */
export class Endpoint {
  readonly hub: Hub;
  readonly #site: Site;

  constructor(hub: Hub, site: Site) {
    this.hub = hub;
    this.#site = site;
  }

  /** Answers one request. False if the path is none of ours, so that a framework can go on with its own routes. Never rejects. */
  async handle(exchange: Exchange): Promise<boolean> {
    const slash = exchange.path.indexOf("/", 1);
    const room = exchange.path.slice(1, slash < 0 ? undefined : slash);
    const route = Object.hasOwn(ROUTES, room) && NAMED.has(room) === slash > 0 ? ROUTES[room] : undefined;
    if (route === undefined) return false;
    let headers: Record<string, string> = {};
    try {
      headers = checkOrigin(exchange, this.#site);
      if (exchange.ahead >= this.hub.limits.requestsPendingMax) {
        throw new ThroughlineError(
          "too_many_requests",
          `${exchange.ahead} requests on this connection wait for their answers. Wait for one of them.`,
        );
      }
      if (exchange.method === "OPTIONS") answerEmpty(exchange, 204, { ...headers, ...PREFLIGHT });
      else await this.#act(exchange, route, slash < 0 ? null : exchange.path.slice(slash + 1), headers);
    } catch (error) {
      answerError(
        exchange,
        tellable(error, (sentence) => this.hub.warn(sentence)),
        headers,
      );
    }
    return true;
  }

  /** The answer to a path that is nobody's. */
  notFound(exchange: Exchange): void {
    const path = JSON.stringify(exchange.path.slice(0, 100));
    answerError(exchange, new ThroughlineError("not_found", `There is nothing at ${path}. PROTOCOL.md §4 lists the paths.`));
  }

  /** Decides on a WebSocket before it is accepted, and gives the pipe for it. Throws what the refusal answers. */
  async socket(asked: Credentials, query: URLSearchParams): Promise<{ pipe: SocketPipe; channels: { channel: string; from: string }[] }> {
    checkOrigin(asked, this.#site);
    const moment = this.hub.gate.moment;
    const identity = await this.hub.gate.authenticate(asked);
    this.hub.connections.admit();
    const from = query.get("from") ?? "now";
    const channels = query.getAll("channel").map((channel) => ({ channel: checkChannelName(channel, this.hub.limits), from }));
    return { pipe: new SocketPipe({ hub: this.hub, identity, asked: moment }), channels };
  }

  async #act(
    exchange: Exchange,
    route: Readonly<Record<string, Act>>,
    name: string | null,
    headers: Record<string, string>,
  ): Promise<void> {
    const act = Object.hasOwn(route, exchange.method) ? route[exchange.method] : undefined;
    if (act === undefined) {
      headers["allow"] = Object.keys(route).join(", ");
      throw new ThroughlineError("method_not_allowed", `${exchange.method} does nothing here. Use ${headers["allow"]}.`);
    }
    const channel = name === null ? "" : checkChannelName(decode(name), this.hub.limits);
    const asked = this.hub.gate.moment;
    const identity = PROBES.has(act) ? ANONYMOUS : await this.hub.gate.authenticate(credentialsOf(exchange));
    await act({ hub: this.hub, exchange, identity, asked, headers, channel });
  }
}

/** What `authenticate` sees of an HTTP request. */
export function credentialsOf(exchange: Pick<Exchange, "header" | "url" | "address">, token = bearerOf(exchange)): Credentials {
  return {
    token,
    header: (name) => exchange.header(name),
    url: exchange.url,
    // Not before it is asked for: a socket that was asked keeps the answer (88 bytes of heap each).
    get address() {
      return exchange.address;
    },
  };
}

export function bearerOf(exchange: Pick<Exchange, "header">): string | null {
  return /^Bearer +(\S+) *$/i.exec(exchange.header("authorization") ?? "")?.[1] ?? null;
}

function getChannel(call: Call): Promise<void> | void {
  const { exchange } = call;
  if (exchange.query.has("wait") || prefersJson(exchange)) return readPage(call);
  return streamChannel(call);
}

function getPresence(call: Call): Promise<void> {
  const isPage = ["wait", "position", "after"].some((name) => call.exchange.query.has(name)) || prefersJson(call.exchange);
  return isPage ? getPresencePage(call) : streamPresence(call);
}

async function headChannel(call: Call): Promise<void> {
  const { hub, exchange, headers, channel } = call;
  await permit(call, "history", channel);
  const { position, first } = await hub.place(channel);
  answerEmpty(exchange, 200, { ...headers, "throughline-position": position, "throughline-first": String(first) });
}

async function deleteChannel(call: Call): Promise<void> {
  const { hub, exchange, headers, channel } = call;
  await permit(call, "delete", channel);
  await hub.remove(channel);
  answerEmpty(exchange, 204, headers);
}

function upgradeRequired(call: Call): void {
  const error = new ThroughlineError(
    "upgrade_required",
    "This path speaks WebSocket only, and a proxy may have removed the Upgrade header. Use /events.",
  );
  answerError(call.exchange, error, { ...call.headers, upgrade: "websocket", connection: "close" });
}

/** RFC 9110 §12.5.1, as far as two types need it: JSON only if it is named, and not after the event stream. */
function prefersJson(exchange: Exchange): boolean {
  const accept = (exchange.header("accept") ?? "").toLowerCase();
  const json = accept.indexOf("application/json");
  if (json >= 0) {
    const stream = accept.indexOf("text/event-stream");
    return stream < 0 || json < stream;
  }
  if (accept === "" || accept.includes("text/event-stream") || accept.includes("*/*") || accept.includes("text/*")) return false;
  throw new ThroughlineError("not_acceptable", "This is an event stream or, with Accept: application/json, a page.");
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    throw new ThroughlineError("bad_channel", "The percent-encoding of the channel's name is broken.");
  }
}
