import { connect } from "node:net";
import type { Notice } from "../../core/log.ts";
import type { Cancel, Clock, Random } from "../../protocol/clock.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { type Answer, type Ask, DISPATCH_VERSION, join } from "./dispatch.ts";
import { Link, NOTICES_BYTES_MAX } from "./link.ts";
import { placeOf } from "./place.ts";

/** The window of the wait before the owner is tried again: it doubles from the first to the last. */
const RETRY_MS_MIN = 20;
const RETRY_MS_MAX = 500;
/** Bytes that the owner has not answered; more is refused with `not_stored`. The hub has its own bound per channel, below this one. */
const ASKED_BYTES_MAX = 128 * 1024 * 1024;
/** A stopped server that has not answered by then leaves it unknown. */
const CLOSE_MS_MAX = 5_000;

type Answered = Extract<Answer, { type: "done" }>["answer"];
type Asked = Extract<Ask, { id: number }>;
// Distributes over the kinds of questions
type WithoutId<Word> = Word extends Ask ? Omit<Word, "id"> : never;

interface Pending {
  readonly bytes: number;
  /** How many writes there had been when it was asked. */
  readonly writes: number;
  readonly resolve: (answer: Answered) => void;
  readonly reject: (error: ThroughlineError) => void;
}

interface AskingContext {
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  /** There is an owner, again or for the first time. */
  readonly onUp: () => void;
  readonly onDown: () => void;
  /** There is one, but of another version: neither would understand the other. Told once, until there is one that is not. */
  readonly onStranger: () => void;
  readonly onWake: (channel: string) => void;
  readonly onTold: (channel: string, epoch: string, entries: readonly Entry[]) => void;
  readonly onNotice: (notice: Notice) => void;
}

/**
 * A worker's way to the owner of its directory. It is opened again whenever it is lost. What was under way is never sent again: what had left is `unknown`, and what
 * had not is `not_stored`.
 */
export class Asking {
  readonly #context: AskingContext;
  readonly #pending = new Map<number, Pending>();
  #pendingBytes = 0;
  /** What it has not been told yet of what is followed: each channel once, and none that it need not hear of. */
  readonly #unsaid = new Map<string, "follow" | "unfollow">();
  #link: Link<Answer, Ask> | null = null;
  #isUp = false;
  #isStrange = false;
  #ids = 0;
  #failures = 0;
  #cancelRetry: Cancel = () => {};
  #onIdle: (() => void) | null = null;
  #isClosed = false;

  constructor(context: AskingContext) {
    this.#context = context;
    this.#connect();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  ask(word: WithoutId<Asked>, data: readonly Uint8Array[] = [], bytes = 0): Promise<Answered> {
    const link = this.#link;
    if (!this.#isUp || link === null) return Promise.reject(notStored("The process that writes the log is not there: nothing was stored."));
    if (this.#pendingBytes + bytes > ASKED_BYTES_MAX) {
      const sentence = `More than ${ASKED_BYTES_MAX} bytes are waiting for the process that writes the log: nothing was stored. Send less, or later.`;
      return Promise.reject(notStored(sentence));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#ids;
      this.#pendingBytes += bytes;
      this.#pending.set(id, { bytes, writes: link.writes, resolve, reject });
      link.send({ ...word, id } as Asked, data);
    });
  }

  follow(channel: string): void {
    this.#say("follow", channel);
  }

  unfollow(channel: string): void {
    this.#say("unfollow", channel);
  }

  notify({ channel, body }: Notice): void {
    const link = this.#link;
    if (this.#isUp && link !== null && link.unsentBytes < NOTICES_BYTES_MAX) link.send({ type: "notice", channel, body });
  }

  /** What was asked is answered before it ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry();
    if (this.#pending.size > 0) {
      const idle = new Promise<void>((resolve) => (this.#onIdle = resolve));
      const late = setTimeout(() => this.#onIdle?.(), CLOSE_MS_MAX);
      await idle;
      clearTimeout(late);
    }
    const link = this.#link;
    if (link === null) return;
    const ended = new Promise<void>((resolve) => (this.#onIdle = resolve));
    link.end();
    const late = setTimeout(() => link.destroy(), CLOSE_MS_MAX);
    await ended;
    clearTimeout(late);
  }

  #connect(): void {
    let path: string;
    try {
      path = placeOf(this.#context.directory);
    } catch {
      this.#again(); // no owner has been here yet
      return;
    }
    this.#link = new Link<Answer, Ask>(connect(path), {
      onFrame: (answer, data) => this.#take(answer, data),
      onEnd: () => this.#ended(),
      beforeFlush: () => this.#sayAll(),
    });
  }

  #say(type: "follow" | "unfollow", channel: string): void {
    if (!this.#isUp) return;
    const unsaid = this.#unsaid.get(channel);
    if (unsaid !== undefined && unsaid !== type) this.#unsaid.delete(channel);
    else this.#unsaid.set(channel, type);
    this.#link?.flushSoon();
  }

  #sayAll(): void {
    for (const type of ["unfollow", "follow"] as const) {
      const channels = [...this.#unsaid.keys()].filter((channel) => this.#unsaid.get(channel) === type);
      if (channels.length > 0) this.#link?.send({ type, channels });
    }
    this.#unsaid.clear();
  }

  #take(answer: Answer, data: Buffer): void {
    const { onUp, onStranger, onWake, onTold, onNotice } = this.#context;
    if (answer.type === "hello") {
      // Another version's owner goes, or this worker does
      if (answer.version !== DISPATCH_VERSION) {
        if (!this.#isStrange) onStranger();
        this.#isStrange = true;
        this.#link?.destroy();
      } else {
        this.#isUp = true;
        this.#isStrange = false;
        this.#failures = 0;
        onUp();
      }
    } else if (answer.type === "wake") for (const channel of answer.channels) onWake(channel);
    else if (answer.type === "told") onTold(answer.channel, answer.epoch, join(answer.entries, data));
    else if (answer.type === "notice") onNotice({ channel: answer.channel, body: answer.body });
    else if (answer.type === "done") this.#settle(answer.id)?.resolve(answer.answer);
    else {
      const { code, message, retryAfterMs } = answer;
      this.#settle(answer.id)?.reject(new ThroughlineError(code, message, retryAfterMs === undefined ? {} : { retryAfterMs }));
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    this.#pending.delete(id);
    this.#pendingBytes -= pending.bytes;
    if (this.#pending.size === 0) this.#onIdle?.();
    return pending;
  }

  #ended(): void {
    const writes = this.#link?.writes ?? 0;
    const wasUp = this.#isUp;
    this.#link = null;
    this.#isUp = false;
    this.#unsaid.clear();
    for (const [id, pending] of this.#pending) {
      this.#settle(id);
      if (pending.writes === writes) pending.reject(notStored("The process that writes the log has gone: nothing of this was stored."));
      else pending.reject(unknown());
    }
    this.#onIdle?.();
    if (this.#isClosed) return;
    if (wasUp) this.#context.onDown();
    this.#again();
  }

  #again(): void {
    const { clock, random } = this.#context;
    const windowMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.#failures++);
    this.#cancelRetry = clock.after(windowMs * (0.5 + random.fraction() / 2), () => this.#connect());
  }
}

function notStored(message: string): ThroughlineError {
  return new ThroughlineError("not_stored", `${message} Send it again in a moment.`, { retryAfterMs: RETRY_MS_MAX });
}

function unknown(): ThroughlineError {
  return new ThroughlineError(
    "unknown",
    "The process that writes the log died before it said whether this was stored. Send it again, with the same key.",
    {
      retryAfterMs: RETRY_MS_MAX,
    },
  );
}
