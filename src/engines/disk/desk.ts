import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Log, Notice, Retention, Told } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { type Answer, type Ask, DISPATCH_VERSION, join, split } from "./dispatch.ts";
import { Link } from "./link.ts";
import { clearPlace, makePlace } from "./place.ts";

/** What the owner does for its workers: all but reading. */
export type WritableLog = Pick<Required<Log>, "append" | "remove" | "ready" | "follow">;

/** Bytes that a worker has not taken yet; beyond, signals to it are dropped, and it is woken where it would be given messages. */
export const NOTICES_BYTES_MAX = 1024 * 1024;
/** Where less is kept, messages could be trimmed before a worker has read them: it is given them. Well beyond what is stored while a worker gets its turn. */
const KEPT_AT_LEAST: Retention = { countMax: 10_000, bytesMax: 16 * 1024 * 1024, secondsMax: 10 };

/** Where the workers of a directory ask its owner to write, and hear from it what was written and what others say. */
export class Desk {
  readonly #context: DeskContext;
  readonly #server: Server;
  readonly #workers = new Set<Worker>();
  readonly #listeners = new Set<(notice: Notice) => void>();
  #isClosing = false;

  private constructor(context: DeskContext) {
    this.#context = context;
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  static async open(context: DeskContext): Promise<Desk> {
    const desk = new Desk(context);
    const place = makePlace(context.directory);
    await new Promise<void>((resolve, reject) => desk.#server.once("error", reject).listen(place, resolve));
    chmodSync(place, 0o600);
    // of a worker that could not be taken in: it tries again
    desk.#server.on("error", (error) => context.warn(`A worker could not connect: ${error.message}`));
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
        this.#context.warn(`A listener of the disk engine failed: ${String(error)}`);
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
    clearPlace(this.#context.directory);
  }

  #welcome(socket: Socket): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    const worker: Worker = new Worker(socket, this.#context, {
      onNotice: (notice) => this.spread(notice, worker),
      onEnd: () => this.#workers.delete(worker),
    });
    this.#workers.add(worker);
  }
}

export interface DeskContext {
  readonly directory: string;
  readonly log: WritableLog;
  readonly retentionOf: (channel: string) => Retention;
  readonly warn: (sentence: string) => void;
}

interface WorkerEvents {
  readonly onNotice: (notice: Notice) => void;
  readonly onEnd: () => void;
}

/** How long a worker may take to hear the last answers. */
const GOODBYE_MS = 1_000;

/** One worker, as the owner sees it. */
class Worker {
  readonly #context: DeskContext;
  readonly #events: WorkerEvents;
  readonly #link: Link<Ask, Answer>;
  readonly #followed = new Map<string, () => void>();
  /** Channels that have news for it: each is named once, however much there is, and once more only when that has left. */
  readonly #news = new Set<string>();
  #isStopped = false;

  constructor(socket: Socket, context: DeskContext, events: WorkerEvents) {
    this.#context = context;
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
    const { log } = this.#context;
    if (ask.type === "append") this.#answer(ask.id, log.append(ask.channel, join(ask.drafts, data)));
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
    this.#followed.set(
      channel,
      this.#context.log.follow(channel, (told) => this.#tell(channel, told)),
    );
    // whatever was stored since the worker looked, and before this
    this.#tell(channel, { type: "changed" });
  }

  #tell(channel: string, told: Told): void {
    if (told.type === "appended" && this.#keepsLittle(channel) && this.#link.unsentBytes < NOTICES_BYTES_MAX) {
      const { words, data } = split(told.entries);
      this.#link.send({ type: "told", channel, epoch: told.epoch, entries: words }, data);
      return;
    }
    this.#news.add(channel);
    this.#link.flushSoon();
  }

  #keepsLittle(channel: string): boolean {
    const { countMax, bytesMax, secondsMax } = this.#context.retentionOf(channel);
    return countMax < KEPT_AT_LEAST.countMax || bytesMax < KEPT_AT_LEAST.bytesMax || secondsMax < KEPT_AT_LEAST.secondsMax;
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
