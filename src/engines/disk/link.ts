import type { Socket } from "node:net";
import { type Answer, type Ask, FrameReader, writeFrame } from "./dispatch.ts";

/** Bytes that the other end has not taken yet; beyond, signals to it are dropped, and a worker is woken where it would be given messages. */
export const NOTICES_BYTES_MAX = 1024 * 1024;

interface LinkEvents<In> {
  readonly onFrame: (word: In, data: Buffer) => void;
  /** It is gone, whoever ended it. Called once. */
  readonly onEnd: () => void;
  /** Before what was gathered is written, and once the socket has drained: what else is to go along. Not called while it is full. */
  readonly beforeFlush?: () => void;
}

/** One end of the socket between an owner and a worker. What is sent in one turn of the event loop goes in one write. */
export class Link<In extends Ask | Answer, Out extends Ask | Answer> {
  readonly #socket: Socket;
  readonly #events: LinkEvents<In>;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #isDue = false;
  #isEnded = false;
  /** Writes so far: what was sent after the last of them has not left. */
  writes = 0;

  constructor(socket: Socket, events: LinkEvents<In>) {
    this.#socket = socket;
    this.#events = events;
    const frames = new FrameReader<In>(events.onFrame);
    socket.on("data", (chunk: Buffer) => {
      try {
        frames.take(chunk);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on("drain", () => this.flush());
    socket.on("error", () => socket.destroy());
    socket.once("close", () => {
      this.#isEnded = true;
      events.onEnd();
    });
  }

  get unsentBytes(): number {
    return this.#gatheredBytes + this.#socket.writableLength;
  }

  send(word: Out, data: readonly Uint8Array[] = []): void {
    for (const piece of writeFrame(word, data)) {
      this.#gathered.push(piece);
      this.#gatheredBytes += piece.length;
    }
    this.flushSoon();
  }

  flushSoon(): void {
    if (this.#isDue || this.#isEnded) return;
    this.#isDue = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    if (this.#isEnded) return;
    if (!this.#socket.writableNeedDrain) this.#events.beforeFlush?.();
    this.#isDue = false;
    if (this.#gathered.length === 0) return;
    const gathered = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.writes++;
    this.#socket.write(Buffer.concat(gathered));
  }

  /** Writes what was gathered, and then ends. */
  end(): void {
    this.flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
