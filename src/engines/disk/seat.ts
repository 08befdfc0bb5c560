import type { Socket } from "node:net";
import type { Log, Notice, Retention, Told } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { type Answer, type Ask, DISPATCH_VERSION, join, split } from "./dispatch.ts";
import { Link, NOTICES_BYTES_MAX } from "./link.ts";

/** What the owner does for its workers: all but reading. */
export type WritableLog = Pick<Required<Log>, "append" | "remove" | "ready" | "follow">;

/** Where less is kept, messages could be trimmed before a worker has read them: it is given them. Well beyond what is stored while a worker gets its turn. */
const KEPT_AT_LEAST: Retention = { countMax: 10_000, bytesMax: 16 * 1024 * 1024, secondsMax: 10 };

/** How long a worker may take to hear the last answers. */
const GOODBYE_MS = 1_000;

export interface SeatContext {
  readonly log: WritableLog;
  readonly retentionOf: (channel: string) => Retention;
  readonly warn: (sentence: string) => void;
}

interface SeatEvents {
  readonly onNotice: (notice: Notice) => void;
  readonly onEnd: () => void;
}

/** One worker at the desk of the owner: what it asks is done, and what it follows it hears of. */
export class Seat {
  readonly #context: SeatContext;
  readonly #events: SeatEvents;
  readonly #link: Link<Ask, Answer>;
  readonly #followed = new Map<string, () => void>();
  /** Channels that have news for it: each is named once, however much there is, and once more only when that has left. */
  readonly #news = new Set<string>();
  #isStopped = false;

  constructor(socket: Socket, context: SeatContext, events: SeatEvents) {
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
    if (this.#isStopped) return; // Never answered: what it asked for counts as unknown when the link ends
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
    // Whatever was stored since the worker looked, and before this
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
