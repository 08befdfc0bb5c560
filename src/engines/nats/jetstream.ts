import type { NatsMessage } from "./connection.ts";
import { failureOf, isAway, isCrowded, isNoMessage, Refused, Unanswered } from "./failure.ts";
import type { Line } from "./line.ts";
import { decodeHeaders, type Headers } from "./record.ts";

/** A message as it stands in a stream. */
export interface Stored {
  readonly seq: number;
  readonly subject: string;
  readonly headers: Headers;
  readonly data: Uint8Array;
}

export interface StreamInfo {
  readonly created: string;
  readonly config: {
    readonly num_replicas?: number;
    readonly description?: string;
    readonly storage?: string;
    readonly republish?: { readonly dest: string };
    readonly max_age?: number;
    readonly max_msgs?: number;
    readonly max_bytes?: number;
    readonly max_msgs_per_subject?: number;
    readonly discard?: string;
  };
  readonly state: { readonly last_seq: number; readonly messages: number; readonly subjects?: Readonly<Record<string, number>> };
  readonly total?: number;
  /** Of one server alone it has no name. */
  readonly cluster?: { readonly name?: string };
}

interface AccountLimits {
  readonly limits?: { readonly max_storage?: number };
}

/** What an account may keep: without a limit it is below 0. */
export interface Account extends AccountLimits {
  readonly domain?: string;
  readonly tiers?: Readonly<Record<string, AccountLimits>>;
}

/** Messages and bytes in one answer. */
const FETCH_COUNT_MAX = 256;
const FETCH_BYTES_MAX = 4_194_304;
/** So long it waits for what was deleted meanwhile. */
const FETCH_NS_MAX = 1_000_000_000;
/** A consumer that was left behind is deleted by NATS after so long. */
const INACTIVE_NS = 30_000_000_000;
const NOBODY = 503;

/** What this engine asks of JetStream, by its API of subjects. All of it is answered by the leader of the stream, none by a copy that may be behind. */
export class JetStream {
  readonly line: Line;
  /** Where it is asked: it names the domain. */
  readonly api: string;
  #mayUseMemory = true;
  /** Where several JetStreams are one network, each has its own. */
  #domain: string | undefined;

  constructor(line: Line, api: string) {
    this.line = line;
    this.api = api;
  }

  /** Stores a message, and gives its place in the stream. */
  async publish(subject: string, headers: Uint8Array | undefined, payload: Uint8Array): Promise<number> {
    const { seq, domain } = await this.#answer<{ seq: number; domain?: string }>(this.line.request(subject, payload, headers));
    if (domain === this.#domain || domain === undefined || this.#domain === undefined) return seq;
    throw new Unanswered(`the JetStream of the domain ${domain} has answered, and not that of ${this.#domain}.`);
  }

  last(stream: string, subject: string): Promise<Stored | null> {
    return this.#get(stream, { last_by_subj: subject });
  }

  /** The first message of a subject that stands at a place or behind it. */
  next(stream: string, subject: string, seq: number): Promise<Stored | null> {
    return this.#get(stream, { seq, next_by_subj: subject });
  }

  /** Deletes the messages of a subject before a place. */
  async purge(stream: string, subject: string, beforeSeq: number): Promise<void> {
    await this.#ask(`STREAM.PURGE.${stream}`, { filter: subject, seq: beforeSeq });
  }

  async delete(stream: string, seq: number): Promise<void> {
    await this.#ask(`STREAM.MSG.DELETE.${stream}`, { seq, no_erase: true });
  }

  info(stream: string, more: object = {}): Promise<StreamInfo> {
    return this.#ask(`STREAM.INFO.${stream}`, more);
  }

  create(config: Readonly<Record<string, unknown>> & { readonly name: string }): Promise<StreamInfo> {
    return this.#ask(`STREAM.CREATE.${config.name}`, config);
  }

  async account(): Promise<Account> {
    const account = await this.#ask<Account>("INFO", {});
    this.#domain = account.domain;
    return account;
  }

  /** The messages of a subject from a place on, in a few questions where one for each would be many. Ends where `take` says false, or with the last of them that is there now. */
  async each(stream: string, subject: string, seq: number, take: (stored: Stored) => boolean, onlyHeaders = false): Promise<void> {
    const made = this.#consume(stream, {
      ...{ deliver_policy: "by_start_sequence", opt_start_seq: Math.max(1, seq), filter_subject: subject, ack_policy: "none" },
      ...{ replay_policy: "instant", inactive_threshold: INACTIVE_NS, num_replicas: 1, headers_only: onlyHeaders },
    });
    const consumer = await made.catch((error) => {
      // So many others read now: it is slower one by one, but it goes on
      if (isCrowded(error)) return null;
      throw error;
    });
    if (consumer === null) return this.#eachAlone(stream, subject, seq, take);
    const { name, num_pending } = consumer;
    try {
      for (let pending = num_pending; pending > 0; ) {
        const messages = await this.#fetch(stream, name);
        for (const message of messages) if (!take(storedOf(message))) return;
        pending = messages.length === 0 ? 0 : placeOf(messages.at(-1)!).pending;
      }
    } finally {
      this.line.tell(`${this.api}.CONSUMER.DELETE.${stream}.${name}`, "");
    }
  }

  async #eachAlone(stream: string, subject: string, from: number, take: (stored: Stored) => boolean): Promise<void> {
    for (let stored = await this.next(stream, subject, from); stored !== null; stored = await this.next(stream, subject, stored.seq + 1)) {
      if (!take(stored)) return;
    }
  }

  /** Does what `each` does, and asks for nothing. */
  async tryEach(stream: string, subject: string): Promise<void> {
    const { name } = await this.#consume(stream, {
      deliver_policy: "all",
      filter_subject: subject,
      ack_policy: "none",
      inactive_threshold: INACTIVE_NS,
    });
    await this.#fetch(stream, name, { no_wait: true });
    this.line.tell(`${this.api}.CONSUMER.DELETE.${stream}.${name}`, "");
  }

  async #consume(stream: string, config: object): Promise<{ readonly name: string; readonly num_pending: number }> {
    const create = (more: object) =>
      this.#ask<{ name: string; num_pending: number }>(`CONSUMER.CREATE.${stream}`, {
        stream_name: stream,
        config: { ...config, ...more },
      });
    if (this.#mayUseMemory) {
      try {
        return await create({ mem_storage: true });
      } catch (error) {
        if (!(error instanceof Refused) || isAway(error) || isCrowded(error)) throw error;
      }
    }
    const made = await create({});
    // An account without memory: it is not asked for again
    this.#mayUseMemory = false;
    return made;
  }

  async #fetch(stream: string, consumer: string, wait: object = { expires: FETCH_NS_MAX }): Promise<NatsMessage[]> {
    const wanted = JSON.stringify({ batch: FETCH_COUNT_MAX, max_bytes: FETCH_BYTES_MAX, ...wait });
    const codeOf = ({ headers }: NatsMessage) => headers?.code ?? 0;
    const isEnd = (message: NatsMessage) => codeOf(message) >= 400 || placeOf(message).pending === 0;
    const messages = await this.line.requestMany(`${this.api}.CONSUMER.MSG.NEXT.${stream}.${consumer}`, wanted, FETCH_COUNT_MAX, isEnd);
    if (messages.some((message) => codeOf(message) === NOBODY)) throw new Refused(NOBODY, "nobody is there to read it.");
    // 408, 409: as many as there were, or as there was room for
    return messages.filter((message) => codeOf(message) === 0);
  }

  async #get(stream: string, what: object): Promise<Stored | null> {
    try {
      const { message } = await this.#ask<{ message: { seq: number; subject: string; hdrs?: string; data?: string } }>(
        `STREAM.MSG.GET.${stream}`,
        what,
      );
      const { seq, subject, hdrs = "", data = "" } = message;
      return { seq, subject, headers: decodeHeaders(Buffer.from(hdrs, "base64")), data: Buffer.from(data, "base64") };
    } catch (error) {
      if (isNoMessage(error)) return null;
      throw error;
    }
  }

  #ask<Answer>(what: string, body: object): Promise<Answer> {
    return this.#answer(this.line.request(`${this.api}.${what}`, JSON.stringify(body)));
  }

  async #answer<Answer>(asked: Promise<NatsMessage>): Promise<Answer> {
    let message: NatsMessage;
    try {
      message = await asked;
    } catch (error) {
      throw failureOf(error);
    }
    const answer = JSON.parse(Buffer.from(message.data).toString());
    if (answer.error === undefined) return answer;
    throw new Refused(answer.error.err_code ?? answer.error.code ?? 0, answer.error.description ?? "JetStream refused it.");
  }
}

/** What a consumer gives: its place stands in the subject that an ack would go to. */
function storedOf(message: NatsMessage): Stored {
  const { subject, headers, data } = message;
  return { seq: placeOf(message).seq, subject, headers: (name) => headers?.get(name) ?? "", data };
}

/** $JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>; or with <domain>.<account> in front of the stream, and perhaps more at the end. */
function placeOf({ reply = "" }: NatsMessage): { readonly seq: number; readonly pending: number } {
  const tokens = reply.split(".");
  const from = tokens.length >= 11 ? 2 : 0;
  return { seq: Number(tokens[5 + from]), pending: Number(tokens[8 + from]) };
}
