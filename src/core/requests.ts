import type { Cancel, Clock } from "../protocol/clock.ts";
import { isErrorCode, ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { utf8Length } from "../protocol/message.ts";
import { type Handler, Handlers } from "./handlers.ts";
import type { Identity } from "./identity.ts";
import type { Log, Notice } from "./log.ts";
import { noticeOf, readNotice } from "./notice.ts";
import type { Put, RequestNotice } from "./request-notice.ts";
import { textOfThrown } from "./thrown.ts";

/** What nodes say of requests begins with this. */
const ABOUT = "request";
/** Followed by nodes that have handlers. Nothing is stored there. */
const ASKED = "throughline/requests";
/** Who would answer is asked so often, as parts of `offerSecondsMax`: a question may be lost, and the first offers come before this node listens for them. */
const ROUNDS = [0.05, 0.15, 0.8];

interface RequestsContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly warn: (sentence: string) => void;
  /** Names this one among the nodes. */
  readonly node: () => string;
  /** Resolves once the log can be used. */
  readonly opened: () => Promise<void>;
}

/** A request of this node's clients, on its way to another. */
interface Forwarded {
  readonly put: Omit<Put, "node">;
  /** No offer has been taken yet. */
  isSeeking: boolean;
  cancel: Cancel;
  readonly resolve: (json: string) => void;
  readonly reject: (error: ThroughlineError) => void;
}

/** Asks the application: the handlers of this node, and where none of them answers those of another. */
export class Requests {
  readonly #context: RequestsContext;
  readonly #handlers: Handlers;
  readonly #forwarded = new Map<number, Forwarded>();
  /** Those of other nodes that were put to this one of late: none is done twice. */
  readonly #taken = new Set<string>();
  readonly #followed = new Set<string>();
  /** Requests of others that this node's handlers have not answered. */
  readonly #answering = new Map<string, Put>();
  #ids = 0;
  #isOpen = false;
  #isClosed = false;

  constructor(context: RequestsContext) {
    const { clock, limits, warn } = context;
    this.#context = context;
    this.#handlers = new Handlers(clock, limits.requestSecondsMax, warn);
  }

  handle(pattern: string, name: string, handler: Handler): () => void {
    const takeBack = this.#handlers.add(pattern, name, handler);
    this.#listenToAsked();
    return takeBack;
  }

  /** What the application answers, as JSON text. Rejects with a ThroughlineError. Whoever asks for somebody has asked the gate. */
  async ask(channel: string, name: string, data: unknown, identity: Identity): Promise<string> {
    const own = this.#handlers.ask(channel, name, data, identity);
    if (own !== null) return own;
    if (this.#context.log.notify === undefined) {
      throw new ThroughlineError("no_handler", `Nothing answers ${quoted(name)} on ${channel}. Register it with handle().`);
    }
    await this.#context.opened();
    return this.#forward({ type: "put", id: ++this.#ids, asker: this.#context.node(), channel, name, data, identity });
  }

  /** The log is open: what other nodes say is heard from now on. */
  open(): void {
    this.#isOpen = true;
    this.#listenToAsked();
  }

  /** Takes what is said between nodes about requests. False: it is about something else. */
  heard(heard: Notice): boolean {
    const notice = readNotice<RequestNotice>(ABOUT, heard);
    if (notice === null) return false;
    if (this.#isClosed) return true;
    if (notice.type === "who") this.#offer(notice);
    else if (notice.type === "offer") this.#accept(notice);
    else if (notice.type === "put") void this.#answer(notice);
    else this.#answered(notice);
    return true;
  }

  /** No request is taken, or waited for, any more. */
  close(): void {
    this.#isClosed = true;
    for (const { cancel, put, reject } of this.#forwarded.values()) {
      cancel();
      reject(stopping(put));
    }
    this.#forwarded.clear();
    // Later there is no log to say it by
    for (const put of this.#answering.values()) this.#refuse(put, stopping(put));
  }

  #listenToAsked(): void {
    if (this.#isOpen && !this.#handlers.isEmpty) this.#follow(ASKED);
  }

  #follow(channel: string): void {
    if (this.#context.log.notify === undefined || this.#followed.has(channel)) return;
    this.#followed.add(channel);
    this.#context.log.follow(channel, () => {});
  }

  #forward(put: Omit<Put, "node">): Promise<string> {
    const { limits } = this.#context;
    if (this.#isClosed) throw new ThroughlineError("restart", "The server is stopping. Come back in a moment.");
    if (this.#forwarded.size >= limits.forwardedCountMax) {
      const sentence = `${this.#forwarded.size} requests wait for answers of other nodes, as many as may. Ask again later.`;
      throw new ThroughlineError("too_many_requests", sentence);
    }
    this.#checkSize(put);
    this.#follow(answersOf(this.#context.node()));
    return new Promise((resolve, reject) => {
      const forwarded: Forwarded = { put, isSeeking: true, cancel: () => {}, resolve, reject };
      this.#forwarded.set(put.id, forwarded);
      this.#seek(forwarded, 0);
    });
  }

  /** Identities are the application's, and may hold what JSON cannot. */
  #checkSize(put: Omit<Put, "node">): void {
    const { warn, limits } = this.#context;
    let bytes: number;
    try {
      bytes = utf8Length(JSON.stringify(put));
    } catch (error) {
      warn(`${quoted(put.name)} on ${put.channel} cannot be put to another node: ${textOfThrown(error)}`);
      throw new ThroughlineError("request_failed", `${quoted(put.name)} on ${put.channel} failed. The server's log has the cause.`);
    }
    if (bytes > limits.forwardedBytesMax) {
      const sentence = `A request that another node answers has at most ${limits.forwardedBytesMax} bytes, and this has ${bytes}.`;
      throw new ThroughlineError("too_large", sentence);
    }
  }

  #seek(forwarded: Forwarded, round: number): void {
    const { clock, limits } = this.#context;
    const { id, asker, channel, name } = forwarded.put;
    const part = ROUNDS[round];
    if (part === undefined) {
      const sentence = `Nothing answers ${quoted(name)} on ${channel}, on this node or another. Register it with handle().`;
      this.#end(id)?.reject(new ThroughlineError("no_handler", sentence));
      return;
    }
    forwarded.cancel = clock.after(part * limits.offerSecondsMax * 1_000, () => this.#seek(forwarded, round + 1));
    this.#say(ASKED, { type: "who", id, asker, channel, name });
  }

  #offer({ id, asker, channel, name }: Extract<RequestNotice, { type: "who" }>): void {
    if (this.#answering.size >= this.#context.limits.forwardedCountMax || !this.#handlers.has(channel, name)) return;
    this.#say(answersOf(asker), { type: "offer", id, node: this.#context.node() });
  }

  /** The first offer is taken, and no other. */
  #accept({ id, node }: Extract<RequestNotice, { type: "offer" }>): void {
    const { clock, limits } = this.#context;
    const forwarded = this.#forwarded.get(id);
    if (forwarded === undefined || !forwarded.isSeeking) return;
    const { channel, name } = forwarded.put;
    forwarded.isSeeking = false;
    forwarded.cancel();
    forwarded.cancel = clock.after(limits.requestSecondsMax * 1_000, () => {
      const sentence = `${quoted(name)} on ${channel} was not answered within ${limits.requestSecondsMax} s. It may still have its effect.`;
      this.#end(id)?.reject(new ThroughlineError("request_timeout", sentence));
    });
    this.#say(ASKED, { ...forwarded.put, node });
  }

  async #answer(put: Put): Promise<void> {
    const { node, channel, name, data, identity } = put;
    const { forwardedCountMax, forwardedBytesMax } = this.#context.limits;
    const print = printOf(put);
    if (node !== this.#context.node() || this.#taken.has(print)) return;
    this.#taken.add(print);
    if (this.#taken.size > forwardedCountMax) this.#taken.delete(this.#taken.values().next().value!);
    this.#answering.set(print, put);
    try {
      const json = await (this.#handlers.ask(channel, name, data, identity) ?? Promise.reject(noLonger(name, channel)));
      const bytes = utf8Length(json);
      if (bytes > forwardedBytesMax) {
        const sentence = `An answer by way of another node has at most ${forwardedBytesMax} bytes, and that to ${quoted(name)} has ${bytes}.`;
        throw new ThroughlineError("too_large", sentence);
      }
      if (this.#answering.delete(print)) this.#say(answersOf(put.asker), { type: "answer", id: put.id, json });
    } catch (thrown) {
      this.#refuse(put, thrown as ThroughlineError);
    }
  }

  #refuse(put: Put, { code, message, retryAfterMs }: ThroughlineError): void {
    if (!this.#answering.delete(printOf(put))) return;
    const refusal = { type: "answer" as const, id: put.id, code, message, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    this.#say(answersOf(put.asker), refusal);
  }

  #answered(notice: Extract<RequestNotice, { type: "answer" }>): void {
    const forwarded = this.#end(notice.id);
    if ("json" in notice) forwarded?.resolve(notice.json);
    // A node of a later version may know more codes
    else forwarded?.reject(new ThroughlineError(isErrorCode(notice.code) ? notice.code : "request_failed", notice.message, notice));
  }

  #end(id: number): Forwarded | undefined {
    const forwarded = this.#forwarded.get(id);
    forwarded?.cancel();
    this.#forwarded.delete(id);
    return forwarded;
  }

  #say(channel: string, notice: RequestNotice): void {
    this.#context.log.notify?.(noticeOf(ABOUT, channel, notice));
  }
}

/** Followed by a node that has asked others. */
function answersOf(node: string): string {
  return `throughline/answers/${node}`;
}

/** Tells it from the requests of all other nodes. */
function printOf({ asker, id }: Put): string {
  return `${asker} ${id}`;
}

function stopping({ name, channel }: Pick<Put, "name" | "channel">): ThroughlineError {
  return new ThroughlineError("restart", `The server is stopping. What became of ${quoted(name)} on ${channel} is not known.`);
}

function noLonger(name: string, channel: string): ThroughlineError {
  return new ThroughlineError("no_handler", `What answered ${quoted(name)} on ${channel} was taken back.`);
}

function quoted(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
