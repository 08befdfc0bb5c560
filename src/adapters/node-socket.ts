import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import { ERRORS, type ThroughlineError } from "../protocol/error.ts";
import { tellable } from "../transports/answer.ts";
import type { Endpoint } from "../transports/endpoint.ts";
import { credentialsOf } from "../transports/endpoint.ts";
import type { Socket, SocketPipe } from "../transports/websocket.ts";
import { headerOf } from "./node-exchange.ts";
import { NodeStream } from "./node-stream.ts";

const PROTOCOL = "throughline";
const BEARER = "throughline.bearer.";
const PIPE = Symbol("throughline.pipe");

type Owned = WebSocket & { [PIPE]: SocketPipe };

/** Accepts WebSockets for an endpoint. `ws` does the handshake and reads frames (RFC 6455); what goes out is written to the socket whole. */
export class SocketAcceptor {
  readonly #endpoint: Endpoint;
  readonly #server: WebSocketServer;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Compression is asynchronous and would break the order with frames that are written past it.
      perMessageDeflate: false,
      maxPayload: endpoint.hub.limits.bodyBytesMax,
      handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
    });
  }

  /** `url` is what stands below the mount point, its path being ours. */
  async accept(req: IncomingMessage, socket: Duplex, head: Buffer, url: string): Promise<void> {
    // Before anything else: a socket that breaks while its permission is asked must not end the process.
    socket.on("error", () => socket.destroy());
    const header = (name: string) => headerOf(req, name);
    const asked = credentialsOf({ header, url, address: req.socket.remoteAddress ?? "" });
    const mark = url.indexOf("?");
    const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    try {
      const token = asked.token ?? bearerOf(header("sec-websocket-protocol"));
      const { pipe, channels } = await this.#endpoint.socket({ ...asked, token, query });
      if (socket.destroyed) return;
      this.#server.handleUpgrade(req, socket, head, (ws) => open(ws, socket, pipe, channels));
    } catch (error) {
      refuse(
        socket,
        tellable(error, (sentence) => this.#endpoint.hub.warn(sentence)),
      );
    }
  }
}

/** Answers an upgrade with an error of PROTOCOL.md §11, and closes: what follows on the connection could be anything. */
export function refuse(socket: Duplex, { code, message }: ThroughlineError): void {
  const { status } = ERRORS[code];
  const body = Buffer.from(JSON.stringify({ error: { code, message } }));
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  socket.end(Buffer.concat([Buffer.from(head), body]));
}

function open(ws: WebSocket, socket: Duplex, pipe: SocketPipe, channels: readonly { channel: string; from: string }[]): void {
  (ws as Owned)[PIPE] = pipe;
  ws.on("message", onMessage);
  ws.on("pong", onPong);
  // A protocol error is answered by `ws` with its close code; `close` follows.
  ws.on("error", ignore);
  const stream = new SocketStream(ws, socket, pipe);
  const accepted: Socket = {
    stream,
    close: (code, reason) => ws.close(code, reason),
    pause: () => ws.pause(),
    resume: () => ws.resume(),
  };
  pipe.open(accepted, channels);
}

/** No byte may follow a close frame (RFC 6455 §5.5.1), and `ws` answers one by itself. */
class SocketStream extends NodeStream {
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
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  const bytes = data as Buffer;
  (this as Owned)[PIPE].message(isBinary ? bytes : bytes.toString("utf8"));
}

function onPong(this: WebSocket): void {
  (this as Owned)[PIPE].pong();
}

function ignore(): void {}

function bearerOf(protocols: string | null): string | null {
  for (const offered of (protocols ?? "").split(",")) {
    const name = offered.trim();
    if (name.startsWith(BEARER)) return Buffer.from(name.slice(BEARER.length), "base64url").toString("utf8");
  }
  return null;
}
