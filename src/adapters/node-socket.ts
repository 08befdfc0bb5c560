import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import { ERRORS, ThroughlineError } from "../protocol/error.ts";
import { byeFrame, tellable } from "../transports/answer.ts";
import type { Endpoint } from "../transports/endpoint.ts";
import { credentialsOf } from "../transports/endpoint.ts";
import type { Socket, SocketPipe } from "../transports/websocket.ts";
import { headerOf } from "./node-exchange.ts";
import { END_MS_MAX, NodeStream } from "./node-stream.ts";

const PROTOCOL = "throughline";
const BEARER = "throughline.bearer.";
const PIPE = Symbol("throughline.pipe");

/** A message in more parts than these is nobody's honest message: each part costs more than its bytes (CVE-2026-48779 of `ws`). */
const FRAGMENTS_MAX = 1_024;
const CHUNKS_MAX = 16_384;

type Owned = WebSocket & { [PIPE]: SocketPipe };

/** Accepts WebSockets for an endpoint. `ws` does the handshake and reads frames (RFC 6455); what goes out is written to the socket whole. */
export class SocketAcceptor {
  readonly #endpoint: Endpoint;
  readonly #server: WebSocketServer;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    const options = {
      noServer: true,
      clientTracking: false,
      // Compression is asynchronous and would break the order with frames that are written past it.
      perMessageDeflate: false,
      maxPayload: endpoint.hub.limits.bodyBytesMax,
      maxFragments: FRAGMENTS_MAX,
      maxBufferedChunks: CHUNKS_MAX,
      closeTimeout: END_MS_MAX,
      handleProtocols: (offered: Set<string>) => (offered.has(PROTOCOL) ? PROTOCOL : false),
    };
    this.#server = new WebSocketServer(options);
    this.#server.on("wsClientError", ({ message }: Error, socket: Duplex) => {
      refuse(socket, new ThroughlineError("bad_request", `This is no WebSocket handshake: ${message}.`));
    });
  }

  /** `url` is what stands below the mount point, its path being ours. */
  async accept(req: IncomingMessage, socket: Duplex, head: Buffer, url: string): Promise<void> {
    // Before anything else: a socket that breaks while its permission is asked must not end the process.
    socket.on("error", destroyThis);
    const header = (name: string) => headerOf(req, name);
    const mark = url.indexOf("?");
    const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    try {
      checkHandshake(req);
      const asked = credentialsOf({ header, url, address: req.socket.remoteAddress ?? "" });
      const token = asked.token ?? bearerOf(header("sec-websocket-protocol"));
      const { pipe, channels } = await this.#endpoint.socket({ ...asked, token, query });
      if (socket.destroyed) return;
      this.#server.handleUpgrade(req, socket, head, (ws) => open(ws, socket, pipe, channels));
    } catch (thrown) {
      const error = tellable(thrown, (sentence) => this.#endpoint.hub.warn(sentence));
      // A page is not shown the answer to an upgrade, and would try again for ever: our client is let in to be told.
      if (UNKNOWN.has(error.code) && offersProtocol(header("sec-websocket-protocol"))) {
        this.#server.handleUpgrade(req, socket, head, (ws) => dismiss(ws, error));
      } else refuse(socket, error);
    }
  }
}

/** What a client can mend by a fresh token. */
const UNKNOWN: ReadonlySet<string> = new Set(["unauthenticated", "expired"]);

/** Says why, and closes. */
function dismiss(ws: WebSocket, error: ThroughlineError): void {
  ws.on("error", ignore);
  ws.send(JSON.stringify(byeFrame(error)));
  ws.close(ERRORS[error.code].close, error.code);
}

function offersProtocol(protocols: string | null): boolean {
  return (protocols ?? "").split(",").some((offered) => offered.trim() === PROTOCOL);
}

/** RFC 6455 §4.2.1, as far as we answer it in our own words. */
function checkHandshake({ method, headers }: IncomingMessage): void {
  if (method !== "GET") throw new ThroughlineError("method_not_allowed", `A WebSocket is opened by GET, not by ${method}.`);
  if (headers.upgrade?.toLowerCase() !== "websocket" || headers["sec-websocket-version"] !== "13") {
    throw new ThroughlineError("upgrade_required", "This path speaks WebSocket of version 13 (RFC 6455) only. Or use /events.");
  }
}

/** What an answer must say beside its code: RFC 9110 §15.5.6, §15.5.22 and RFC 6455 §4.4. */
const TELLS: Readonly<Record<string, string>> = {
  method_not_allowed: "Allow: GET\r\n",
  upgrade_required: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
};

/** Answers an upgrade with an error of PROTOCOL.md §11, and closes: what follows on the connection could be anything. */
export function refuse(socket: Duplex, { code, message, retryAfterMs }: ThroughlineError): void {
  const { status } = ERRORS[code];
  const body = Buffer.from(JSON.stringify({ error: { code, message } }));
  const retry = retryAfterMs === undefined ? "" : `Retry-After: ${Math.ceil(retryAfterMs / 1_000)}\r\n`;
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n` +
    `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n${TELLS[code] ?? ""}${retry}Connection: close\r\n\r\n`;
  // Closed at once, what the client has sent meanwhile would answer it with a reset, and the answer would be lost.
  const timer = setTimeout(() => socket.destroy(), END_MS_MAX);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
  socket.end(Buffer.concat([Buffer.from(head), body]));
}

function open(ws: WebSocket, socket: Duplex, pipe: SocketPipe, channels: readonly { channel: string; from: string }[]): void {
  (ws as Owned)[PIPE] = pipe;
  ws.on("message", onMessage);
  ws.on("pong", onPong);
  // A protocol error is answered by `ws` with its close code; `close` follows.
  ws.on("error", ignore);
  pipe.open(new AcceptedSocket(ws, socket, pipe), channels);
}

/** No byte may follow a close frame (RFC 6455 §5.5.1), and `ws` answers one by itself. */
class AcceptedSocket extends NodeStream implements Socket {
  readonly #ws: WebSocket;

  constructor(ws: WebSocket, socket: Duplex, pipe: SocketPipe) {
    super(socket, ws as unknown as { end(): unknown }, pipe);
    this.#ws = ws;
  }

  override write(bytes: Uint8Array): void {
    if (this.#ws.readyState === WebSocket.OPEN) super.write(bytes);
  }

  override end(): void {
    this.#ws.close(1000);
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  pause(): void {
    this.#ws.pause();
  }

  resume(): void {
    this.#ws.resume();
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  const bytes = data as Buffer;
  (this as Owned)[PIPE].message(isBinary ? bytes : bytes.toString("utf8"));
}

function onPong(this: WebSocket): void {
  (this as Owned)[PIPE].pong();
}

function ignore(): void {}

/** No closure: one made in `accept` would keep the whole request for as long as the socket lives (1.7 kB of heap each, measured). */
function destroyThis(this: Duplex): void {
  this.destroy();
}

function bearerOf(protocols: string | null): string | null {
  for (const offered of (protocols ?? "").split(",")) {
    const name = offered.trim();
    if (name.startsWith(BEARER)) return Buffer.from(name.slice(BEARER.length), "base64url").toString("utf8");
  }
  return null;
}
