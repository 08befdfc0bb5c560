import type { Cancel } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { AckFrame, ErrorFrame, ServerFrame } from "../protocol/frame.ts";
import type { Level } from "../protocol/message.ts";
import { backoff } from "./backoff.ts";
import { encodeBase64 } from "./bytes.ts";
import { TALK_MIN } from "./choose-transport.ts";
import type { ConnectionState } from "./connection-state.ts";
import type { Environment } from "./environment.ts";
import { disconnected } from "./faults.ts";
import { REQUEST_SECONDS, within } from "./http.ts";
import { mayRetry } from "./may-retry.ts";
import { createOutbox, type Waiting } from "./outbox.ts";
import type { Pipe } from "./pipe.ts";

/** What a publish came to. */
export interface Published {
  /** Where it stands in the log. */
  readonly position: string;
  readonly level: Level;
  /** The key was known: the message was stored before, at `position`. */
  readonly duplicate: boolean;
}

export interface PublishOptions {
  /** Idempotency key, 1-128 bytes: publishing again with it stores nothing twice, also after a restart. Default: random, for the client's own retries. */
  readonly key?: string;
  /** Stops waiting, with `aborted`. What was sent before may still be stored. */
  readonly signal?: AbortSignal;
}

export interface RequestOptions {
  /** Milliseconds until `timeout`. Default 30,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What carries it. */
export interface Carrier {
  readonly state: ConnectionState;
  /** Why nothing will be carried any more. */
  readonly error: ThroughlineError | undefined;
  /** The pipe that goes both ways, if that is what runs. */
  readonly socket: { readonly id: number; readonly pipe: Pipe } | undefined;
  /** Looks at the end of this turn whether something is to be sent, or another transport would do better. */
  plan(): void;
  talked(weight: number): void;
}

/** What goes from the application to the server: as frames where a pipe goes both ways, else as POSTs. */
export interface Upstream {
  /** How much waits that a WebSocket could carry. */
  readonly size: number;
  publish(channel: string, event: string | undefined, value: unknown, options?: PublishOptions): Promise<Published>;
  signal(channel: string, event: string, value?: unknown): void;
  request(channel: string, name: string, value?: unknown, options?: RequestOptions): Promise<unknown>;
  /** Sends what waits, if there is a way. */
  flush(): void;
  /** A frame that answers one, or tells an error of none. Others are ignored. */
  answer(frame: ServerFrame): void;
  /** What was sent on this pipe and not answered never will be. */
  lost(pipe: number): void;
  /** Nothing will be sent any more. */
  end(error: ThroughlineError): void;
}

type Result = Omit<AckFrame, "id" | "duplicate"> & { readonly duplicate?: boolean; readonly error?: ErrorFrame };

export function createUpstream(carrier: Carrier, { http, clock, limits, random, report }: Environment): Upstream {
  const outbox = createOutbox(limits);
  const signals = new Map<string, string>();
  let posting = false;
  let signalling = false;
  let pause: Cancel | undefined;
  let failures = 0;
  /** Apart from those of subscriptions, which begin at 1. */
  let ids = 1e9;

  /** Waits for an answer for as long as it may: to a publish that is to be sent, or to what `send` sends. */
  function wait<Answer>(text: string, seconds: number, signal: AbortSignal | undefined, send?: (id: number) => void): Promise<Answer> {
    return within(
      clock,
      seconds,
      signal,
      (own) =>
        new Promise((resolve, reject) => {
          own.throwIfAborted();
          if (carrier.error) throw carrier.error;
          const id = ++ids;
          own.onabort = () => outbox.take(id)?.reject(own.reason);
          outbox.add({ id, text, resolve, reject, via: text ? 0 : carrier.socket!.id });
          send?.(id);
        }),
    );
  }

  function send(waiting: Waiting): void {
    const { socket } = carrier;
    waiting.via = socket!.id;
    socket!.pipe.send!(`{"type":"publish","id":${waiting.id},${waiting.text.slice(1)}`);
  }

  /** One POST at a time, and none beside frames: else a later publish could overtake an earlier one. */
  function flush(): void {
    const { socket, state } = carrier;
    const batch = posting || pause ? [] : outbox.unsent();
    if (!batch[0]) return;
    if (socket) {
      batch.forEach(send);
      flush();
    } else if (state === "connected" || state === "idle") void post(batch);
  }

  async function post(batch: readonly Waiting[]): Promise<void> {
    posting = true;
    for (const waiting of batch) waiting.via = -1;
    try {
      const body = (): string => `[${batch.map(({ text }) => text)}]`;
      const results = (await http.json("/publish", REQUEST_SECONDS, { body })) as Result[];
      failures = 0;
      for (const [index, { id }] of batch.entries()) settle(id, results[index] as Result);
    } catch (error) {
      for (const { id } of batch) refuse(id, disconnected(error));
    }
    posting = false;
    carrier.plan();
  }

  function settle(id: number, { error, position, level, duplicate = false }: Result): void {
    if (error) refuse(id, error);
    else outbox.take(id)?.resolve({ position, level, duplicate } as never);
  }

  function refuse(id: number, error: ErrorFrame | ThroughlineError): void {
    const { code, message, retryAfterMs = 0 } = error;
    const waiting = outbox.get(id);
    // `keys_full` may last for hours: the application decides
    if (waiting?.text && mayRetry(code) && code !== "keys_full") {
      waiting.via = 0;
      pause ??= clock.after(Math.max(retryAfterMs, backoff(failures++, limits, random())), () => {
        pause = undefined;
        carrier.plan();
      });
    } else outbox.take(id)?.reject(new ThroughlineError(code, message, error as ErrorFrame));
  }

  /** The latest of each, one after the other: a mouse that moves must not become a hundred POSTs at once. */
  async function postSignals(): Promise<void> {
    if (signalling) return;
    signalling = true;
    for (const [path, text] of signals) {
      signals.delete(path);
      await http.call(path, { body: () => text }).catch(report);
    }
    signalling = false;
  }

  return {
    get size() {
      return outbox.size;
    },
    async publish(channel, event, value, { key = `${random()}${random()}`, signal } = {}) {
      const bytes = value instanceof Uint8Array;
      carrier.talked(bytes ? TALK_MIN : 1);
      const envelope = { channel, event, key, encoding: bytes ? "base64" : undefined, data: bytes ? encodeBase64(value) : (value ?? null) };
      return wait(JSON.stringify(envelope), 0, signal);
    },
    signal(channel, event, data) {
      carrier.talked(TALK_MIN);
      const { socket } = carrier;
      if (socket) return socket.pipe.send!(JSON.stringify({ type: "signal", channel, event, data: data ?? null }));
      signals.set(pathOf("signals", channel, { event }), JSON.stringify(data ?? null));
      void postSignals();
    },
    request: async (channel, name, data, { timeoutMs = REQUEST_SECONDS * 1_000, signal } = {}) => {
      carrier.talked(TALK_MIN);
      const seconds = timeoutMs / 1_000;
      const text = JSON.stringify(data ?? null);
      const { socket } = carrier;
      if (socket) {
        return wait("", seconds, signal, (id) =>
          socket.pipe.send!(JSON.stringify({ type: "request", id, channel, name, data: data ?? null })),
        );
      }
      return http.json(pathOf("requests", channel, { name }), seconds, { body: () => text, signal });
    },
    flush,
    answer(frame) {
      const { id = 0 } = frame as AckFrame;
      if (frame.type === "ack") settle(id, frame);
      else if (frame.type === "response") outbox.take(id)?.resolve(frame.data as never);
      else if (frame.type === "error") {
        if (id) refuse(id, frame);
        else report(new ThroughlineError(frame.code, frame.message));
      }
    },
    lost: (pipe) => outbox.lost(pipe, disconnected()),
    end(error) {
      outbox.end(error);
      signals.clear();
      pause?.();
      pause = undefined;
    },
  };
}

/** A path about a channel, whose name stands in it as it is: its characters are such that a URL takes none of them for its own. */
export function pathOf(what: string, channel: string, query: object): string {
  // By way of JSON, which leaves out what is undefined
  return `/${what}/${channel}?${new URLSearchParams(JSON.parse(JSON.stringify(query)))}`;
}
