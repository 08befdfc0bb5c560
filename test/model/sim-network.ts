import type { WebSocketClass, WebSocketLike } from "../../src/client/system.ts";
import type { Chance } from "./sim-chance.ts";
import { Frames } from "./sim-frames.ts";
import { Line } from "./sim-line.ts";
import { newOwner, type Owner, type Time } from "./sim-time.ts";

/** A request as it comes to a server. */
export interface Asked {
  readonly method: string;
  /** Path and query below the mount point. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A whole answer, as a server gives it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a line leads to. */
export interface Target {
  readonly isUp: boolean;
  /** Answers by `answer`, or, for a stream, by `open` and then by what it writes to the line. */
  serve(line: Line, asked: Asked, client: HttpClient): void;
  /** Answers by `accept`, or by ending the line. */
  upgrade(line: Line, protocols: readonly string[], accept: () => void, client: SocketClient): void;
}

export interface HttpClient {
  answer(answer: Answer): void;
  open(headers: Readonly<Record<string, string>>): void;
}

export interface SocketClient {
  /** It answered a ping. */
  onPong: () => void;
  /** It sent a message. */
  onMessage: (text: string) => void;
}

/** How one client reaches the servers now. */
export interface Access {
  target: () => Target;
  latencyMs: number;
  bytesPerMs: number;
  isOffline: boolean;
  /** The client's process has died. What it had begun may still go on inside of it, and comes to nothing. */
  isGone: boolean;
  /** WebSockets get through; are refused; are accepted and cut at once; are accepted and carry nothing; get no answer. */
  webSocket: "open" | "refused" | "dies" | "deaf" | "hangs";
  /** Its connections. */
  readonly lines: Set<Line>;
}

/** Between clients and servers: what `fetch` and `WebSocket` of the clients go through. */
export class Network {
  readonly lines = new Map<Line, Target>();
  readonly owner: Owner = newOwner();
  readonly #time: Time;
  readonly #chance: Chance;

  constructor(time: Time, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
  }

  #dial(access: Access): Line | null {
    const target = access.target();
    if (access.isOffline || !target.isUp) return null;
    const { latencyMs, bytesPerMs } = access;
    const line = new Line({
      time: this.#time,
      network: this.owner,
      chance: this.#chance,
      latencyMs,
      bytesPerMs,
      onOver: () => {
        this.lines.delete(line);
        access.lines.delete(line);
      },
    });
    this.lines.set(line, target);
    access.lines.add(line);
    return line;
  }

  /** The function that a client is given as its `fetch`. */
  fetchOf(access: Access): typeof fetch {
    return (input, init = {}) =>
      new Promise((resolve, reject) => {
        if (access.isGone) return;
        const { signal } = init;
        if (signal?.aborted) {
          reject(signal.reason);
          return;
        }
        const line = this.#dial(access);
        if (line === null) {
          this.#refuse(access, () => reject(new TypeError("fetch failed")));
          return;
        }
        let body: ReadableStreamDefaultController<Uint8Array> | null = null;
        const fail = (error: unknown): void => {
          if (body === null) reject(error);
          else body.error(error);
          body = null;
        };
        signal?.addEventListener("abort", () => {
          line.leave();
          fail(signal.reason);
        });
        line.receiver = {
          bytes: (bytes) => body?.enqueue(bytes),
          end() {
            if (body === null) reject(new TypeError("fetch failed"));
            else body.close();
            body = null;
          },
          cut: () => fail(new TypeError("fetch failed")),
        };
        const stream = (): ReadableStream<Uint8Array> =>
          new ReadableStream({
            start(controller) {
              body = controller;
            },
            cancel: () => line.leave(),
          });
        const client: HttpClient = {
          answer({ status, headers, body: text }) {
            line.mark((whole) => {
              const { signal: _, ...own } = { signal, ...headers };
              if (whole) {
                resolve(new Response(text === "" ? null : text, { status, headers: own }));
                line.leave();
                return;
              }
              const response = new Response(stream(), { status, headers: own });
              body?.enqueue(Buffer.from(text.slice(0, text.length / 2)));
              resolve(response);
            });
          },
          open(headers) {
            line.mark((whole) => {
              if (!whole) return;
              line.isStream = true;
              resolve(new Response(stream(), { headers: { ...headers } }));
            });
          },
        };
        const url = new URL(String(input));
        const asked: Asked = {
          method: init.method ?? "GET",
          url: url.pathname + url.search,
          headers: lowered(init.headers as Record<string, string> | undefined),
          body: (init.body as string | undefined) ?? "",
        };
        const target = this.lines.get(line)!;
        line.up(() => target.serve(line, asked, client));
      });
  }

  /** The class that a client is given as its `WebSocket`. */
  webSocketOf(access: Access): WebSocketClass {
    const network = this;
    return class extends VirtualSocket {
      constructor(_url: string, protocols: string[]) {
        super();
        if (access.isGone) return;
        const line = access.webSocket === "refused" ? null : network.#dial(access);
        if (line === null) {
          network.#refuse(access, () => this.shut());
          return;
        }
        this.begin(line);
        const target = network.lines.get(line)!;
        const { webSocket } = access;
        if (webSocket === "hangs") return;
        line.up(() =>
          target.upgrade(
            line,
            protocols,
            () => {
              line.mark((whole) => whole && this.opened());
              if (webSocket === "dies") network.#time.after(network.#chance.between(0, 40), () => line.cut(), network.owner);
              if (webSocket === "deaf")
                network.#time.after(network.#chance.between(0, 40), () => line.cutSilently("nobody"), network.owner);
            },
            this,
          ),
        );
      }
    };
  }

  #refuse({ latencyMs }: Access, act: () => void): void {
    this.#time.after(latencyMs, act, this.owner);
  }
}

/** A WebSocket as a client sees it: RFC 6455's frames out of the bytes of a line. */
class VirtualSocket implements WebSocketLike, SocketClient {
  binaryType = "blob";
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  onPong = (): void => {};
  onMessage: (text: string) => void = () => {};
  #line: Line | null = null;

  begin(line: Line): void {
    this.#line = line;
    const frames = new Frames({
      message: (data) => this.readyState === 1 && this.onmessage?.({ data } as never),
      ping: () => line.up(() => this.onPong()),
      close: () => this.close(),
    });
    line.receiver = { bytes: (bytes) => frames.push(bytes), end: () => this.shut(), cut: () => this.shut() };
  }

  opened(): void {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.#line!.isStream = true;
    this.onopen?.({} as never);
  }

  send(text: string): void {
    if (this.readyState === 1) this.#line?.up(() => this.onMessage(text));
  }

  /** As a browser's does, in which `close` is told later and not in the middle of the call. */
  close(): void {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.#line?.leave();
    queueMicrotask(() => this.shut());
  }

  shut(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({} as never);
  }
}

function lowered(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
