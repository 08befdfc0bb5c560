import type { IncomingMessage, ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import { ThroughlineError } from "../protocol/error.ts";
import type { Exchange, Stream, StreamOwner } from "../transports/exchange.ts";
import { NodeStream } from "./node-stream.ts";

/** How much of a body that is too large is read and thrown away, so that the client gets to read the answer instead of a reset. */
const DISCARD_BYTES_MAX = 8 * 1024 * 1024;

/** One request of node:http or of http2's compatibility layer. */
export class NodeExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly url: string;
  readonly #req: IncomingMessage;
  readonly #res: ServerResponse;

  /** `url` is what stands below the mount point. */
  constructor(req: IncomingMessage, res: ServerResponse, url: string) {
    const mark = url.indexOf("?");
    this.method = req.method ?? "GET";
    this.url = url;
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    this.#req = req;
    this.#res = res;
  }

  get address(): string {
    return this.#req.socket?.remoteAddress ?? "";
  }

  header(name: string): string | null {
    return headerOf(this.#req, name);
  }

  body(bytesMax: number): Promise<Uint8Array> {
    return readBody(this.#req, bytesMax);
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: string): void {
    const res = this.#res;
    if (res.headersSent || res.destroyed) return;
    const bytes = Buffer.from(body);
    // RFC 9110 §8.6: no Content-Length with 204.
    res.writeHead(status, status === 204 ? { ...headers } : { ...headers, "content-length": bytes.length });
    res.end(this.method === "HEAD" ? undefined : bytes);
  }

  stream(headers: Readonly<Record<string, string>>, owner: StreamOwner): Stream | null {
    const res = this.#res;
    if (res.headersSent || res.destroyed || res.writableEnded) return null;
    if (this.#req.httpVersionMajor >= 2) {
      res.writeHead(200, { ...headers });
      res.flushHeaders();
      return new NodeStream((res as unknown as { stream: Writable }).stream, res, owner);
    }
    // On a pipelined connection the socket is still another response's: it would get these bytes.
    if (res.socket === null || res.socket.destroyed) {
      res.destroy();
      return null;
    }
    // Delimited by close: no chunk framing, so the bytes are the same for every reader, and no proxy holds an event back.
    res.useChunkedEncodingByDefault = false;
    res.shouldKeepAlive = false;
    res.writeHead(200, { ...headers });
    res.flushHeaders();
    // A middleware that encodes the body must see it; all others are passed by.
    const sink: Writable = res.hasHeader("content-encoding") ? res : res.socket;
    res.socket.setTimeout(0);
    return new NodeStream(sink, res, owner);
  }

  onGone(act: () => void): void {
    this.#res.once("close", act);
  }
}

/** A header as one text. */
export function headerOf(req: IncomingMessage, name: string): string | null {
  const value = req.headers[name === "host" ? (req.headers.host === undefined ? ":authority" : "host") : name];
  return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
}

function readBody(req: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  const parsed = (req as { body?: unknown }).body;
  if (parsed !== undefined && (req.readableEnded || req.readableDidRead)) return Promise.resolve(parsedBody(parsed, bytesMax));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const tooLarge = new ThroughlineError("too_large", `The body is larger than ${bytesMax} bytes. Nothing was stored.`);
    if (Number(req.headers["content-length"] ?? 0) > bytesMax + DISCARD_BYTES_MAX) {
      reject(tooLarge);
      return;
    }
    req.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else if (bytes > bytesMax + DISCARD_BYTES_MAX) {
        reject(tooLarge);
        req.pause();
      } else chunks.length = 0;
    });
    req.once("end", () => (bytes > bytesMax ? reject(tooLarge) : resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks))));
    req.once("close", () => reject(new ThroughlineError("bad_request", "The request ended before its body did.")));
    req.once("error", () => reject(new ThroughlineError("bad_request", "The request ended before its body did.")));
  });
}

/** A framework's body parser was here first. */
function parsedBody(body: unknown, bytesMax: number): Uint8Array {
  const bytes = body instanceof Uint8Array ? body : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  if (bytes.length <= bytesMax) return bytes;
  throw new ThroughlineError("too_large", `The body is larger than ${bytesMax} bytes. Nothing was stored.`);
}
