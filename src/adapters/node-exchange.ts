import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Exchange, Stream, StreamOwner } from "../transports/exchange.ts";
import { DISCARD_BYTES_MAX, endAfterBody } from "./end-after-body.ts";
import { EncodedStream, NodeStream } from "./node-stream.ts";

/** A request of node:http, or of http2's compatibility layer, and its answer. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** Where a socket keeps the answers that wait behind the one that is being given (RFC 9112 §9.3.2). node:http takes such requests without end. */
const WAITING = Symbol("throughline.waiting");

type Line = Socket & { [WAITING]?: Set<ServerResponse> };

/** RFC 9113 §8.2.2: what HTTP/2 knows by other means. */
const HTTP1_ONLY = new Set(["connection", "upgrade"]);

export class NodeExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly url: string;
  readonly ahead: number;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;
  readonly #limits: Pick<Limits, "stalledSecondsMax">;

  /** `url` is what stands below the mount point. */
  constructor(req: NodeRequest, res: NodeResponse, url: string, limits: Pick<Limits, "stalledSecondsMax">) {
    const mark = url.indexOf("?");
    this.method = req.method ?? "GET";
    this.url = url;
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    // What the two have in common is all that is used, but for `#http2`.
    this.#req = req as IncomingMessage;
    this.#res = res as ServerResponse;
    this.#limits = limits;
    this.ahead = this.#http2 === undefined && res.socket === null ? wait(this.#req.socket, this.#res) : 0;
  }

  get address(): string {
    // The socket of an HTTP/2 session that has gone throws.
    return this.#http2?.destroyed ? "" : (this.#req.socket?.remoteAddress ?? "");
  }

  header(name: string): string | null {
    return headerOf(this.#req, name);
  }

  body(bytesMax: number): Promise<Uint8Array> {
    return readBody(this.#req, bytesMax);
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: string): void {
    const res = this.#res;
    if (res.headersSent || this.#gone) return;
    // RFC 9110 §8.6: no Content-Length with 204.
    this.#writeHead(status, status === 204 ? headers : { ...headers, "content-length": String(Buffer.byteLength(body)) });
    const cut = () => res.setTimeout(this.#limits.stalledSecondsMax * 1_000, () => res.destroy());
    // As text, which goes out with the head: of bytes that wait behind another answer node:http puts its own `100 Continue` between the two.
    const text = this.method === "HEAD" ? "" : body;
    if (this.#http2 !== undefined) {
      cut();
      res.end(text);
    } else endAfterBody(this.#req, res, text);
    // What the kernel has not taken at once waits for a client that may never read it
    if (this.#http2 === undefined && (res.socket === null || res.socket.writableLength > 0)) cut();
  }

  stream(headers: Readonly<Record<string, string>>, owner: StreamOwner): Stream | null {
    const res = this.#res;
    if (res.headersSent || this.#gone) return null;
    const { socket } = res;
    const http2 = this.#http2;
    if (http2 === undefined) {
      // On a pipelined connection the socket is still another response's: it would get these bytes.
      if (socket === null || socket.destroyed) {
        res.destroy();
        return null;
      }
      // Delimited by close: no chunk framing, so the bytes are the same for every reader, and no proxy holds an event back.
      res.useChunkedEncodingByDefault = false;
      res.shouldKeepAlive = false;
    }
    this.#writeHead(200, headers);
    res.flushHeaders();
    socket?.setTimeout(0);
    // Whoever sent a body that nobody reads would not be seen to leave.
    this.#req.resume();
    // A middleware that encodes the body must see it; all others are passed by.
    if ((res.getHeader("content-encoding") ?? "identity") !== "identity") return new EncodedStream(res, owner);
    return new NodeStream(http2 ?? socket!, res, owner);
  }

  onGone(act: () => void): void {
    // Later, as if it had gone just now: who asks is in the middle of something.
    if (this.#gone) queueMicrotask(act);
    else this.#res.once("close", act);
  }

  get #http2(): ServerHttp2Stream | undefined {
    return (this.#res as unknown as Partial<Http2ServerResponse>).stream;
  }

  get #gone(): boolean {
    return this.#res.destroyed || this.#res.writableEnded || this.#http2?.destroyed === true;
  }

  #writeHead(status: number, headers: Readonly<Record<string, string>>): void {
    const res = this.#res;
    const http2 = this.#http2 !== undefined;
    const own = Object.entries(headers).filter(([name]) => !(http2 && HTTP1_ONLY.has(name)));
    // A middleware that looks at the head when it is written sees what was set. All at once is for the others: what is set is kept as long as
    // the response, 0.6 kB for each reader (measured).
    if (!Object.hasOwn(res, "writeHead") && res.getHeaderNames().length === 0) {
      res.writeHead(status, Object.fromEntries(own));
      return;
    }
    for (const [name, value] of own) res.setHeader(name, value);
    res.writeHead(status);
  }
}

/** How many requests this one waits for: until it is answered it counts as one for those behind it. */
function wait(line: Line, res: ServerResponse): number {
  const waiting = line[WAITING] ?? new Set();
  if (line[WAITING] === undefined) {
    line[WAITING] = waiting;
    // node:http tells only the answer whose turn it is that its connection has gone
    line.once("close", () => {
      for (const one of waiting) one.destroy().emit("close");
    });
  }
  waiting.add(res);
  res.once("close", () => waiting.delete(res));
  return waiting.size;
}

/** A header as one text. */
export function headerOf(req: IncomingMessage, name: string): string | null {
  const value: unknown = req.headers[name] ?? (name === "host" ? req.headers[":authority"] : undefined);
  return typeof value === "string" ? value : Array.isArray(value) ? value.join(", ") : null;
}

function readBody(req: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const parsed = (req as { body?: unknown }).body;
  if (parsed !== undefined && (req.readableEnded || req.readableDidRead)) return parsedBody(req, parsed, bytesMax);
  return new Promise((resolve, reject) => {
    const end = () => reject(new ThroughlineError("bad_request", "The request ended before its body did, or something else has read it."));
    if (req.readableEnded && !req.readableDidRead) return resolve(new Uint8Array(0));
    if (req.destroyed || req.readableEnded) return end();
    const refuse = () => reject(new ThroughlineError("too_large", `The body is larger than ${bytesMax} bytes. Nothing was stored.`));
    const chunks: Buffer[] = [];
    let bytes = 0;
    if (Number(req.headers["content-length"]) > bytesMax) refuse();
    req.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      chunks.length = 0;
      refuse();
      if (bytes > bytesMax + DISCARD_BYTES_MAX) req.destroy();
    });
    req.once("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    req.once("close", end);
    req.once("error", end);
  });
}

/** A framework's body parser was here first: it left bytes, a text, or the value of a JSON text. Of anything else (a form, say) the body is lost. */
async function parsedBody(req: IncomingMessage, body: unknown, bytesMax: number): Promise<Uint8Array> {
  const length = req.headers["content-length"];
  if (length === "0") return new Uint8Array(0);
  let bytes: Uint8Array;
  if (body instanceof Uint8Array) bytes = body;
  else {
    const isJson = /^[^;]*[/+]json\b/i.test(req.headers["content-type"] ?? "");
    const isText = typeof body === "string" && (!isJson || Buffer.byteLength(body) === Number(length));
    if (!isText && !isJson) {
      throw new ThroughlineError("unsupported_media", "A body parser of the application has read this body. Send JSON, text or bytes.");
    }
    bytes = Buffer.from(isText ? body : JSON.stringify(body));
  }
  if (bytes.length <= bytesMax) return bytes;
  throw new ThroughlineError("too_large", `The body is larger than ${bytesMax} bytes. Nothing was stored.`);
}
