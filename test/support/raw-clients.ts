import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";

/** Things that come, and someone who waits for them, one by one. */
class Inbox<Thing> {
  readonly all: Thing[] = [];
  readonly #waiting: Thing[] = [];
  #ended = false;
  #wake: (() => void) | null = null;

  put(thing: Thing): void {
    this.all.push(thing);
    this.#waiting.push(thing);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The first that fits and was not taken; null at the end. */
  async next(fits: (thing: Thing) => boolean = () => true): Promise<Thing | null> {
    for (;;) {
      const index = this.#waiting.findIndex(fits);
      if (index >= 0) return this.#waiting.splice(index, 1)[0]!;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** The events of a response, as a library that knows the standard reads them. */
export class EventReader {
  readonly #inbox = new Inbox<EventSourceMessage>();
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #ended: Promise<void>;
  retry: number | null = null;

  constructor(response: Response) {
    this.#reader = response.body!.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    this.#ended = this.#read();
    onTestFinished(() => this.close());
  }

  next(): Promise<EventSourceMessage | null> {
    return this.#inbox.next();
  }

  /** Waits for the data of as many messages. */
  async take(count: number): Promise<string[]> {
    const data: string[] = [];
    while (data.length < count) {
      const event = await this.next();
      if (event === null) throw new Error(`The stream ended after ${JSON.stringify(data)}.`);
      if (event.event === undefined) data.push(event.data);
    }
    return data;
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
    await this.#ended;
  }

  async #read(): Promise<void> {
    const onRetry = (ms: number) => {
      this.retry = ms;
    };
    const parser = createParser({ onEvent: (event) => this.#inbox.put(event), onRetry });
    const decoder = new TextDecoder();
    try {
      for (let part = await this.#reader.read(); !part.done; part = await this.#reader.read()) {
        parser.feed(decoder.decode(part.value, { stream: true }));
      }
    } catch {
      // A stream that was cut has ended, too.
    }
    this.#inbox.end();
  }
}

export interface Frame {
  readonly [field: string]: unknown;
}

/** A WebSocket client that waits for frames, of any type or of one that it names. */
export class FrameClient {
  readonly socket: WebSocket;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #inbox = new Inbox<Frame>();

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data) => this.#inbox.put(JSON.parse(String(data)) as Frame));
    socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once("close", (code, reason) => {
        this.#inbox.end();
        resolve({ code, reason: String(reason) });
      });
    });
    onTestFinished(() => socket.terminate());
  }

  /** Rejects with `<status> <body>` if the server refuses. */
  static async open(url: string, options: { headers?: Record<string, string>; protocols?: string[] } = {}): Promise<FrameClient> {
    const socket = new WebSocket(url, options.protocols ?? [], { headers: options.headers ?? {} });
    const client = new FrameClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
      socket.once("unexpected-response", (_request, response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          body += part;
        });
        response.on("end", () => reject(new Error(`${response.statusCode} ${body}`)));
      });
    });
    return client;
  }

  send(frame: unknown): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** The next frame of a type; `message` names those without one. */
  async next(type?: string): Promise<Frame> {
    const frame = await this.#inbox.next((one) => type === undefined || (one["type"] ?? "message") === type);
    if (frame !== null) return frame;
    throw new Error(`The socket closed before a frame of the type ${type ?? "any"}: ${JSON.stringify(this.#inbox.all)}`);
  }
}

/** A socket to which a test writes bytes, and whose bytes it sees. */
export class RawClient {
  readonly socket: Socket;
  readonly ended: Promise<void>;
  text = "";
  #over = false;
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    const wake = () => this.#wake?.();
    socket.on("data", (part) => {
      this.text += part.toString("latin1");
      wake();
    });
    socket.on("error", () => undefined);
    const end = () => {
      this.#over = true;
      wake();
    };
    this.ended = new Promise((resolve) => {
      for (const name of ["end", "close"]) socket.once(name, () => resolve());
    });
    socket.once("end", end);
    socket.once("close", end);
    onTestFinished(() => {
      socket.destroy();
    });
  }

  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const client = new RawClient(socket);
    await once(socket, "connect");
    return client;
  }

  write(bytes: string | Uint8Array): this {
    this.socket.write(bytes);
    return this;
  }

  /** One request without a body, its lines as given. */
  ask(line: string, ...headers: string[]): this {
    return this.write(`${[`${line} HTTP/1.1`, "Host: 127.0.0.1", ...headers].join("\r\n")}\r\n\r\n`);
  }

  /** Waits until what came has this in it, or the connection has ended. */
  until(what: string | RegExp): Promise<string> {
    return this.#until(() => (typeof what === "string" ? this.text.includes(what) : what.test(this.text)));
  }

  /** Waits until as many bytes have come, or the connection has ended. */
  longer(length: number): Promise<string> {
    return this.#until(() => this.text.length >= length);
  }

  async #until(holds: () => boolean): Promise<string> {
    while (!holds() && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.text;
  }

  /** The head of the next answer, its body by Content-Length (none to a HEAD), and both taken away. */
  async answer(isHead = false): Promise<{ status: number; head: string; headers: Map<string, string>; body: string }> {
    await this.until("\r\n\r\n");
    const end = this.text.indexOf("\r\n\r\n");
    if (end < 0) throw new Error(`There is no answer in ${JSON.stringify(this.text)}.`);
    const head = this.text.slice(0, end);
    const lines = head.split("\r\n");
    const headers = new Map(
      lines.slice(1).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    const length = isHead ? 0 : Number(headers.get("content-length") ?? 0);
    const start = end + 4;
    await this.longer(start + length);
    const body = this.text.slice(start, start + length);
    this.text = this.text.slice(start + length);
    return { status: Number(lines[0]!.split(" ")[1]), head, headers, body };
  }
}
