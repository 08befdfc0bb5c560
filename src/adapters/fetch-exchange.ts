import { ThroughlineError } from "../protocol/error.ts";
import type { Exchange, Stream, StreamOwner } from "../transports/exchange.ts";

/** What a client that has gone is answered. Nobody reads it, but a runtime waits for a promise that is kept. */
const GONE = 499;

/** One request of the web's standard, and the promise of its answer. */
export class FetchExchange implements Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly url: string;
  /** The standard does not say. */
  readonly address = "";
  readonly ahead = 0;
  readonly #request: Request;
  #resolve: ((response: Response) => void) | null;
  #onGone: (() => void)[] = [];

  /** `url` is what stands below the mount point. */
  constructor(request: Request, url: string, resolve: (response: Response) => void) {
    const mark = url.indexOf("?");
    this.method = request.method;
    this.url = url;
    this.path = mark < 0 ? url : url.slice(0, mark);
    this.query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    this.#request = request;
    this.#resolve = resolve;
    const gone = () => this.#leave();
    if (request.signal.aborted) queueMicrotask(gone);
    else request.signal.addEventListener("abort", gone, { once: true });
  }

  header(name: string): string | null {
    const value = this.#request.headers.get(name);
    // Over HTTP/2, and where a request was made by hand, the host stands in the URL only.
    return value === null && name === "host" ? new URL(this.#request.url).host : value;
  }

  async body(bytesMax: number): Promise<Uint8Array> {
    const { body, bodyUsed, headers } = this.#request;
    if (body === null) return new Uint8Array(0);
    const tooLarge = () => new ThroughlineError("too_large", `The body is larger than ${bytesMax} bytes. Nothing was stored.`);
    if (Number(headers.get("content-length")) > bytesMax) throw tooLarge();
    if (bodyUsed || body.locked) throw new ThroughlineError("bad_request", "Something else has read the body of this request.");
    const reader = body.getReader();
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for (let part = await readPart(reader); part !== null; part = await readPart(reader)) {
      bytes += part.length;
      chunks.push(part);
      if (bytes <= bytesMax) continue;
      // Not awaited: the answer need not wait until the runtime has stopped reading.
      reader.cancel().catch(() => undefined);
      throw tooLarge();
    }
    return joined(chunks, bytes);
  }

  respond(status: number, headers: Readonly<Record<string, string>>, body: string): void {
    const { connection: _, ...own } = headers;
    this.#answer(new Response(this.method === "HEAD" || body === "" ? null : body, { status, headers: own }));
  }

  stream(headers: Readonly<Record<string, string>>, owner: StreamOwner): Stream | null {
    if (this.#resolve === null || this.#request.signal.aborted) return null;
    const stream = new FetchStream(owner);
    this.#answer(new Response(stream.body, { status: 200, headers: { ...headers } }));
    this.#onGone.push(() => stream.destroy());
    return stream;
  }

  onGone(act: () => void): void {
    // Later, as if it had gone just now: who asks is in the middle of something.
    if (this.#request.signal.aborted) queueMicrotask(act);
    else this.#onGone.push(act);
  }

  #answer(response: Response): void {
    this.#resolve?.(response);
    this.#resolve = null;
    this.#onGone = [];
  }

  #leave(): void {
    const acts = this.#onGone;
    this.#onGone = [];
    for (const act of acts) act();
    this.#answer(new Response(null, { status: GONE }));
  }
}

/** Bytes to one client as a ReadableStream. It asks for nothing ahead, so what is queued is what the runtime has not taken yet. */
class FetchStream implements Stream {
  readonly body: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #owner: StreamOwner | null;
  #written = 0;
  #behind = false;

  constructor(owner: StreamOwner) {
    this.#owner = owner;
    this.body = new ReadableStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        // With nothing asked for ahead this means: all was taken, and more is wanted.
        pull: () => this.#drained(),
        cancel: () => this.#closed(),
      },
      { highWaterMark: 0, size: (bytes) => bytes.byteLength },
    );
  }

  get unsent(): number {
    return this.#owner === null ? 0 : Math.max(0, -(this.#controller.desiredSize ?? 0));
  }

  get sent(): number {
    return this.#written - this.unsent;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#owner === null) return true;
    this.#written += bytes.length;
    this.#controller.enqueue(bytes);
    this.#behind ||= this.unsent > 0;
    return !this.#behind;
  }

  end(): void {
    if (this.#owner === null) return;
    this.#controller.close();
    this.#closed();
  }

  destroy(): void {
    if (this.#owner === null) return;
    this.#controller.error(new Error("The connection was closed."));
    this.#closed();
  }

  #drained(): void {
    if (!this.#behind) return;
    this.#behind = false;
    this.#owner?.drained();
  }

  /** Told later: an owner that ends its stream is in the middle of something. */
  #closed(): void {
    const owner = this.#owner;
    this.#owner = null;
    if (owner !== null) queueMicrotask(() => owner.closed());
  }
}

async function readPart(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | null> {
  try {
    const { value } = await reader.read();
    return value ?? null;
  } catch (cause) {
    throw new ThroughlineError("bad_request", "The request ended before its body did.", { cause });
  }
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  if (chunks.length === 1) return chunks[0]!;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
