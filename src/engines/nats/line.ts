import type { Cancel } from "../../protocol/clock.ts";
import { BrokerLine, type LineContext, type LineEvents } from "../broker-line.ts";
import type { NatsConnect, NatsConnection, NatsMessage } from "./connection.ts";
import { failureOf, Unanswered } from "./failure.ts";

/** So long an answer may take; then what was asked may have been done, or not. */
export const ANSWER_MS_MAX = 4_000;
/** Then it is looked whether the connection answers at all; one that does not is given up. */
const PROBE_LOOKS_MAX = 4;
const PROBE_LOOK_MS = 1_000;
/** That an answer comes in time is watched here, so that the library's own timer never comes first. */
const LIBRARY_MS = 60_000;

/** One way to NATS. The library would reconnect by itself, keep what is published meanwhile and send it then; here a connection ends with its first loss. */
export class Line extends BrokerLine<NatsConnection> {
  readonly #connect: NatsConnect;
  #isProbing = false;
  #endProbe: () => void = () => {};
  /** What the last server said: while there is none, the next one is taken to be like it. */
  #payloadBytesMax = 1_048_576;

  constructor(connect: NatsConnect, context: LineContext, events: LineEvents) {
    super("NATS", context, events);
    this.#connect = connect;
  }

  /** Bytes of the largest message that the server takes, headers and all. */
  get payloadBytesMax(): number {
    return this.#payloadBytesMax;
  }

  get version(): string {
    return this.connection?.info?.version ?? "0";
  }

  /** False where the server was told to take none. */
  get takesHeaders(): boolean {
    return this.connection?.info?.headers !== false;
  }

  /** One question and its answer. */
  request(subject: string, data: string | Uint8Array, headers?: Uint8Array): Promise<NatsMessage> {
    // All that the library does with headers is to encode them
    const options = { timeout: LIBRARY_MS, ...(headers === undefined ? {} : { headers: { encode: () => headers } }) };
    return this.ask((connection) => connection.request(subject, data, options));
  }

  /** One question with several answers: as many as `count`, or until `isEnd`, of which that one is part. */
  requestMany(subject: string, data: string, count: number, isEnd: (message: NatsMessage) => boolean): Promise<NatsMessage[]> {
    return this.ask(async (connection) => {
      const messages: NatsMessage[] = [];
      // On an inbox of its own, for what a consumer gives bears the subject of its stream
      const options = { strategy: "count", maxMessages: count, maxWait: LIBRARY_MS, noMux: true };
      for await (const message of await connection.requestMany(subject, data, options)) {
        messages.push(message);
        if (isEnd(message)) return messages;
      }
      if (messages.length < count) throw new Unanswered("NATS did not answer in time.");
      return messages;
    });
  }

  /** How many answer one question within some milliseconds; no more than two are counted. */
  answerers(subject: string, headers: Uint8Array, waitMs: number): Promise<number> {
    return this.ask(async (connection) => {
      const options = { strategy: "count", maxMessages: 2, maxWait: waitMs, noMux: true, headers: { encode: () => headers } };
      let count = 0;
      for await (const _ of await connection.requestMany(subject, "", options)) count++;
      return count;
    });
  }

  /** Sent, and forgotten; or not sent, where the line is down or the server takes no message of that size. */
  tell(subject: string, data: string | Uint8Array): void {
    try {
      this.connection?.publish(subject, data);
    } catch {}
  }

  /** Calls `hear` until the subscription or the connection ends. */
  subscribe(subject: string, hear: (message: NatsMessage) => void): () => void {
    const subscription = this.connection?.subscribe(subject, {
      callback: (error: Error | null, message: NatsMessage) => {
        if (error === null) hear(message);
      },
    });
    return () => subscription?.unsubscribe();
  }

  /** Rejects if this user may not subscribe there. */
  async mayHear(subject: string): Promise<void> {
    let refused: Error | null = null;
    const subscription = this.connection?.subscribe(subject, {
      callback: (error: Error | null) => {
        refused ??= error;
      },
    });
    await this.flush();
    subscription?.unsubscribe();
    if (refused !== null) throw refused;
  }

  /** Resolves once the server has all that was sent before. */
  flush(): Promise<void> {
    return this.ask((connection) => connection.flush());
  }

  protected async connect(onEnd: (error: Error) => void): Promise<NatsConnection> {
    const connection = await this.#connect();
    void connection.closed().then(
      (error) => onEnd(error instanceof Error ? error : new Error("The connection to NATS was closed.")),
      (error) => onEnd(error as Error),
    );
    void watchStatus(connection, onEnd);
    // One that has ended already says so by now
    await new Promise(setImmediate);
    this.#payloadBytesMax = connection.info?.max_payload ?? this.#payloadBytesMax;
    return connection;
  }

  protected end(connection: NatsConnection): void {
    connection.close().catch(() => {
      // It is closed
    });
  }

  protected override ended(): void {
    this.#endProbe();
  }

  protected override failureOf(error: unknown): Error {
    return failureOf(error);
  }

  protected asked(fail: (error: Error) => void): Cancel {
    return this.context.clock.after(ANSWER_MS_MAX, () => {
      fail(new Unanswered(`NATS has not answered for ${ANSWER_MS_MAX / 1_000} s.`));
      this.#probe();
    });
  }

  /** No answer may mean no connection: a network can swallow it without a word. Counted by looks, each in a turn of its own, for time that passes in one turn is no time to answer in. */
  #probe(): void {
    const { connection } = this;
    if (this.#isProbing || connection === null) return;
    this.#isProbing = true;
    let isOver = false;
    let looks = 0;
    let cancel: Cancel = () => {};
    const end = () => {
      if (isOver) return;
      isOver = true;
      this.#isProbing = false;
      cancel();
    };
    const look = () => {
      if (isOver) return;
      cancel = this.context.clock.after(PROBE_LOOK_MS, () => {
        if (++looks < PROBE_LOOKS_MAX) setImmediate(look);
        else this.lose(new Error(`NATS has not answered for ${(ANSWER_MS_MAX + PROBE_LOOKS_MAX * PROBE_LOOK_MS) / 1_000} s.`));
      });
    };
    this.#endProbe = end;
    connection.flush().then(end, end);
    setImmediate(look);
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
