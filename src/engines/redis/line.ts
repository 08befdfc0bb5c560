import type { Cancel, Clock, Random } from "../../protocol/clock.ts";
import { Unsent } from "./failure.ts";
import type { Argument, Hear, Link, Plug, Reply } from "./link.ts";

/**
 * A link on which nothing was answered for so many seconds, though something was asked, is given up: a network may have swallowed it without a word.
 * Counted by the looks, not by the clock: a process that was stopped for an hour has not listened for an hour.
 */
const SILENT_SECONDS_MAX = 15;
const WATCH_MS = 1_000;
/** The window of the wait before another link is tried: it doubles from the first to the last. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;
/** A link that has held for so long counts as good: the window begins anew. */
const GOOD_MS = 10_000;

interface LineContext {
  readonly clock: Clock;
  readonly random: Random;
}

interface LineEvents {
  readonly onHeard: Hear;
  /** There is a link again: after `open`, and after each loss. */
  readonly onUp: () => void;
  readonly onDown: (error: Error) => void;
}

/** One way to Redis that is opened again whenever it is lost, with full jitter. What was under way when it was lost is rejected, and never sent again. */
export class Line {
  readonly #plug: Plug;
  readonly #context: LineContext;
  readonly #events: LineEvents;
  readonly #pending = new Set<(error: Error) => void>();
  #link: Link | null = null;
  /** Counts the links: two commands with one generation between them went over one connection. */
  generation = 0;
  #upAt = 0;
  #failures = 0;
  #silentSeconds = 0;
  #isClosed = false;
  #cancelRetry: Cancel = () => {};
  #cancelWatch: Cancel = () => {};

  constructor(plug: Plug, context: LineContext, events: LineEvents) {
    this.#plug = plug;
    this.#context = context;
    this.#events = events;
  }

  get isUp(): boolean {
    return this.#link !== null;
  }

  /** The first link. Rejects if there is none to be had. */
  async open(): Promise<void> {
    await this.#connect();
  }

  /** The first link, in the background: tried until there is one. */
  begin(): void {
    void this.#try();
  }

  /** This line as a link, for one command. */
  send(key: string, words: readonly Argument[]): Promise<Reply> {
    return this.#ask((link) => link.send(key, words));
  }

  subscribe(names: readonly string[]): Promise<void> {
    return this.#ask((link) => link.subscribe(names));
  }

  unsubscribe(names: readonly string[]): Promise<void> {
    return this.#ask((link) => link.unsubscribe(names));
  }

  /** Commands without an answer yet. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** Gives the link up for another one: what it leads to is no master any more. */
  renew(error: Error): void {
    if (this.#link !== null && !this.#plug.isCluster && this.#context.clock.elapsed() - this.#upAt > RETRY_MS_MAX) this.#lose(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
    this.#drop(new Error("The engine was closed."));
  }

  #ask<Answer>(act: (link: Link) => Promise<Answer>): Promise<Answer> {
    const link = this.#link;
    if (link === null) return Promise.reject(new Unsent("There is no connection to Redis."));
    if (this.#pending.size === 0) {
      this.#silentSeconds = 0;
      this.#watch();
    }
    return new Promise<Answer>((resolve, reject) => {
      const fail = (error: Error) => {
        this.#pending.delete(fail);
        this.#silentSeconds = 0;
        reject(error);
      };
      this.#pending.add(fail);
      act(link).then((answer) => {
        this.#pending.delete(fail);
        this.#silentSeconds = 0;
        resolve(answer);
      }, fail);
    });
  }

  /** One timer while something is asked, and none otherwise. */
  #watch(): void {
    const { clock } = this.#context;
    this.#cancelWatch();
    this.#cancelWatch = clock.after(WATCH_MS, () => {
      if (this.#pending.size === 0) return;
      if (++this.#silentSeconds < SILENT_SECONDS_MAX) this.#watch();
      else this.#lose(new Error(`Redis has not answered for ${SILENT_SECONDS_MAX} s.`));
    });
  }

  async #connect(): Promise<void> {
    let lost: Error | null = null;
    let opened: Link | null = null;
    const link = await this.#plug.open({
      onHeard: this.#events.onHeard,
      onEnd: (error) => {
        lost = error;
        if (opened !== null && opened === this.#link) this.#lose(error);
      },
    });
    if (this.#isClosed || lost !== null) {
      link.close();
      throw lost ?? new Unsent("The engine is closed.");
    }
    opened = link;
    this.#link = link;
    this.generation++;
    this.#upAt = this.#context.clock.elapsed();
    this.#events.onUp();
  }

  async #try(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      if (this.#isClosed) return;
      this.#events.onDown(error as Error);
      this.#retry();
    }
  }

  #retry(): void {
    const { clock, random } = this.#context;
    const windowMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.#failures++);
    this.#cancelRetry = clock.after(windowMs * random.fraction(), () => void this.#try());
  }

  #lose(error: Error): void {
    this.#drop(error);
    if (this.#isClosed) return;
    if (this.#context.clock.elapsed() - this.#upAt > GOOD_MS) this.#failures = 0;
    this.#events.onDown(error);
    this.#retry();
  }

  #drop(error: Error): void {
    const link = this.#link;
    this.#link = null;
    this.#cancelWatch();
    for (const fail of [...this.#pending]) fail(error);
    link?.close();
  }
}
