import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import type { Log, LogContext } from "../../src/core/log.ts";
import { type NatsOptions, nats } from "../../src/nats.ts";
import { connectTo } from "./nats-server.ts";
import type { Node } from "./redis-nodes.ts";

/** Opens engines on one NATS and closes them all at the end. */
export class NatsNodes implements AsyncDisposable {
  readonly #server: { readonly port: number };
  readonly #opened: Log[] = [];

  constructor(server: { readonly port: number }) {
    this.#server = server;
  }

  async open(options: NatsOptions = {}, context: Partial<LogContext> = {}): Promise<Node> {
    const sentences: string[] = [];
    const log = nats(connectTo(this.#server), options);
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
