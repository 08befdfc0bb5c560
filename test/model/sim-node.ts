import type { Handler } from "../../src/core/handlers.ts";
import { Hub } from "../../src/core/hub.ts";
import type { Authenticate, Authorize } from "../../src/core/identity.ts";
import { ERRORS, ThroughlineError } from "../../src/protocol/error.ts";
import type { Limits } from "../../src/protocol/limits.ts";
import { byeFrame } from "../../src/transports/answer.ts";
import { credentialsOf, Endpoint } from "../../src/transports/endpoint.ts";
import type { Exchange, Stream, StreamOwner } from "../../src/transports/exchange.ts";
import type { Socket, SocketPipe } from "../../src/transports/websocket.ts";
import { closeFrame, textFrame } from "../../src/wire/websocket.ts";
import type { Chance } from "./sim-chance.ts";
import type { Line } from "./sim-line.ts";
import type { Asked, HttpClient, Network, SocketClient, Target } from "./sim-network.ts";
import type { NodeLog, Store } from "./sim-store.ts";
import { newOwner, type Owner, type Time, type Wall } from "./sim-time.ts";
import { Wire, type WireKind } from "./sim-wire.ts";

export interface NodeOptions {
  readonly time: Time;
  readonly chance: Chance;
  readonly network: Network;
  readonly store: Store;
  readonly limits: Limits;
  /** The clock on its wall. */
  readonly wall: Wall;
  readonly authenticate: (node: ServerNode) => Authenticate;
  readonly authorize: (node: ServerNode) => Authorize;
  /** What answers requests; null: it has no handler. */
  readonly answer: ((node: ServerNode) => Handler) | null;
  /** There are others, which are to be heard before anyone uses this one. */
  readonly hasPeers: boolean;
  /** It goes, or comes. */
  readonly onChange: () => void;
  readonly warn: (sentence: string) => void;
}

/** One server node: the real hub and the real endpoint. It can be killed, stopped and started anew. */
export class ServerNode implements Target {
  readonly #options: NodeOptions;
  readonly wall: Wall;
  owner: Owner = newOwner();
  hub!: Hub;
  log!: NodeLog;
  #endpoint!: Endpoint;
  isUp = false;
  readonly isAnswering: boolean;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.isAnswering = options.answer !== null;
    this.wall = options.wall;
  }

  start(): void {
    const { time, chance, store, limits, authenticate, authorize, answer, hasPeers, warn } = this.#options;
    this.owner = newOwner(this.wall);
    this.log = store.logOf(this.owner);
    this.hub = new Hub({
      engine: this.log,
      // Short of time in every other millisecond
      clock: { ...time.clockOf(this.owner), busy: () => Math.floor(time.nowMs) % 2 },
      random: chance.random,
      limits,
      authenticate: authenticate(this),
      authorize: authorize(this),
      warn,
    });
    if (answer !== null) this.hub.requests.handle("chat/:room", "echo", answer(this));
    // Who answers something else is asked too
    else this.hub.requests.handle("chat/:room", "pause", () => warn("a handler was run for what it does not answer"));
    if (hasPeers) void this.hub.open();
    this.#endpoint = new Endpoint(this.hub, { origins: [], loopbackOnly: false });
    this.isUp = true;
    this.#options.onChange();
  }

  /** SIGKILL, or with `silence` the end of its machine. */
  kill(silence: boolean): void {
    this.isUp = false;
    this.#options.onChange();
    this.owner.isAlive = false;
    this.#options.store.nodes.delete(this.log);
    for (const [line, target] of this.#options.network.lines) if (target === this) line.drop(silence);
  }

  /** SIGTERM: says goodbye, and ends when it has stored what it had. */
  async stop(): Promise<void> {
    this.isUp = false;
    this.#options.onChange();
    await this.hub.close();
  }

  serve(line: Line, asked: Asked, client: HttpClient): void {
    const exchange = new VirtualExchange(line, asked, client, (kind) => this.#wireOf(line, kind));
    void this.#endpoint.handle(exchange).then((ours) => ours || this.#endpoint.notFound(exchange));
  }

  #wireOf(line: Line, kind: WireKind): Wire {
    const { limits, warn } = this.#options;
    return new Wire({ kind, line, sinkBytesMax: limits.sinkBytesMax, onFault: warn });
  }

  async upgrade(line: Line, protocols: readonly string[], accept: () => void, client: SocketClient): Promise<void> {
    const bearer = protocols.find((one) => one.startsWith("throughline.bearer."))?.slice(19);
    const token = bearer === undefined ? null : Buffer.from(bearer, "base64url").toString();
    const query = new URLSearchParams();
    const asked = { ...credentialsOf({ header: () => null, url: "/socket", address: "" }), token, query };
    try {
      const { pipe, channels } = await this.#endpoint.socket(asked, query);
      if (!line.serverOpen || !this.owner.isAlive) return;
      const socket = new VirtualServerSocket(line, pipe, this.#wireOf(line, "websocket"));
      line.owner = pipe;
      client.onMessage = (text) => socket.take(text);
      client.onPong = () => pipe.pong();
      accept();
      pipe.open(socket, channels);
    } catch (error) {
      if (!(error instanceof ThroughlineError)) throw error;
      // As the adapters do: who can mend it by a fresh token is let in to be told.
      if (error.code === "unauthenticated" || error.code === "expired") {
        accept();
        line.write(textFrame(JSON.stringify(byeFrame(error))));
        line.write(closeFrame(ERRORS[error.code].close, error.code));
      }
      line.end();
    }
  }
}

class VirtualExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly url: string;
  readonly address = "";
  readonly ahead = 0;
  readonly #line: Line;
  readonly #asked: Asked;
  readonly #client: HttpClient;
  readonly #wireOf: (kind: WireKind) => Wire;

  constructor(line: Line, asked: Asked, client: HttpClient, wireOf: (kind: WireKind) => Wire) {
    const mark = asked.url.indexOf("?");
    this.method = asked.method;
    this.url = asked.url;
    this.path = mark < 0 ? asked.url : asked.url.slice(0, mark);
    this.query = new URLSearchParams(mark < 0 ? "" : asked.url.slice(mark + 1));
    this.#line = line;
    this.#asked = asked;
    this.#client = client;
    this.#wireOf = wireOf;
  }

  header(name: string): string | null {
    return this.#asked.headers[name] ?? null;
  }

  async body(bytesMax: number): Promise<Uint8Array> {
    const bytes = Buffer.from(this.#asked.body);
    if (bytes.length > bytesMax) throw new ThroughlineError("too_large", "Too large.");
    return bytes;
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: string): void {
    this.#line.owner = null;
    if (status === 200) this.#wireOf("long-poll").answer(body);
    this.#client.answer({ status, headers, body });
  }

  stream(headers: Readonly<Record<string, string>>, owner: StreamOwner): Stream | null {
    if (!this.#line.serverOpen) return null;
    this.#line.owner = owner;
    this.#client.open(headers);
    const kind = this.method === "POST" ? "sse" : this.path === "/events" ? "vector" : "plain";
    return new VirtualStream(this.#line, this.#wireOf(kind));
  }

  onGone(act: () => void): void {
    if (this.#line.serverOpen) this.#line.owner = { drained: () => {}, closed: act };
    else queueMicrotask(act);
  }
}

class VirtualStream implements Stream {
  readonly #line: Line;
  readonly #wire: Wire;

  constructor(line: Line, wire: Wire) {
    this.#line = line;
    this.#wire = wire;
  }

  get unsent(): number {
    return this.#line.unsent;
  }

  get sent(): number {
    return this.#line.sent;
  }

  write(bytes: Uint8Array): boolean {
    return this.#line.write(bytes, this.#wire.write(bytes));
  }

  end(): void {
    this.#line.end();
  }

  destroy(): void {
    this.#line.destroy();
  }
}

class VirtualServerSocket implements Socket {
  readonly #line: Line;
  readonly #pipe: SocketPipe;
  readonly #wire: Wire;
  #closed = false;
  #isPaused = false;
  #held: string[] | null = null;

  constructor(line: Line, pipe: SocketPipe, wire: Wire) {
    this.#line = line;
    this.#pipe = pipe;
    this.#wire = wire;
  }

  get unsent(): number {
    return this.#line.unsent;
  }

  get sent(): number {
    return this.#line.sent;
  }

  /** Nothing follows a close frame. */
  write(bytes: Uint8Array): boolean {
    if (this.#closed) return true;
    return this.#line.write(bytes, this.#wire.write(bytes));
  }

  end(): void {
    this.close(1000, "");
  }

  close(code: number, reason: string): void {
    this.write(closeFrame(code, reason));
    this.#closed = true;
    this.#line.end();
  }

  destroy(): void {
    this.#line.destroy();
  }

  take(text: string): void {
    if (this.#held === null) this.#pipe.message(text);
    else this.#held.push(text);
  }

  pause(): void {
    this.#isPaused = true;
    this.#held ??= [];
  }

  /** What was held is read in a turn of its own, as a socket's data is. */
  resume(): void {
    this.#isPaused = false;
    queueMicrotask(() => {
      const held = this.#held;
      if (this.#isPaused || held === null) return;
      this.#held = null;
      for (const text of held) this.take(text);
    });
  }
}
