import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Log, Notice } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { type Answer, type Ask, DISPATCH_VERSION, joinDrafts } from "./dispatch.ts";
import { Link } from "./link.ts";
import { clearPlace, makePlace } from "./place.ts";

/** What the owner does for its workers: all but reading. */
export type WritableLog = Pick<Required<Log>, "append" | "remove" | "ready" | "follow">;

/** Bytes that a worker has not taken yet; beyond, signals to it are dropped. */
export const NOTICES_BYTES_MAX = 1024 * 1024;

/** Where the workers of a directory ask its owner to write, and hear from it what was written and what others say. */
export class Desk {
  readonly #directory: string;
  readonly #log: WritableLog;
  readonly #server: Server;
  readonly #workers = new Set<Worker>();
  readonly #listeners = new Set<(notice: Notice) => void>();
  readonly #warn: (sentence: string) => void;
  #isClosing = false;

  private constructor(directory: string, log: WritableLog, warn: (sentence: string) => void) {
    this.#directory = directory;
    this.#log = log;
    this.#warn = warn;
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  static async open(directory: string, log: WritableLog, warn: (sentence: string) => void): Promise<Desk> {
    const desk = new Desk(directory, log, warn);
    const place = makePlace(directory);
    await new Promise<void>((resolve, reject) => desk.#server.once("error", reject).listen(place, resolve));
    chmodSync(place, 0o600);
    // of a worker that could not be taken in: it tries again
    desk.#server.on("error", (error) => warn(`A worker could not connect: ${error.message}`));
    return desk;
  }

  listen(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To each worker that follows the channel, but not to the one that it is from. */
  spread(notice: Notice, from: Worker | null = null): void {
    for (const worker of this.#workers) if (worker !== from) worker.hear(notice);
    if (from === null) return;
    for (const listener of this.#listeners) {
      try {
        listener(notice);
      } catch (error) {
        this.#warn(`A listener of the disk engine failed: ${String(error)}`);
      }
    }
  }

  /** Takes nothing more in. What was taken is still answered. */
  stop(): void {
    this.#isClosing = true;
    for (const worker of this.#workers) worker.stop();
  }

  async close(): Promise<void> {
    this.stop();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const worker of this.#workers) worker.end();
    await closed;
    clearPlace(this.#directory);
  }

  #welcome(socket: Socket): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    const worker: Worker = new Worker(socket, this.#log, {
      onNotice: (notice) => this.spread(notice, worker),
      onEnd: () => this.#workers.delete(worker),
    });
    this.#workers.add(worker);
  }
}

interface WorkerEvents {
  readonly onNotice: (notice: Notice) => void;
  readonly onEnd: () => void;
}

/** How long a worker may take to hear the last answers. */
const GOODBYE_MS = 1_000;

/** One worker, as the owner sees it. */
class Worker {
  readonly #log: WritableLog;
  readonly #events: WorkerEvents;
  readonly #link: Link<Ask, Answer>;
  readonly #followed = new Map<string, () => void>();
  /** Channels that have news for it: each is named once, however much there is, and once more only when that has left. */
  readonly #news = new Set<string>();
  #isStopped = false;

  constructor(socket: Socket, log: WritableLog, events: WorkerEvents) {
    this.#log = log;
    this.#events = events;
    this.#link = new Link<Ask, Answer>(socket, {
      onFrame: (ask, data) => this.#take(ask, data),
      onEnd: () => this.#left(),
      beforeFlush: () => this.#wake(),
    });
    this.#link.send({ type: "hello", version: DISPATCH_VERSION });
  }

  hear({ channel, body }: Notice): void {
    if (this.#followed.has(channel) && this.#link.unsentBytes < NOTICES_BYTES_MAX) this.#link.send({ type: "notice", channel, body });
  }

  stop(): void {
    this.#isStopped = true;
  }

  end(): void {
    this.#link.end();
    setTimeout(() => this.#link.destroy(), GOODBYE_MS).unref();
  }

  #take(ask: Ask, data: Buffer): void {
    if (this.#isStopped) return; // never answered: what it asked for counts as unknown when the link ends
    const log = this.#log;
    if (ask.type === "append") this.#answer(ask.id, log.append(ask.channel, joinDrafts(ask.drafts, data)));
    else if (ask.type === "remove") {
      const removed = log.remove(ask.channel);
      this.#answer(
        ask.id,
        removed.then(() => null),
      );
    } else if (ask.type === "notice") this.#events.onNotice({ channel: ask.channel, body: ask.body });
    else if (ask.type === "ready") this.#answer(ask.id, log.ready());
    else if (ask.type === "follow") for (const channel of ask.channels) this.#follow(channel);
    else for (const channel of ask.channels) this.#unfollow(channel);
  }

  #answer(id: number, promised: Promise<Extract<Answer, { type: "done" }>["answer"]>): void {
    promised.then(
      (answer) => this.#link.send({ type: "done", id, answer }),
      (error: unknown) => this.#link.send({ type: "failed", id, ...failureOf(error) }),
    );
  }

  #follow(channel: string): void {
    if (this.#followed.has(channel)) return;
    const news = () => {
      this.#news.add(channel);
      this.#link.flushSoon();
    };
    this.#followed.set(channel, this.#log.follow(channel, news));
    // whatever was stored since the worker looked, and before this
    news();
  }

  #unfollow(channel: string): void {
    this.#followed.get(channel)?.();
    this.#followed.delete(channel);
    this.#news.delete(channel);
  }

  #wake(): void {
    if (this.#news.size === 0) return;
    this.#link.send({ type: "wake", channels: [...this.#news] });
    this.#news.clear();
  }

  #left(): void {
    for (const unfollow of this.#followed.values()) unfollow();
    this.#followed.clear();
    this.#events.onEnd();
  }
}

function failureOf(error: unknown): Omit<Extract<Answer, { type: "failed" }>, "type" | "id"> {
  if (!(error instanceof ThroughlineError)) return { code: "unknown", message: String(error) };
  const { code, message, retryAfterMs } = error;
  return { code, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}
