import { createHash } from "node:crypto";
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ERRORS, ThroughlineError } from "../protocol/error.ts";
import { byeFrame, tellable } from "../transports/answer.ts";
import type { Endpoint } from "../transports/endpoint.ts";
import { bearerOf, credentialsOf } from "../transports/endpoint.ts";
import { closeFrame, textFrame } from "../wire/websocket.ts";
import { AcceptedSocket, cutLater } from "./accepted-socket.ts";
import { headerOf } from "./node-exchange.ts";

const PROTOCOL = "throughline";
const BEARER = "throughline.bearer.";

/** RFC 6455 §4.2.2: what a key is joined with to show that its receiver speaks WebSocket. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** 16 bytes as base64 (§4.1), and the names of RFC 9110 §5.6.2. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Accepts WebSockets for an endpoint: the handshake of RFC 6455 §4.2. No extension is negotiated (PROTOCOL.md §5). */
export class SocketAcceptor {
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
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
      const exchange = {
        header,
        url,
        get address() {
          return req.socket.remoteAddress ?? "";
        },
      };
      const token = bearerOf(exchange) ?? offeredToken(header("sec-websocket-protocol"));
      const { pipe, channels } = await this.#endpoint.socket(credentialsOf(exchange, token), query);
      if (socket.destroyed) return;
      answerHandshake(req, socket);
      socket.off("error", destroyThis);
      pipe.open(new AcceptedSocket(socket, head, pipe, this.#endpoint.hub.limits.bodyBytesMax), channels);
    } catch (thrown) {
      const error = tellable(thrown, (sentence) => this.#endpoint.hub.warn(sentence));
      // A page is not shown the answer to an upgrade, and would try again for ever: our client is let in to be told.
      if (UNKNOWN.has(error.code) && offersProtocol(header("sec-websocket-protocol"))) {
        answerHandshake(req, socket);
        dismiss(socket, error);
      } else refuse(socket, error);
    }
  }
}

/** What a client can mend by a fresh token. */
const UNKNOWN: ReadonlySet<string> = new Set(["unauthenticated", "expired"]);

/**
 * Says why, and closes. The socket ends only once the other end has answered, or given up (RFC 6455 §7.1.1): a browser that sees the end
 * right behind the close frame may drop what came before it (Firefox lost the reason in 139 of 150 attempts, and its client came back).
 */
function dismiss(socket: Duplex, error: ThroughlineError): void {
  const end = () => socket.end();
  socket.once("data", end).once("end", end);
  cutLater(socket);
  socket.write(Buffer.concat([textFrame(JSON.stringify(byeFrame(error))), closeFrame(ERRORS[error.code].close, error.code)]));
}

function answerHandshake({ headers }: IncomingMessage, socket: Duplex): void {
  const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${GUID}`).digest("base64");
  const protocol = offersProtocol(headers["sec-websocket-protocol"] ?? null) ? `Sec-WebSocket-Protocol: ${PROTOCOL}\r\n` : "";
  const tcp = socket as Partial<Socket> & Duplex;
  tcp.setTimeout?.(0);
  tcp.setNoDelay?.(true);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${protocol}\r\n`,
  );
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
  if (!KEY.test(headers["sec-websocket-key"] ?? "")) {
    throw new ThroughlineError(
      "bad_request",
      "This is no WebSocket handshake: its Sec-WebSocket-Key is not 16 bytes as base64 (RFC 6455 §4.1).",
    );
  }
  const protocols = headers["sec-websocket-protocol"];
  if (protocols !== undefined && !protocols.split(",").every((offered) => TOKEN.test(offered.trim()))) {
    throw new ThroughlineError(
      "bad_request",
      "This is no WebSocket handshake: Sec-WebSocket-Protocol is not a list of names (RFC 6455 §4.1).",
    );
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
  endSoon(socket, Buffer.concat([Buffer.from(head), body]));
}

/** The last bytes. Closed at once, what the client has sent meanwhile would answer them with a reset, and they would be lost. */
function endSoon(socket: Duplex, bytes: Uint8Array): void {
  cutLater(socket);
  socket.resume();
  socket.end(bytes);
}

/** No closure: one made in `accept` would keep the whole request for as long as the socket lives (1.7 kB of heap each, measured). */
function destroyThis(this: Duplex): void {
  this.destroy();
}

function offeredToken(protocols: string | null): string | null {
  for (const offered of (protocols ?? "").split(",")) {
    const name = offered.trim();
    if (name.startsWith(BEARER)) return Buffer.from(name.slice(BEARER.length), "base64url").toString("utf8");
  }
  return null;
}
