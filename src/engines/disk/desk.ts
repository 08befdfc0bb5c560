import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Notice } from "../../core/log.ts";
import { clearPlace, makePlace } from "./place.ts";
import { Seat, type SeatContext } from "./seat.ts";

/** Where the workers of a directory ask its owner to write, and hear from it what was written and what others say. */
export class Desk {
  readonly #context: DeskContext;
  readonly #server: Server;
  readonly #seats = new Set<Seat>();
  readonly #listeners = new Set<(notice: Notice) => void>();
  #closing: Promise<void> | null = null;

  private constructor(context: DeskContext) {
    this.#context = context;
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  static async open(context: DeskContext): Promise<Desk> {
    const desk = new Desk(context);
    const place = makePlace(context.directory);
    await new Promise<void>((resolve, reject) => desk.#server.once("error", reject).listen(place, resolve));
    chmodSync(place, 0o600);
    // Of a worker that could not be taken in: it tries again
    desk.#server.on("error", (error) => context.warn(`A worker could not connect: ${error.message}`));
    return desk;
  }

  listen(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To each worker that follows the channel, but not to the one that it is from. */
  spread(notice: Notice, from: Seat | null = null): void {
    for (const seat of this.#seats) if (seat !== from) seat.hear(notice);
    if (from === null) return;
    for (const listener of this.#listeners) {
      try {
        listener(notice);
      } catch (error) {
        this.#context.warn(`A listener of the disk engine failed: ${String(error)}`);
      }
    }
  }

  /** Takes nothing more in. What was taken is still answered. To be called while the directory is owned: the next owner makes a place of its own. */
  stop(): void {
    if (this.#closing !== null) return;
    this.#closing = new Promise((resolve) => this.#server.close(() => resolve()));
    clearPlace(this.#context.directory);
    for (const seat of this.#seats) seat.stop();
  }

  async close(): Promise<void> {
    this.stop();
    for (const seat of this.#seats) seat.end();
    await this.#closing;
  }

  #welcome(socket: Socket): void {
    if (this.#closing !== null) {
      socket.destroy();
      return;
    }
    const seat: Seat = new Seat(socket, this.#context, {
      onNotice: (notice) => this.spread(notice, seat),
      onEnd: () => this.#seats.delete(seat),
    });
    this.#seats.add(seat);
  }
}

export interface DeskContext extends SeatContext {
  readonly directory: string;
}
