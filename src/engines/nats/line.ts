import type { Cancel, Clock, Random } from "../../protocol/clock.ts";
import type { NatsConnect, NatsConnection, NatsMessage } from "./connection.ts";
import { failureOf, Unanswered, Unsent } from "./failure.ts";

/** So long an answer may take; then what was asked may have been done, or not. */
export const ANSWER_MS_MAX = 4_000;
/** Then it is looked whether the connection answers at all; one that does not is given up. */
const PROBE_LOOKS_MAX = 4;
const PROBE_LOOK_MS = 1_000;
/** The window of the wait before another connection is tried: it doubles from the first to the last. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;
/** A connection that has held for so long counts as good: the window begins anew. */
const GOOD_MS = 10_000;
/** That an answer comes in time is watched here, so that the library's own timer never comes first. */
const LIBRARY_MS = 60_000;

interface LineContext {
  readonly clock: Clock;
  readonly random: Random;
}

interface LineEvents {
  /** There is a connection again: after `open`, and after each loss. */
  readonly onUp: () => void;
  readonly onDown: (error: Error) => void;
}

/**
 * One way to NATS that is opened again whenever it is lost, with full jitter. The library would reconnect by itself, keep what is published meanwhile and send it then; here
 * a connection ends with its first loss, so that what was under way is rejected, and nothing is sent of which the sender was told otherwise.
 */
export class Line {
  readonly #connect: NatsConnect;
  readonly #context: LineContext;
  readonly #events: LineEvents;
  readonly #pending = new Set<(error: Error) => void>();
  #connection: NatsConnection | null = null;
  /** Counts the connections: what was known by one of them may not hold for the next. */
  generation = 0;
  #upAt = 0;
  #failures = 0;
  #isClosed = false;
  #cancelRetry: Cancel = () => {};
  #cancelProbe: Cancel = () => {};
  #isProbing = false;
  /** What the last server said: while there is none, the next one is taken to be like it. */
  #payloadBytesMax = 1_048_576;

  constructor(connect: NatsConnect, context: LineContext, events: LineEvents) {
    this.#connect = connect;
    this.#context = context;
    this.#events = events;
  }

  get isUp(): boolean {
    return this.#connection !== null;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes of the largest message that the server takes, headers and all. */
  get payloadBytesMax(): number {
    return this.#payloadBytesMax;
  }

  get version(): string {
    return this.#connection?.info?.version ?? "0";
  }

  /** The first connection. Rejects if there is none to be had. */
  open(): Promise<void> {
    return this.#open();
  }

  /** The first connection, in the background: tried until there is one. */
  begin(): void {
    void this.#try();
  }

  ask(subject: string, data: string | Uint8Array, headers?: Uint8Array): Promise<NatsMessage> {
    // all that the library does with headers is to encode them
    const options = { timeout: LIBRARY_MS, ...(headers === undefined ? {} : { headers: { encode: () => headers } }) };
    return this.#ask((connection) => connection.request(subject, data, options));
  }

  /** One question with several answers: as many as `count`, or until `isEnd`, of which that one is part. */
  askMany(subject: string, data: string, count: number, isEnd: (message: NatsMessage) => boolean): Promise<NatsMessage[]> {
    return this.#ask(async (connection) => {
      const messages: NatsMessage[] = [];
      // on an inbox of its own, for what a consumer gives bears the subject of its stream
      const options = { strategy: "count", maxMessages: count, maxWait: LIBRARY_MS, noMux: true };
      for await (const message of await connection.requestMany(subject, data, options)) {
        messages.push(message);
        if (isEnd(message)) return messages;
      }
      if (messages.length < count) throw new Unanswered("NATS did not answer in time.");
      return messages;
    });
  }

  /** Sent, and forgotten. */
  tell(subject: string, data: string | Uint8Array): void {
    this.#connection?.publish(subject, data);
  }

  /** Calls `hear` until the subscription or the connection ends. */
  subscribe(subject: string, hear: (message: NatsMessage) => void): () => void {
    const subscription = this.#connection?.subscribe(subject, {
      callback: (error: Error | null, message: NatsMessage) => {
        if (error === null) hear(message);
      },
    });
    return () => subscription?.unsubscribe();
  }

  /** Resolves once the server has all that was sent before. */
  flush(): Promise<void> {
    return this.#ask((connection) => connection.flush());
  }

  /** Questions without an answer yet. */
  get waiting(): number {
    return this.#pending.size;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
    this.#cancelProbe();
    // what was asked may have been done: this is no refusal
    this.#drop(new Error("The engine was closed."));
  }

  #ask<Answer>(act: (connection: NatsConnection) => Promise<Answer>): Promise<Answer> {
    const connection = this.#connection;
    if (connection === null) return Promise.reject(new Unsent("There is no connection to NATS."));
    return new Promise<Answer>((resolve, reject) => {
      const end = () => {
        this.#pending.delete(fail);
        cancel();
      };
      const fail = (error: unknown) => {
        end();
        reject(failureOf(error));
      };
      const cancel = this.#context.clock.after(ANSWER_MS_MAX, () => {
        fail(new Unanswered(`NATS has not answered for ${ANSWER_MS_MAX / 1_000} s.`));
        this.#probe();
      });
      this.#pending.add(fail);
      act(connection).then((answer) => {
        end();
        resolve(answer);
      }, fail);
    });
  }

  /** No answer may mean no connection: a network can swallow it without a word. Counted by looks, each in a turn of its own, for time that passes in one turn is no time to answer in. */
  #probe(): void {
    const connection = this.#connection;
    if (this.#isProbing || connection === null) return;
    this.#isProbing = true;
    let isOver = false;
    let looks = 0;
    const end = () => {
      isOver = true;
      this.#isProbing = false;
      this.#cancelProbe();
    };
    const look = () => {
      if (isOver || this.#isClosed) return;
      this.#cancelProbe = this.#context.clock.after(PROBE_LOOK_MS, () => {
        if (isOver) return;
        if (connection !== this.#connection) end();
        else if (++looks < PROBE_LOOKS_MAX) setImmediate(look);
        else {
          end();
          this.#lose(new Error(`NATS has not answered for ${(ANSWER_MS_MAX + PROBE_LOOKS_MAX * PROBE_LOOK_MS) / 1_000} s.`));
        }
      });
    };
    connection.flush().then(end, end);
    setImmediate(look);
  }

  async #open(): Promise<void> {
    const connection = await this.#connect();
    let lost: Error | null = null;
    const onEnd = (error: Error) => {
      lost ??= error;
      if (connection === this.#connection) this.#lose(error);
    };
    void connection.closed().then(
      (error) => onEnd(error instanceof Error ? error : new Error("The connection to NATS was closed.")),
      (error) => onEnd(error as Error),
    );
    void watchStatus(connection, onEnd);
    // one that has ended already says so by now
    await new Promise(setImmediate);
    if (this.#isClosed || lost !== null) {
      end(connection);
      throw lost ?? new Unsent("The engine is closed.");
    }
    this.#connection = connection;
    this.#payloadBytesMax = connection.info?.max_payload ?? this.#payloadBytesMax;
    this.generation++;
    this.#upAt = this.#context.clock.elapsed();
    this.#events.onUp();
  }

  async #try(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (this.#isClosed) return;
      this.#events.onDown(failureOf(error));
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
    const connection = this.#connection;
    this.#connection = null;
    for (const fail of [...this.#pending]) fail(error);
    if (connection !== null) end(connection);
  }
}

async function watchStatus(connection: NatsConnection, onEnd: (error: Error) => void): Promise<void> {
  try {
    for await (const { type } of connection.status()) {
      if (type === "disconnect") return onEnd(new Error("The connection to NATS was lost."));
    }
  } catch (error) {
    onEnd(error as Error);
  }
}

function end(connection: NatsConnection): void {
  connection.close().catch(() => {
    // it is closed
  });
}
