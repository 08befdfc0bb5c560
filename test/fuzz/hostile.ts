import type { ClientClock, WebSocketLike } from "../../src/client/system.ts";
import type { Random } from "../../src/protocol/clock.ts";
import { ERRORS } from "../../src/protocol/error.ts";
import { packBinary } from "../../src/wire/websocket.ts";
import { type HandClock, seededRandom } from "../support/clock.ts";
import type { FakeServer } from "../support/fake-server.ts";
import { corpus } from "./corpus.ts";
import { below, mutate, NASTY, pick } from "./mutate.ts";

const EPOCHS = ["00000000000aepoch-01", "00000000000bepoch-02", "zzz", ""];
const CODES = [...Object.keys(ERRORS), "nobody_knows"];
/** As JSON: what a number may be told as. */
const NUMBERS = ["0", "1", "-1", "0.001", "15", "500", "1e6", "3e6", "1e10", "1e15", "1e999", "-1e999", "null", '"x"', "{}", "[]", "true"];
/** So many calls at one moment of time are a loop. */
const CALLS_AT_ONCE_MAX = 300;

/** A clock that does with a delay what the client's own does, and tells what a timer throws. */
export function likeSystem(clock: HandClock, fail: (error: unknown) => void): ClientClock {
  return {
    elapsed: () => clock.elapsed(),
    after(delayMs, act) {
      return clock.after(delayMs < 2 ** 31 ? Math.max(1, delayMs) : 20_000, () => {
        try {
          act();
        } catch (error) {
          fail(error);
        }
      });
    },
  };
}

/**
 * A server that answers whatever it likes: each number of its script is an answer; when there is none left, or it `repents`, it is the honest one. What
 * the client throws out of a handler, and a loop without a pause, are told to `fail`.
 */
export class Hostile {
  readonly #honest: FakeServer;
  readonly #clock: HandClock;
  readonly #script: number[];
  readonly #sticky: boolean;
  readonly #fail: (error: unknown) => void;
  readonly #sockets = new Set<HostileSocket>();
  /** When it was called. */
  readonly calls: number[] = [];
  #repentant = false;

  constructor(honest: FakeServer, clock: HandClock, script: readonly number[], sticky: boolean, fail: (error: unknown) => void) {
    this.#honest = honest;
    this.#clock = clock;
    this.#script = [...script];
    this.#sticky = sticky;
    this.#fail = fail;
  }

  /** Is honest from now on, and lets go of whom it holds. */
  repent(): void {
    this.#repentant = true;
    for (const socket of this.#sockets) socket.shut();
    for (const end of this.#streams) end();
  }

  readonly #streams = new Set<() => void>();

  readonly fetch: typeof fetch = async (url, init = {}) => {
    const seed = this.#called();
    if (seed === "loop") return new Promise<never>(() => undefined);
    if (seed === null) return this.#honest.options.fetch!(url, init);
    const random = seededRandom(seed);
    const { pathname, searchParams } = new URL(String(url));
    const { signal } = init;
    signal?.throwIfAborted();
    const gone = new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    gone.catch(() => undefined);
    const dice = random.fraction();
    if (dice < 0.06) throw new TypeError("fetch failed");
    if (dice < 0.1)
      return Promise.race([gone, new Promise<never>((_, reject) => this.#streams.add(() => reject(new TypeError("fetch failed"))))]);
    if (dice < 0.2) return new Response(garbled(random, `{"error":{"code":"${pick(random, CODES)}","message":"no"}}`), refusal(random));
    if (pathname === "/events" && !searchParams.has("wait")) return this.#stream(random, String(init.body), gone);
    return new Response(garbled(random, bodyFor(random, pathname, String(init.body))), { headers: { "Content-Type": "application/json" } });
  };

  get WebSocket(): new (
    url: string,
    protocols: string[],
  ) => WebSocketLike {
    const hostile = this;
    return class {
      constructor(url: string, protocols: string[]) {
        const seed = hostile.#called();
        const Honest = hostile.#honest.options.WebSocket!;
        const socket = seed === null ? new Honest(url, protocols) : new HostileSocket(seed === "loop" ? 0 : seed, hostile.#fail);
        if (socket instanceof HostileSocket) hostile.#sockets.add(socket);
        // biome-ignore lint/correctness/noConstructorReturn: the one or the other, as the script has it
        return socket;
      }
    } as never;
  }

  /** What this call is answered by: a seed, null for honestly, or nothing ever, for it is one of too many. */
  #called(): number | null | "loop" {
    const nowMs = this.#clock.elapsed();
    this.calls.push(nowMs);
    if (this.calls.at(-CALLS_AT_ONCE_MAX) === nowMs) {
      this.#fail(new Error(`${CALLS_AT_ONCE_MAX} calls at one moment: a loop without a pause.`));
      return "loop";
    }
    if (this.#repentant) return null;
    return (this.#sticky ? this.#script[0] : this.#script.shift()) ?? null;
  }

  #stream(random: Random, body: string, gone: Promise<never>): Response {
    const text = Array.from({ length: below(random, 12) }, () => `data: ${frame(random, body)}\n\n`).join("");
    const bytes = Buffer.from(garbled(random, text), "latin1");
    const at = below(random, bytes.length + 1);
    const ending = random.fraction();
    const streams = this.#streams;
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        gone.catch((reason) => tolerate(() => controller.error(reason)));
        for (const piece of [bytes.subarray(0, at), bytes.subarray(at)]) if (piece.length > 0) controller.enqueue(piece);
        if (ending < 0.3) controller.close();
        else if (ending < 0.4) controller.error(new TypeError("terminated"));
        else streams.add(() => tolerate(() => controller.close()));
      },
    });
    return new Response(random.fraction() < 0.05 ? null : stream, { headers: { "Content-Type": "text/event-stream" } });
  }
}

/** It may be over already. */
function tolerate(act: () => void): void {
  try {
    act();
  } catch {
    // Then there is nothing to do
  }
}

class HostileSocket implements WebSocketLike {
  binaryType = "blob";
  readyState = 0;
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly #random: Random;
  readonly #fail: (error: unknown) => void;
  #last = "";

  constructor(seed: number, fail: (error: unknown) => void) {
    this.#random = seededRandom(seed);
    this.#fail = fail;
    const order = this.#random.fraction();
    queueMicrotask(() => {
      if (order < 0.1) return this.shut();
      this.readyState = 1;
      this.#tell(() => this.onopen?.({} as never));
      this.#speak();
      if (order > 0.7) this.shut();
    });
  }

  send(data: string): void {
    if (this.readyState === 0) this.#fail(new Error("send() on a socket that is not open yet throws in browsers."));
    this.#last = data;
    if (this.#random.fraction() < 0.5) queueMicrotask(() => this.#speak());
  }

  close(): void {
    this.shut();
  }

  shut(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => {
      this.#tell(() => this.onerror?.({} as never));
      this.#tell(() => this.onclose?.({ code: 1006 } as never));
      // And once more after the end
      this.#speak();
    });
  }

  #speak(): void {
    for (let count = below(this.#random, 5); count > 0; count--) {
      const text = garbled(this.#random, frame(this.#random, this.#last));
      const binary = (): ArrayBuffer => Uint8Array.from(packBinary(text, Uint8Array.of(1, 2))).buffer;
      const data =
        this.#random.fraction() < 0.8 ? text : this.#random.fraction() < 0.5 ? binary() : new ArrayBuffer(below(this.#random, 8));
      this.#tell(() => this.onmessage?.({ data } as never));
    }
  }

  #tell(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }
}

/** Mostly as it is. */
function garbled(random: Random, text: string): string {
  return random.fraction() < 0.8 ? text : mutate(text, random, [...corpus("json"), ...corpus("sse")]);
}

function refusal(random: Random): ResponseInit {
  const status = pick(random, [400, 401, 403, 404, 429, 500, 502, 503, 504]);
  const after = pick(random, ["0", "1", "-5", "1e12", "soon", "Wed, 21 Oct 2099 07:28:00 GMT", ""]);
  return { status, headers: random.fraction() < 0.5 ? {} : { "Retry-After": after } };
}

/** A frame near to what a server would say to the last that the client said, as JSON. */
function frame(random: Random, said: string): string {
  const id = random.fraction() < 0.7 ? (/"id":(\d+)/.exec(said)?.[1] ?? "1") : pick(random, NUMBERS);
  const channel = JSON.stringify(random.fraction() < 0.85 ? pick(random, ["a", "b"]) : pick(random, NASTY));
  const offset = below(random, 6);
  const epoch = pick(random, EPOCHS.slice(0, random.fraction() < 0.9 ? 2 : 4));
  const position = (at: number): string =>
    `"${epoch}.${String(at).padStart(16, "0")}.${random.fraction() < 0.9 ? `tag0000${at}` : "--------"}"`;
  const number = (): string => (random.fraction() < 0.4 ? "15" : pick(random, NUMBERS));
  const text = JSON.stringify(pick(random, NASTY));
  switch (below(random, 14)) {
    case 0:
    case 1:
      return `{"type":"connected","connection":"c","heartbeatSeconds":${number()},"retryMs":${number()},"limits":{}}`;
    case 2:
    case 3:
      return `{"type":"subscribed","channel":${channel},"id":${id},"position":${position(offset)}}`;
    case 4:
    case 5:
    case 6:
      return `{"channel":${channel},"id":"${offset}.tag0000${offset}","at":${number()},"data":${number()}}`;
    case 7:
      return `{"type":"live","channel":${channel}}`;
    case 8:
      return `{"type":"gap","channel":${channel},"reason":"${pick(random, ["trimmed", "truncated", "epoch", "x"])}","since":${random.fraction() < 0.5 ? "null" : position(below(random, 6))},"resumeFrom":${position(offset)},"missing":${number()}}`;
    case 9:
      return `{"type":"epoch","channel":${channel},"epoch":"${pick(random, EPOCHS)}"}`;
    case 10:
      return `{"type":"error","code":"${pick(random, CODES)}","message":${text},"id":${id}${random.fraction() < 0.5 ? `,"channel":${channel}` : ""},"retryAfterMs":${number()}}`;
    case 11:
      return `{"type":"bye","code":"${pick(random, CODES)}","message":${text}${random.fraction() < 0.8 ? `,"retryAfterMs":${number()}` : ""}}`;
    case 12:
      return `{"type":"${pick(random, ["ack", "response", "signal", "heartbeat", "unsubscribed", "nothing"])}","id":${id},"channel":${channel},"position":${position(offset)},"level":"memory","event":"x","data":${number()},"sender":"s"}`;
    default:
      return pick(random, [
        "null",
        "[]",
        "0",
        '""',
        "{}",
        '{"type":null}',
        '{"channel":"a"}',
        '{"channel":"a","id":7,"data":1}',
        '{"channel":"a","id":"","at":1,"data":"%","encoding":"base64"}',
      ]);
  }
}

function bodyFor(random: Random, path: string, said: string): string {
  const frames = (): string => Array.from({ length: below(random, 4) }, () => frame(random, said)).join(",");
  if (path === "/events")
    return pick(random, [`{"frames":[${frames()}]}`, `{"frames":[${frames()}]}`, '{"frames":[]}', "{}", "null", '{"frames":{}}']);
  if (path === "/publish")
    return pick(random, [
      "[]",
      "null",
      "{}",
      `[${frames()}]`,
      '[{"position":"x","level":"memory"}]',
      '[{"error":{"code":"overloaded","message":"m","retryAfterMs":0}}]',
    ]);
  if (!path.startsWith("/channels/")) return pick(random, ["null", "{}", frames() || "0"]);
  const at = (offset: number): string => `${pick(random, EPOCHS.slice(0, 2))}.${String(offset).padStart(16, "0")}.tag0000${offset}`;
  const messages = Array.from(
    { length: below(random, 4) },
    () => `{"position":"${at(below(random, 6))}","at":1,"event":"message","data":1}`,
  );
  const position = random.fraction() < 0.9 ? `"${at(below(random, 6))}"` : pick(random, NUMBERS);
  const gap = random.fraction() < 0.2 ? `"gap":${frame(random, said)},` : "";
  return `{"channel":"a","messages":[${messages}],${gap}"position":${position},"upToDate":${pick(random, ["true", "false", "0"])}}`;
}
