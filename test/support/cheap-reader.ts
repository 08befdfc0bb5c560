import { connect, type Socket } from "node:net";
import { epochOf, offsetOf, positionOf } from "./inbox.ts";

const AGAIN_MS = 300;

/** A reader that costs a test next to nothing, so that there can be thousands: a socket, a position, and four counts. */
export abstract class CheapReader {
  position: string;
  lost = 0;
  twice = 0;
  delivered = 0;
  /** The server has said that it reads. */
  begun = false;
  protected rest = "";
  readonly #port: number;
  #socket: Socket | null = null;

  constructor(port: number, position: string) {
    this.#port = port;
    this.position = position;
  }

  get offset(): number {
    return offsetOf(this.position);
  }

  open(): void {
    this.begun = false;
    this.rest = "";
    const socket = connect({ port: this.#port, host: "127.0.0.1" });
    this.#socket = socket;
    // Not by our own doing: as when too many knock at once
    socket.on("close", () => {
      if (this.#socket === socket) setTimeout(() => this.#socket === socket && this.open(), AGAIN_MS);
    });
    socket.setEncoding("latin1").on("error", () => undefined);
    socket.on("data", (text: string) => {
      this.rest = this.take(this.rest + text);
    });
    socket.write(`${this.request()}\r\nHost: 127.0.0.1\r\n\r\n`);
  }

  /** By a reset, as when the network goes. */
  cut(): void {
    this.#socket?.resetAndDestroy();
    this.#socket = null;
  }

  protected abstract request(): string;
  /** Takes what is whole of the text, and returns the rest. */
  protected abstract take(text: string): string;

  protected deliver(position: string): void {
    this.delivered++;
    const step = offsetOf(position) - this.offset;
    if (step < 1) this.twice++;
    else {
      this.lost += step - 1;
      this.position = position;
    }
  }
}

export class CheapStream extends CheapReader {
  /** Comes back without Last-Event-ID. */
  forgets = false;

  protected request(): string {
    return `GET /channels/storm HTTP/1.1\r\nAccept: text/event-stream${this.forgets ? "" : `\r\nLast-Event-ID: ${this.position}`}`;
  }

  protected take(text: string): string {
    const end = text.lastIndexOf("\n\n");
    if (end < 0) return text;
    for (const [, event, position] of text.slice(0, end + 1).matchAll(/(event: connected\n)?id: (\S+)\n/g)) {
      if (event === undefined) this.deliver(position as string);
      else this.begun = true;
    }
    return text.slice(end + 2);
  }
}

export class CheapSocket extends CheapReader {
  protected request(): string {
    const query = `channel=storm&from=after:${this.position}`;
    const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    return `GET /socket?${query} HTTP/1.1\r\n${upgrade}`;
  }

  protected take(text: string): string {
    let at = 0;
    if (text.startsWith("HTTP/")) {
      at = text.indexOf("\r\n\r\n") + 4;
      if (at === 3) return text;
    }
    for (;;) {
      const short = text.charCodeAt(at + 1);
      const start = at + (short === 126 ? 4 : 2);
      if (text.length < start) return text.slice(at);
      const end = start + (short === 126 ? text.charCodeAt(at + 2) * 256 + text.charCodeAt(at + 3) : short);
      if (text.length < end) return text.slice(at);
      this.#frame(text.slice(start, end));
      at = end;
    }
  }

  #frame(json: string): void {
    if (json.startsWith('{"type":')) this.begun ||= json.startsWith('{"type":"subscribed"');
    else if (json.startsWith("{")) this.deliver(positionOf(epochOf(this.position), /"id":"([^"]+)"/.exec(json)?.[1] ?? ""));
  }
}
