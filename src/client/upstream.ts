import type { Cancel } from "../protocol/clock.ts";
import type { ThroughlineError } from "../protocol/error.ts";
import type { AckFrame, ErrorFrame, ResponseFrame, ServerFrame } from "../protocol/frame.ts";
import type { Level } from "../protocol/message.ts";
import { backoff } from "./backoff.ts";
import { REQUEST_MS, TALK_MIN } from "./bounds.ts";
import { encodeBase64 } from "./bytes.ts";
import type { ConnectionState } from "./connection-state.ts";
import type { Environment } from "./environment.ts";
import { disconnected, refusal } from "./faults.ts";
import { MAY_RETRY } from "./may-retry.ts";
import { createOutbox, type Waiting } from "./outbox.ts";
import type { Pipe } from "./pipe.ts";
import { within } from "./within.ts";

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

/** What became of one envelope of a POST. */
type Result = AckFrame & { readonly error?: ErrorFrame };

/** Codes that leave open whether the publish was stored. */
const UNSURE = /^(unk|int|dis|time)/;

export function createUpstream(carrier: Carrier, { http, clock, limits, random, life, report }: Environment): Upstream {
  const outbox = createOutbox(limits);
  const signals = new Map<string, string>();
  let posting = false;
  let signalling = false;
  let pause: Cancel | undefined;
  let failures = 0;
  /** Apart from those of subscriptions, which begin at 1. */
  let ids = 1e9;

  /** Waits for the answer to a publish, which goes when it can, or to a request, which goes at once, and once. */
  function wait<Answer>(publish: string, request: string, ms: number, signal: AbortSignal | undefined): Promise<Answer> {
    return within(
      clock,
      ms,
      signal,
      (own) =>
        new Promise((resolve, reject) => {
          own.throwIfAborted();
          if (carrier.error) throw carrier.error;
          const waiting: Waiting = { id: ++ids, text: publish, resolve, reject, via: 0 };
          own.onabort = () => outbox.take(waiting.id)?.reject(own.reason);
          outbox.add(waiting);
          if (request) send(waiting, "request", request);
        }),
    );
  }

  function send(waiting: Waiting, type = "publish", text = waiting.text): void {
    const socket = carrier.socket!;
    waiting.via = socket.id;
    socket.pipe.send!(`{"type":"${type}","id":${waiting.id},${text.slice(1)}`);
  }

  /** One POST at a time, and none beside frames: else a later publish could overtake an earlier one. */
  function flush(): void {
    const batch = posting || pause ? [] : outbox.unsent();
    if (!batch[0]) return;
    if (carrier.socket) {
      for (const waiting of batch) send(waiting);
      flush();
    } else if (carrier.state === "connected" || carrier.state === "idle") void post(batch);
  }

  async function post(batch: readonly Waiting[]): Promise<void> {
    posting = true;
    for (const waiting of batch) waiting.via = -1;
    try {
      const body = (): string => `[${batch.map(({ text }) => text)}]`;
      const results = (await http.json("/publish", REQUEST_MS, undefined, body)) as Result[];
      failures = 0;
      for (const { id } of batch) {
        const result = results.shift() as Result;
        if (result.error) refuse(id, result.error);
        else outbox.take(id)?.resolve(result as never);
      }
    } catch (error) {
      for (const { id } of batch) refuse(id, disconnected(error));
    }
    posting = false;
    carrier.plan();
  }

  function refuse(id: number, told: ErrorFrame | ThroughlineError): void {
    const waiting = outbox.get(id);
    // `keys_full` may last for hours: the application decides
    if (waiting?.text && MAY_RETRY.test(told.code) && told.code !== "keys_full") {
      waiting.via = 0;
      waiting.unsure ||= UNSURE.test(told.code);
      pause ??= clock.after(Math.max(told.retryAfterMs ?? 0, backoff(failures++, limits, random())), () => {
        pause = undefined;
        carrier.plan();
      });
    } else outbox.refuse(id, refusal(told));
  }

  /** The latest of each, one after the other: a mouse that moves must not become a hundred POSTs at once. */
  async function postSignals(): Promise<void> {
    if (signalling) return;
    signalling = true;
    for (const [path, text] of signals) {
      signals.delete(path);
      await within(clock, REQUEST_MS, life.signal, (signal) => http.call(path, signal, () => text)).catch(
        (error) => life.signal.aborted || report(error),
      );
    }
    signalling = false;
  }

  return {
    get size() {
      return outbox.size;
    },
    async publish(channel, event, data = null, { key = `${random()}${random()}`, signal } = {}) {
      const bytes = data instanceof Uint8Array;
      carrier.talked(bytes ? TALK_MIN : 1);
      const content = bytes ? { encoding: "base64", data: encodeBase64(data) } : { data };
      const text = JSON.stringify({ channel, event, key, ...content });
      const { position, level, duplicate = false } = await wait<AckFrame>(text, "", 0, signal);
      return { position, level, duplicate };
    },
    signal(channel, event, data = null) {
      carrier.talked(TALK_MIN);
      if (carrier.socket) return carrier.socket.pipe.send!(JSON.stringify({ type: "signal", channel, event, data }));
      signals.set(pathOf("signals", channel, { event }), JSON.stringify(data));
      void postSignals();
    },
    async request(channel, name, data = null, { timeoutMs = REQUEST_MS, signal } = {}) {
      carrier.talked(TALK_MIN);
      // As a publish: who was told not to come back does not, by whatever way
      if (carrier.error) throw carrier.error;
      if (carrier.socket) return (await wait<ResponseFrame>("", JSON.stringify({ channel, name, data }), timeoutMs, signal)).data;
      const text = JSON.stringify(data);
      return http.json(pathOf("requests", channel, { name }), timeoutMs, signal, () => text);
    },
    flush,
    answer(frame) {
      const { id } = frame as AckFrame;
      if (frame.type !== "error") outbox.take(id)?.resolve(frame as never);
      else if (id) refuse(id, frame);
      else report(refusal(frame));
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
