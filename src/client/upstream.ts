import type { Cancel } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { AckFrame, ErrorFrame, ResponseFrame } from "../protocol/frame.ts";
import type { Level } from "../protocol/message.ts";
import { backoff } from "./backoff.ts";
import { encodeBase64, encodeText } from "./bytes.ts";
import { TALK_MIN } from "./choose-transport.ts";
import type { Machine } from "./connection-state.ts";
import type { Environment } from "./environment.ts";
import { REQUEST_SECONDS, within } from "./http.ts";
import { mayRetry } from "./may-retry.ts";
import { createOutbox, type Waiting } from "./outbox.ts";
import { disconnected } from "./pipe.ts";

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
  readonly machine: Machine;
  /** The pipe that goes both ways, if that is what runs. */
  readonly socket: { readonly id: number; send(message: string): void } | undefined;
  newId(): number;
  /** Looks at the end of this turn whether something is to be sent, or another transport would do better. */
  plan(): void;
  talked(weight: number): void;
}

/** What goes from the application to the server: as frames where a pipe goes both ways, else as POSTs. */
export interface Upstream {
  /** How much waits that a WebSocket could carry. */
  readonly size: number;
  publish(channel: string, event: string | undefined, value: unknown, options: PublishOptions): Promise<Published>;
  signal(channel: string, event: string, value: unknown): void;
  request(channel: string, name: string, value: unknown, options: RequestOptions): Promise<unknown>;
  /** Sends what waits, if there is a way. */
  flush(): void;
  answer(frame: AckFrame | ResponseFrame | ErrorFrame): void;
  /** What was sent on this pipe and not answered never will be. */
  lost(pipe: number): void;
  /** Nothing will be sent any more. */
  end(error: ThroughlineError): void;
}

type Result = Omit<AckFrame, "id" | "duplicate"> & { readonly duplicate?: boolean; readonly error?: ErrorFrame };

export function createUpstream(carrier: Carrier, { http, clock, limits, random, report }: Environment): Upstream {
  const outbox = createOutbox(limits);
  const signals = new Map<string, string>();
  const abort = new AbortController();
  let posting = false;
  let signalling = false;
  let pause: Cancel | undefined;
  let failures = 0;

  /** Waits for an answer for as long as it may. */
  function wait<Answer>(type: Waiting["type"], text: string, seconds: number, signal: AbortSignal | undefined): Promise<Answer> {
    return within(
      clock,
      seconds,
      signal,
      (own) =>
        new Promise((resolve, reject) => {
          const { state, error } = carrier.machine;
          own.throwIfAborted();
          if (error || state === "closed") throw error ?? new ThroughlineError("closed", "The client is closed.");
          const waiting: Waiting = { id: carrier.newId(), type, text, bytes: encodeText(text).length, resolve, reject, via: 0 };
          own.onabort = () => outbox.take(waiting.id)?.reject(own.reason);
          outbox.add(waiting);
          if (type === "request") send(waiting);
        }),
    );
  }

  function send(waiting: Waiting): void {
    const { id, type, text } = waiting;
    const { socket } = carrier;
    waiting.via = socket!.id;
    socket!.send(`{"type":"${type}","id":${id},${text.slice(1)}`);
  }

  /** One POST at a time, and none beside frames: else a later publish could overtake an earlier one. */
  function flush(): void {
    const { socket, machine } = carrier;
    const batch = posting || pause ? [] : outbox.unsent();
    if (!batch[0]) return;
    if (socket) {
      batch.forEach(send);
      flush();
    } else if (machine.state === "connected" || machine.state === "idle") void post(batch);
  }

  async function post(batch: readonly Waiting[]): Promise<void> {
    posting = true;
    for (const waiting of batch) waiting.via = -1;
    try {
      const body = (): string => `[${batch.map(({ text }) => text)}]`;
      const results = (await http.json("/publish", REQUEST_SECONDS, { body, signal: abort.signal })) as Result[];
      failures = 0;
      batch.forEach(({ id }, index) => settle(id, results[index] as Result));
    } catch (error) {
      for (const { id } of batch) refuse(id, disconnected(error));
    }
    posting = false;
    carrier.plan();
  }

  function settle(id: number, { error, position, level, duplicate = false }: Result): void {
    if (error) refuse(id, new ThroughlineError(error.code, error.message));
    else outbox.take(id)?.resolve({ position, level, duplicate } as never);
  }

  function refuse(id: number, error: ThroughlineError): void {
    const { code, retryAfterMs = 0 } = error;
    const waiting = outbox.get(id);
    // `keys_full` may last for hours: the application decides
    if (waiting?.type !== "publish" || !mayRetry(code) || code === "keys_full") return outbox.take(id)?.reject(error);
    waiting.via = 0;
    pause ??= clock.after(Math.max(retryAfterMs, backoff(failures++, limits, random.fraction())), () => {
      pause = undefined;
      carrier.plan();
    });
  }

  /** The latest of each, one after the other: a mouse that moves must not become a hundred POSTs at once. */
  async function postSignals(): Promise<void> {
    if (signalling) return;
    signalling = true;
    for (const [path, text] of signals) {
      signals.delete(path);
      await http.call(path, { body: () => text, signal: abort.signal }).catch(report);
    }
    signalling = false;
  }

  return {
    get size() {
      return outbox.size;
    },
    async publish(channel, event, value, { key = random.letters(24), signal }) {
      const bytes = value instanceof Uint8Array;
      carrier.talked(bytes ? TALK_MIN : 1);
      const envelope = { channel, event, key, encoding: bytes ? "base64" : undefined, data: bytes ? encodeBase64(value) : jsonable(value) };
      return wait("publish", JSON.stringify(envelope), 0, signal);
    },
    signal(channel, event, data) {
      carrier.talked(TALK_MIN);
      const { socket } = carrier;
      if (socket) return socket.send(JSON.stringify({ type: "signal", channel, event, data: jsonable(data) }));
      signals.set(pathOf("signals", channel, { event }), JSON.stringify(jsonable(data)));
      void postSignals();
    },
    request: async (channel, name, data, { timeoutMs = REQUEST_SECONDS * 1_000, signal }) => {
      carrier.talked(TALK_MIN);
      const seconds = timeoutMs / 1_000;
      if (carrier.socket) return wait("request", JSON.stringify({ channel, name, data: jsonable(data) }), seconds, signal);
      const text = JSON.stringify(jsonable(data));
      return http.json(pathOf("requests", channel, { name }), seconds, { body: () => text, signal });
    },
    flush,
    answer(frame) {
      const { id = 0, type } = frame;
      if (type === "error") refuse(id, new ThroughlineError(frame.code, frame.message, frame));
      else if (type === "ack") settle(id, frame);
      else outbox.take(id)?.resolve(frame.data as never);
    },
    lost: (pipe) => outbox.lost(pipe, disconnected()),
    end(error) {
      outbox.end(error);
      signals.clear();
      pause?.();
      pause = undefined;
      if (error.code === "closed") abort.abort(error);
    },
  };
}

/** A path about a channel, whose name stands in it as it is: its characters are such that a URL takes none of them for its own. */
export function pathOf(what: string, channel: string, query: Readonly<Record<string, string>>): string {
  return `/${what}/${channel}?${new URLSearchParams(query)}`;
}

/** JSON has no undefined: it is null, as in an array. */
function jsonable(value: unknown): unknown {
  return value ?? null;
}
