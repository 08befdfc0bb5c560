import type { Cancel, Clock, Random } from "../protocol/clock.ts";
import { Unsent } from "./broker-failure.ts";

/** The window of the wait before another connection is tried: it doubles from the first to the last. */
const RETRY_MS_MIN = 50;
export const RETRY_MS_MAX = 2_000;
/** So long a connection may take to open. A library may wait for longer for a server that has taken it, and said nothing. */
const OPEN_MS_MAX = 5_000;
/** A connection that has held for so long counts as good: the window begins anew. */
const GOOD_MS = 10_000;

export interface LineContext {
  readonly clock: Clock;
  readonly random: Random;
}

export interface LineEvents {
  /** There is a connection again: after `open`, and after each loss. */
  readonly onUp: () => void;
  readonly onDown: (error: Error) => void;
}

/**
 * One way to a broker that is opened again whenever it is lost, with full jitter. What was under way when it was lost is rejected, and never sent again: it may have been
 * done. A library's own reconnecting is off, or its connection is ended with its first loss.
 */
export abstract class BrokerLine<Connection> {
  protected readonly context: LineContext;
  protected connection: Connection | null = null;
  /** Counts the connections: what was known by one of them may not hold for the next. */
  generation = 0;
  readonly #broker: string;
  readonly #events: LineEvents;
  readonly #pending = new Set<(error: Error) => void>();
  #upAt = 0;
  #failures = 0;
  #isClosed = false;
  #cancelRetry: Cancel = () => {};

  constructor(broker: string, context: LineContext, events: LineEvents) {
    this.#broker = broker;
    this.context = context;
    this.#events = events;
  }

  /** Opens a connection. `onEnd` is told if it ends otherwise than by `end`. */
  protected abstract connect(onEnd: (error: Error) => void): Promise<Connection>;
  protected abstract end(connection: Connection): void;
  /** Something is asked, which `fail` gives up. What this gives is called once it has its answer, or none to wait for. */
  protected abstract asked(fail: (error: Error) => void): Cancel;

  /** The connection is gone, and with it all that was asked. */
  protected ended(): void {}

  /** What a library threw, as the engine has it. */
  protected failureOf(error: unknown): Error {
    return error as Error;
  }

  get isUp(): boolean {
    return this.connection !== null;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Questions without an answer yet. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** The first connection. Rejects if there is none to be had. */
  open(): Promise<void> {
    return this.#open();
  }

  /** The first connection, in the background: tried until there is one. */
  begin(): void {
    void this.#try();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
    // What was asked may have been done: this is no refusal
    this.#drop(new Error("The engine was closed."));
  }

  /** How long there has been this connection. */
  get upMs(): number {
    return this.context.clock.elapsed() - this.#upAt;
  }

  protected ask<Answer>(act: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    const { connection } = this;
    if (connection === null) return Promise.reject(new Unsent(`There is no connection to ${this.#broker}.`));
    return new Promise<Answer>((resolve, reject) => {
      const fail = (error: unknown) => {
        end();
        reject(this.failureOf(error));
      };
      const answered = this.asked(fail);
      const end = () => {
        this.#pending.delete(fail);
        answered();
      };
      this.#pending.add(fail);
      act(connection).then((answer) => {
        end();
        resolve(answer);
      }, fail);
    });
  }

  protected lose(error: Error): void {
    const { upMs } = this;
    this.#drop(error);
    if (this.#isClosed) return;
    if (upMs > GOOD_MS) this.#failures = 0;
    this.#events.onDown(error);
    this.#retry();
  }

  async #open(): Promise<void> {
    let lost: Error | null = null;
    let opened: Connection | null = null;
    const opening = this.connect((error) => {
      lost ??= error;
      if (opened !== null && opened === this.connection) this.lose(error);
    });
    const connection = await this.#inTime(opening);
    if (this.#isClosed || lost !== null) {
      this.end(connection);
      throw lost ?? new Unsent("The engine is closed.");
    }
    opened = connection;
    this.connection = connection;
    this.generation++;
    this.#upAt = this.context.clock.elapsed();
    this.#events.onUp();
  }

  /** One that opens later is closed again. */
  #inTime(opening: Promise<Connection>): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let isLate = false;
      const cancel = this.context.clock.after(OPEN_MS_MAX, () => {
        isLate = true;
        reject(new Error(`${this.#broker} has not answered for ${OPEN_MS_MAX / 1_000} s.`));
      });
      opening.finally(cancel).then((connection) => {
        if (isLate) this.end(connection);
        else resolve(connection);
      }, reject);
    });
  }

  async #try(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (this.#isClosed) return;
      this.#events.onDown(this.failureOf(error));
      this.#retry();
    }
  }

  #retry(): void {
    const { clock, random } = this.context;
    const windowMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.#failures++);
    this.#cancelRetry = clock.after(windowMs * random.fraction(), () => void this.#try());
  }

  #drop(error: Error): void {
    const { connection } = this;
    this.connection = null;
    for (const fail of [...this.#pending]) fail(error);
    this.ended();
    if (connection !== null) this.end(connection);
  }
}
