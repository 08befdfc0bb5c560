import type { ConnectOptions } from "../../src/client/options.ts";
import type { WebSocketLike } from "../../src/client/system.ts";
import type { ServerFrame } from "../../src/protocol/frame.ts";
import { decodeBase64 } from "../../src/wire/base64.ts";
import { packBinary } from "../../src/wire/websocket.ts";

interface FakeEntry {
  readonly offset: number;
  readonly tag: string;
  readonly at: number;
  readonly event: string;
  readonly data: unknown;
  readonly key?: string | undefined;
}

interface FakePipe {
  readonly transport: "sse" | "websocket" | "long-poll";
  readonly token: string | null;
  readonly readers: Map<string, { position: string; epoch: string; live: boolean }>;
  /** Frames that wait for `flow()` while `held`. */
  readonly queue: (ServerFrame | Uint8Array)[];
  write(frame: ServerFrame | Uint8Array): void;
  end(): void;
}

/** What goes wrong, as a test says. */
export interface Faults {
  /** Answers with this instead of what was asked for; null lets it pass. */
  refuse:
    | ((method: string, path: string) => { status: number; body?: unknown; headers?: Record<string, string> } | "network" | "hang" | null)
    | null;
  /** WebSockets do not get through. */
  noWebSocket: boolean;
  /** The head of an event stream comes, and nothing else. */
  buffered: boolean;
  /** Frames wait until `flow()`. */
  held: boolean;
  /** Publishes are stored, but the answer is lost with the connection. */
  loseAcks: boolean;
  /** What a publish is answered with, first come first served. */
  publishErrors: { code: string; message: string }[];
  /** Channels that may not be read. */
  forbidden: Map<string, string>;
}

const EPOCH_DIGITS = 12;

/**
 * A server after PROTOCOL.md in one process and one file, with faults to order: it gives a `fetch` and a `WebSocket` to the client, needs no
 * socket and no time. It is as dull as it can be, so that a test that fails points at the client.
 */
export class FakeServer {
  readonly logs = new Map<string, { epochs: { epoch: string; start: number }[]; first: number; boundary: string; entries: FakeEntry[] }>();
  readonly pipes = new Set<FakePipe>();
  readonly calls: string[] = [];
  readonly received: unknown[] = [];
  readonly tokens: (string | null)[] = [];
  readonly faults: Faults = {
    refuse: null,
    noWebSocket: false,
    buffered: false,
    held: false,
    loseAcks: false,
    publishErrors: [],
    forbidden: new Map(),
  };
  heartbeatSeconds = 15;
  retryMs = 0;
  #made = 0;
  readonly #waiting = new Set<() => void>();

  /** What `connect` is given. */
  get options(): Pick<ConnectOptions, "fetch" | "WebSocket"> {
    const server = this;
    return {
      fetch: (url, init) => this.#fetch(new URL(String(url)), init ?? {}),
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(server, url, protocols);
        }
      },
    };
  }

  publish(
    channel: string,
    data: unknown,
    { event = "message", key }: { event?: string; key?: string | undefined } = {},
  ): FakeEntry & { duplicate: boolean } {
    const log = this.#log(channel);
    const known = key === undefined ? undefined : log.entries.find((entry) => entry.key === key);
    if (known) return { ...known, duplicate: true };
    const entry = { offset: log.first + log.entries.length, tag: this.#letters(8), at: 1_000, event, data, key };
    log.entries.push(entry);
    this.pump();
    return { ...entry, duplicate: false };
  }

  /** The first `count` messages are forgotten. */
  trim(channel: string, count: number): void {
    const log = this.#log(channel);
    for (const entry of log.entries.splice(0, count)) {
      log.first = entry.offset + 1;
      log.boundary = entry.tag;
    }
  }

  /** All after `offset` is lost, as by a failover; with a new epoch if the engine noticed. */
  lose(channel: string, offset: number, { noticed }: { noticed: boolean }): void {
    const log = this.#log(channel);
    log.entries = log.entries.filter((entry) => entry.offset <= offset);
    if (noticed) log.epochs.push({ epoch: this.#epoch(), start: offset + 1 });
  }

  remove(channel: string): void {
    this.logs.delete(channel);
  }

  /** The log goes on in a new epoch; nothing is lost. */
  newEpoch(channel: string): void {
    const log = this.#log(channel);
    log.epochs.push({ epoch: this.#epoch(), start: log.first + log.entries.length });
  }

  position(channel: string): string {
    const log = this.#log(channel);
    return this.#position(channel, log.first + log.entries.length - 1);
  }

  /** Cuts every pipe, or those of one transport, as a network does. */
  cut(transport?: string): void {
    for (const pipe of [...this.pipes]) if (!transport || pipe.transport === transport) pipe.end();
  }

  /** Sends a frame to every pipe. */
  say(frame: ServerFrame): void {
    for (const pipe of [...this.pipes]) this.#write(pipe, frame);
  }

  bye(code: string, retryAfterMs?: number): void {
    this.say({ type: "bye", code, message: code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) } as ServerFrame);
    this.cut();
  }

  /** Lets held frames go: all of them, or the first `count` of the pipe at `index`. */
  flow(count = Number.POSITIVE_INFINITY, index?: number): void {
    for (const [at, pipe] of [...this.pipes].entries()) {
      if (index === undefined || at === index) for (const frame of pipe.queue.splice(0, count)) pipe.write(frame);
    }
  }

  /** Brings every reader up to date. */
  pump(): void {
    for (const pipe of this.pipes) for (const channel of pipe.readers.keys()) this.#feed(pipe, channel);
    for (const wake of [...this.#waiting]) wake();
  }

  #log(channel: string) {
    let log = this.logs.get(channel);
    if (!log) {
      log = { epochs: [{ epoch: this.#epoch(), start: 1 }], first: 1, boundary: "--------", entries: [] };
      this.logs.set(channel, log);
    }
    return log;
  }

  #epoch(): string {
    return (++this.#made).toString(16).padStart(EPOCH_DIGITS, "0") + this.#letters(8);
  }

  #letters(length: number): string {
    return (++this.#made).toString(36).padStart(length, "x");
  }

  #epochOf(channel: string, offset: number): string {
    const { epochs } = this.#log(channel);
    return (epochs.filter(({ start }) => start <= offset).at(-1) ?? epochs[0]!).epoch;
  }

  #position(channel: string, offset: number): string {
    const log = this.#log(channel);
    const tag = offset === log.first - 1 ? log.boundary : (log.entries[offset - log.first]?.tag ?? "--------");
    return `${this.#epochOf(channel, offset)}.${String(offset).padStart(16, "0")}.${tag}`;
  }

  #start(channel: string, from: string): string {
    const log = this.#log(channel);
    const top = log.first + log.entries.length - 1;
    if (from.startsWith("after:")) return from.slice(6);
    if (from === "start" || from.startsWith("since:")) return this.#position(channel, log.first - 1);
    if (from.startsWith("last:")) return this.#position(channel, Math.max(log.first - 1, top - Number(from.slice(5))));
    return this.#position(channel, top);
  }

  /** PROTOCOL.md §6, rules 1 to 5: the gap of a reader at `position`, or null. */
  #gap(channel: string, position: string): ServerFrame | null {
    const log = this.#log(channel);
    const epoch = position.slice(0, 20);
    const offset = Number(position.slice(21, 37));
    const tag = position.slice(38);
    const top = log.first + log.entries.length - 1;
    const gap = (reason: string, resume: number, missing: number | null): ServerFrame =>
      ({ type: "gap", channel, reason, since: position, resumeFrom: this.#position(channel, resume), missing }) as ServerFrame;
    const place = log.epochs.findIndex((one) => one.epoch === epoch);
    if (place < 0) return gap("epoch", log.first - 1, null);
    const isNewest = place + 1 === log.epochs.length;
    const last = isNewest ? top : log.epochs[place + 1]!.start - 1;
    if (offset > last) return gap("truncated", Math.max(last, log.first - 1), isNewest ? null : Math.max(0, log.first - 1 - last));
    if (offset < log.first - 1) return gap("trimmed", log.first - 1, log.first - 1 - offset);
    const present = this.#position(channel, offset).slice(38);
    return tag !== "--------" && present !== "--------" && tag !== present ? gap("truncated", offset, null) : null;
  }

  #subscribe(pipe: FakePipe, channel: string, from: string, id: number | undefined): void {
    const code = this.faults.forbidden.get(channel);
    if (code) {
      this.#write(pipe, { type: "error", code, message: code, channel, id } as ServerFrame);
      return;
    }
    const position = this.#start(channel, from);
    pipe.readers.set(channel, { position, epoch: position.slice(0, 20), live: false });
    this.#write(pipe, { type: "subscribed", channel, position, ...(id === undefined ? {} : { id }) });
    this.#feed(pipe, channel);
  }

  #feed(pipe: FakePipe, channel: string): void {
    const reader = pipe.readers.get(channel)!;
    const gap = this.#gap(channel, reader.position);
    if (gap?.type === "gap") {
      reader.position = gap.resumeFrom;
      reader.epoch = gap.resumeFrom.slice(0, 20);
      this.#write(pipe, gap);
    }
    for (const entry of this.#log(channel).entries) {
      if (entry.offset <= Number(reader.position.slice(21, 37))) continue;
      const position = this.#position(channel, entry.offset);
      const epoch = position.slice(0, 20);
      if (epoch !== reader.epoch) this.#write(pipe, { type: "epoch", channel, epoch });
      reader.position = position;
      reader.epoch = epoch;
      const { offset, tag, at, event, data } = entry;
      const head = { channel, id: `${offset}.${tag}`, at, ...(event === "message" ? {} : { event }) };
      if (!(data instanceof Uint8Array)) this.#write(pipe, { ...head, data });
      else if (pipe.transport === "websocket") this.#write(pipe, packBinary(JSON.stringify(head), data));
      else this.#write(pipe, { ...head, data: Buffer.from(data).toString("base64"), encoding: "base64" });
    }
    if (!reader.live) this.#write(pipe, { type: "live", channel });
    reader.live = true;
  }

  #write(pipe: FakePipe, frame: ServerFrame | Uint8Array): void {
    if (this.faults.held) pipe.queue.push(frame);
    else pipe.write(frame);
  }

  #connected(): ServerFrame {
    const { heartbeatSeconds, retryMs } = this;
    const limits = { messageBytesMax: 1_048_576, connectionChannelsMax: 100 };
    return { type: "connected", connection: `c${++this.#made}`, heartbeatSeconds, retryMs, limits };
  }

  /** One publish, from a frame or an envelope. */
  #store(envelope: { channel: string; event?: string; data: unknown; encoding?: string; key?: string }): Record<string, unknown> {
    const error = this.faults.publishErrors.shift();
    if (error) return { error };
    const data = envelope.encoding === "base64" ? decodeBase64(envelope.data as string) : envelope.data;
    const { offset, duplicate } = this.publish(envelope.channel, data, { event: envelope.event ?? "message", key: envelope.key });
    return { position: this.#position(envelope.channel, offset), level: "memory", ...(duplicate ? { duplicate } : {}) };
  }

  async #fetch(url: URL, init: RequestInit): Promise<Response> {
    init.signal?.throwIfAborted();
    const { method = "GET", signal } = init;
    const path = decodeURIComponent(url.pathname) + url.search;
    const headers = new Headers(init.headers);
    const token = headers.get("Authorization");
    this.calls.push(`${method} ${path}`);
    this.tokens.push(token);
    const gone = new Promise<never>((_, reject) => {
      if (signal?.aborted) reject(signal.reason);
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
    gone.catch(() => {});
    await Promise.race([Promise.resolve(), gone]);
    const refused = this.faults.refuse?.(method, path) ?? null;
    if (refused === "network") throw new TypeError("fetch failed");
    if (refused === "hang") return gone;
    if (refused) return new Response(refused.body === undefined ? null : JSON.stringify(refused.body), refused);
    const body = init.body ? JSON.parse(String(init.body)) : null;
    if (url.pathname === "/events") {
      const wait = url.searchParams.get("wait");
      return wait === null ? this.#stream(body, token, signal) : this.#poll(body, token, Number(wait), gone);
    }
    if (url.pathname === "/publish") {
      const results = body.map((envelope: never) => this.#store(envelope));
      if (this.faults.loseAcks) throw new TypeError("fetch failed");
      return Response.json(results);
    }
    if (url.pathname.startsWith("/channels/"))
      return Response.json(this.#page(decodeURIComponent(url.pathname.slice(10)), url.searchParams));
    this.received.push({ path, body });
    if (url.pathname.startsWith("/requests/")) return Response.json({ asked: body });
    return url.pathname.startsWith("/signals/") ? new Response(null, { status: 202 }) : new Response(null, { status: 404 });
  }

  #stream(
    body: { channels: { name: string; from: string; id: number }[] },
    token: string | null,
    signal: AbortSignal | null | undefined,
  ): Response {
    const encoder = new TextEncoder();
    let pipe: FakePipe;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const close = (act: () => void): void => {
          if (this.pipes.delete(pipe)) act();
        };
        pipe = {
          transport: "sse",
          token,
          readers: new Map(),
          queue: [],
          write: (frame) => this.faults.buffered || controller.enqueue(encoder.encode(`data: ${JSON.stringify(frame)}\n\n`)),
          end: () => close(() => controller.close()),
        };
        signal?.addEventListener("abort", () => close(() => controller.error(signal.reason)));
        this.pipes.add(pipe);
        this.#write(pipe, this.#connected());
        for (const { name, from, id } of body.channels) this.#subscribe(pipe, name, from, id);
      },
    });
    return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
  }

  async #poll(
    body: { channels: { name: string; from: string; id: number }[] },
    token: string | null,
    wait: number,
    gone: Promise<never>,
  ): Promise<Response> {
    const frames: ServerFrame[] = [];
    let cut = (_: unknown): void => {};
    const broken = new Promise<never>((_, reject) => {
      cut = reject;
    });
    broken.catch(() => {});
    const pipe: FakePipe = {
      transport: "long-poll",
      token,
      readers: new Map(),
      queue: [],
      write: (frame) => frames.push(frame as ServerFrame),
      end: () => cut(new TypeError("fetch failed")),
    };
    this.pipes.add(pipe);
    try {
      for (const { name, from, id } of body.channels) this.#subscribe(pipe, name, from, id);
      const something = (): boolean => frames.some(({ type }) => type !== "subscribed" && type !== "live");
      while (wait > 0 && !something()) {
        await Promise.race([new Promise<void>((resolve) => this.#waiting.add(resolve)), gone, broken]);
        this.#waiting.clear();
      }
      return Response.json({ frames });
    } finally {
      this.pipes.delete(pipe);
    }
  }

  #page(channel: string, query: URLSearchParams): object {
    const log = this.#log(channel);
    const limit = Number(query.get("limit") ?? 100);
    const before = query.get("before");
    let position = this.#start(channel, query.get("from") ?? "start");
    if (before) position = this.#position(channel, Math.max(log.first - 1, Number(before.slice(21, 37)) - 1 - limit));
    const gap = this.#gap(channel, position);
    if (gap?.type === "gap") position = gap.resumeFrom;
    const after = Number(position.slice(21, 37));
    const end = before ? Number(before.slice(21, 37)) : Number.POSITIVE_INFINITY;
    const entries = log.entries.filter(({ offset }) => offset > after && offset < end).slice(0, limit);
    const messages = entries.map(({ offset, at, event, data }) => ({ position: this.#position(channel, offset), at, event, data }));
    const last = entries.at(-1)?.offset ?? after;
    return {
      channel,
      messages,
      ...(gap ? { gap } : {}),
      position: this.#position(channel, last),
      upToDate: last === log.first + log.entries.length - 1,
    };
  }

  /** @internal */
  accept(socket: FakeSocket, protocols: string[]): void {
    this.calls.push("GET /socket");
    const bearer = protocols.find((one) => one.startsWith("throughline.bearer."))?.slice(19) ?? null;
    const token = bearer && Buffer.from(bearer, "base64url").toString();
    this.tokens.push(token);
    if (this.faults.noWebSocket) {
      socket.shut();
      return;
    }
    const pipe: FakePipe = {
      transport: "websocket",
      token,
      readers: new Map(),
      queue: [],
      write: (frame) => socket.bring(frame instanceof Uint8Array ? frame.slice().buffer : JSON.stringify(frame)),
      end: () => {
        if (this.pipes.delete(pipe)) socket.shut();
      },
    };
    this.pipes.add(pipe);
    socket.open(pipe);
    this.#write(pipe, this.#connected());
  }

  /** @internal */
  hear(pipe: FakePipe, text: string): void {
    const frame = JSON.parse(text);
    const { id, channel } = frame;
    this.received.push(frame);
    if (frame.type === "subscribe") this.#subscribe(pipe, channel, frame.from ?? "now", id);
    if (frame.type === "unsubscribe") pipe.readers.delete(channel);
    if (frame.type === "ping") this.#write(pipe, { type: "heartbeat" });
    if (frame.type === "request") this.#write(pipe, { type: "response", id, data: { asked: frame.data } });
    if (frame.type !== "publish") return;
    const { error, ...stored } = this.#store(frame);
    if (this.faults.loseAcks) pipe.end();
    else this.#write(pipe, (error ? { type: "error", id, channel, ...(error as object) } : { type: "ack", id, ...stored }) as ServerFrame);
  }
}

class FakeSocket implements WebSocketLike {
  binaryType = "blob";
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly #server: FakeServer;
  #pipe: FakePipe | null = null;

  constructor(server: FakeServer, url: string, protocols: string[]) {
    this.#server = server;
    if (!/^wss?:\/\/.+\/socket$/.test(url)) throw new SyntaxError(`not a socket's URL: ${url}`);
    queueMicrotask(() => this.readyState === 0 && server.accept(this, protocols));
  }

  open(pipe: FakePipe): void {
    this.#pipe = pipe;
    this.readyState = 1;
    this.onopen?.({} as never);
  }

  bring(data: string | ArrayBuffer): void {
    if (this.readyState === 1) this.onmessage?.({ data } as never);
  }

  send(data: string): void {
    const pipe = this.#pipe!;
    queueMicrotask(() => this.#server.pipes.has(pipe) && this.#server.hear(pipe, data));
  }

  shut(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => {
      this.onerror?.({} as never);
      this.onclose?.({} as never);
    });
  }

  close(): void {
    if (this.#pipe) this.#server.pipes.delete(this.#pipe);
    this.shut();
  }
}
