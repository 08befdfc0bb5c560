import type { Connection, TransportName } from "../core/connection.ts";
import type { Handler } from "../core/handlers.ts";
import { Hub } from "../core/hub.ts";
import type { Authenticate, Authorize } from "../core/identity.ts";
import type { HubEvents } from "../core/listeners.ts";
import type { Log, Retention } from "../core/log.ts";
import { memory } from "../engines/memory/memory.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { type Limits, withLimits } from "../protocol/limits.ts";
import { Endpoint } from "../transports/endpoint.ts";
import { ServerChannel } from "./server-channel.ts";
import { systemClock, systemRandom } from "./system.ts";

export interface ThroughlineOptions {
  /** Where messages are stored: `memory()` (the default), `disk("./data")`, … */
  readonly engine?: Log;
  /** Makes an identity of a request's token, cookie or header. Default: everyone is anonymous. */
  readonly authenticate?: Authenticate;
  /** Decides who may do what. Default: everyone may do everything, which is for development; a warning says so in production. */
  readonly authorize?: Authorize;
  /** Bounds to override; PROTOCOL.md §12 lists them. */
  readonly limits?: Partial<Limits>;
  /** How much of a channel is kept, where it differs from the engine's default. */
  readonly retain?: Partial<Retention> | ((channel: string) => Partial<Retention> | undefined);
  /** Origins of pages that may use this server beside its own, such as `https://app.example`; `"*"` for any. Default: none. */
  readonly origins?: readonly string[] | "*";
  /** Take only loopback names as Host and loopback pages as Origin: for a server on a developer's machine. Default: false. */
  readonly loopbackOnly?: boolean;
  /** Where sentences for the operator go. Default: `console.warn`. */
  readonly warn?: (sentence: string) => void;
  /** Told how long each slice of fan-out kept the event loop, in milliseconds. */
  readonly onSlice?: (ms: number) => void;
}

/** How many there are now, on this node. */
export interface Counts {
  readonly connections: number;
  readonly channels: number;
  readonly readers: number;
  readonly byTransport: Readonly<Record<TransportName, number>>;
}

/**
 * Real-time messaging in your own process. Give it to an adapter (`throughline/node`, `/express`, `/fastify`, `/hono`, `/fetch`) to be reached from outside.
 *
 * @example
 * const tl = throughline({ engine: disk("./data"), authorize: ({ identity, action }) => action === "subscribe" || identity.id !== "" });
 * attach(tl, http.createServer().listen(3000));
 * await tl.channel("chat/lobby").publish({ text: "hello" });
 */
export function throughline(options: ThroughlineOptions = {}): Throughline {
  return new Throughline(options);
}

export class Throughline {
  /** What adapters talk to. */
  readonly endpoint: Endpoint;
  readonly #hub: Hub;

  constructor(options: ThroughlineOptions) {
    const { retain, warn: tell = (sentence) => console.warn(`throughline: ${sentence}`) } = options;
    const warn = (sentence: string) => tell(printable(sentence));
    if (options.authorize === undefined && globalThis.process?.env?.["NODE_ENV"] === "production") {
      warn("no authorize was given, so everyone may read and publish everything. Pass authorize to throughline().");
    }
    this.#hub = new Hub({
      engine: options.engine ?? memory(),
      clock: systemClock,
      random: systemRandom,
      limits: withLimits(options.limits),
      authenticate: options.authenticate,
      authorize: options.authorize,
      retain: typeof retain === "object" ? () => retain : retain,
      warn,
      onSlice: options.onSlice,
    });
    this.endpoint = new Endpoint(this.#hub, { origins: options.origins ?? [], loopbackOnly: options.loopbackOnly ?? false });
  }

  /** A channel, as this process uses it: no permission is asked. Throws `bad_channel`. */
  channel(name: string): ServerChannel {
    return new ServerChannel(this.#hub, checkChannelName(name, this.#hub.limits));
  }

  /**
   * Answers what clients ask by `request(name, data)` on channels that match the pattern, over WebSocket and POST alike. The first one
   * that was registered and matches answers. Where nodes share a broker, a request that the asked node has no handler for is put to one that has, so that
   * what only this process knows can be asked for by way of any (a process that serves nobody calls `open()`). Returns a function that takes it back.
   *
   * @example tl.handle("chat/:room", "rename", async ({ params, data, identity }) => rooms.rename(params.room, data, identity.id));
   */
  handle(pattern: string, name: string, handler: Handler): () => void {
    return this.#hub.requests.handle(pattern, name, handler);
  }

  /**
   * `connect` and `disconnect` of pipes, every `publish` through this node, and each `presence` that changes on a channel which has a member or a watcher here.
   * Returns a function that ends it.
   */
  on<Name extends keyof HubEvents>(name: Name, listener: (detail: HubEvents[Name]) => void): () => void {
    return this.#hub.on(name, listener);
  }

  counts(): Counts {
    const byTransport = { sse: 0, websocket: 0, "long-poll": 0, local: 0 };
    for (const { transport } of this.connections()) byTransport[transport]++;
    const { connections, channelCount: channels, readerCount: readers } = this.#hub;
    return { connections: connections.size, channels, readers, byTransport };
  }

  /** The open pipes of this node. */
  connections(): Iterable<Connection> {
    return this.#hub.connections;
  }

  /**
   * Ends every live pipe of an identity with `revoked`, and its presence, on this node at once and on the others as soon as they hear of it (PROTOCOL.md §9); its
   * clients do not come back by themselves. Who may come in again is for `authenticate` to say.
   */
  revoke(identityId: string): void {
    this.#hub.revocations.revoke(identityId);
  }

  /**
   * Asks `authorize` again for every live reader, member and watcher (of one identity, if named), and ends those that it refuses now. Resolves once this node has;
   * the others do the same as soon as they hear of it.
   */
  review(identityId?: string): Promise<void> {
    return this.#hub.revocations.review(identityId);
  }

  /** Opens the engine, so that a fault in it (a directory that cannot be written, say) shows at start. Otherwise the first use opens it. */
  open(): Promise<void> {
    return this.#hub.open();
  }

  /** Tells every client to come back elsewhere or later, stores what is in flight, and closes the engine. */
  close(): Promise<void> {
    return this.#hub.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What was thrown may hold what a stranger sent: on the operator's terminal it must not draw, nor look like another line. The lines of a stack stay. */
function printable(sentence: string): string {
  return sentence.replace(/(?!\n {4}at )\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
