import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import type { Draft, Log, LogContext, Page, Told } from "../../src/core/log.ts";
import { type RedisOptions, redis } from "../../src/redis.ts";
import { LIBRARIES } from "./redis-server.ts";

export const EVERYTHING = { count: 1_000_000, bytes: 1e12 };
export const LOBBY = "chat/lobby";

/** An engine as a node has it, opened, with what its operator was told. */
export interface Node {
  readonly log: Log;
  readonly sentences: string[];
}

/** Opens engines on one Redis and closes them all at the end. */
export class Nodes implements AsyncDisposable {
  readonly #server: { readonly socket: string } | { readonly port: number };
  readonly #opened: Log[] = [];

  constructor(server: { readonly socket: string } | { readonly port: number }) {
    this.#server = server;
  }

  async open(options: RedisOptions = {}, context: Partial<LogContext> = {}, library = LIBRARIES[0]!): Promise<Node> {
    const sentences: string[] = [];
    const log = redis(library.client(this.#server), options);
    await log.open({
      clock: systemClock,
      random: systemRandom,
      retain: (_channel, own) => own,
      keysMax: 1_000_000,
      keySecondsMin: 86_400,
      lineageMax: 32,
      warn: (sentence) => sentences.push(sentence),
      ...context,
    });
    this.#opened.push(log);
    return { log, sentences };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const log of this.#opened) await log.close();
  }
}

export function text(data: string, key?: string): Draft {
  const draft = { event: "message", kind: "text" as const, data, size: data.length + 7 };
  return key === undefined ? draft : { ...draft, key, print: data };
}

export function everything(log: Log, channel = LOBBY): Promise<Page> {
  return log.read(channel, 0, EVERYTHING);
}

/** What a follower was told: the texts of messages, and `changed`. It reads first, as followers do: what it is told is what comes after. */
export async function follow(log: Log, channel = LOBBY): Promise<string[]> {
  const told: string[] = [];
  log.follow(channel, (one: Told) => told.push(...(one.type === "changed" ? ["changed"] : one.entries.map(({ data }) => String(data)))));
  await log.read(channel, 0, { count: 0, bytes: 0 });
  return told;
}
