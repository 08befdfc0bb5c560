import { matchPattern } from "../protocol/channel-name.ts";
import type { Clock } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Identity } from "./identity.ts";
import { textOfThrown } from "./thrown.ts";

/** A request as its handler sees it. */
export interface HandlerInput {
  readonly channel: string;
  readonly name: string;
  /** What the pattern's `:parts` stand for: `chat/:room` on `chat/lobby` gives `{ room: "lobby" }`. */
  readonly params: Readonly<Record<string, string>>;
  readonly data: unknown;
  /** Of who asks. By way of another node what JSON carries of it. */
  readonly identity: Identity;
}

export type Handler = (input: HandlerInput) => unknown;

interface Registered {
  readonly pattern: string;
  readonly handler: Handler;
  /** What was registered earlier has a lower one. */
  readonly order: number;
}

/** The application's answers to requests on this node, by channel pattern and name. The first that was registered and matches answers. */
export class Handlers {
  /** Those of one name and one channel: each job that runs may have one, so they are not searched. */
  readonly #exact = new Map<string, Set<Registered>>();
  /** Those of one name, and of channels that a pattern names. */
  readonly #patterns = new Map<string, Set<Registered>>();
  #orders = 0;
  readonly #clock: Clock;
  readonly #secondsMax: number;
  readonly #warn: (sentence: string) => void;

  constructor(clock: Clock, secondsMax: number, warn: (sentence: string) => void) {
    this.#clock = clock;
    this.#secondsMax = secondsMax;
    this.#warn = warn;
  }

  get isEmpty(): boolean {
    return this.#exact.size + this.#patterns.size === 0;
  }

  add(pattern: string, name: string, handler: Handler): () => void {
    const registered = { pattern, handler, order: ++this.#orders };
    const [map, key] = /(^|\/):/.test(pattern) ? [this.#patterns, name] : [this.#exact, `${pattern} ${name}`];
    const some = map.get(key) ?? new Set();
    map.set(key, some.add(registered));
    return () => {
      some.delete(registered);
      if (some.size === 0 && map.get(key) === some) map.delete(key);
    };
  }

  has(channel: string, name: string): boolean {
    return this.#find(channel, name) !== undefined;
  }

  /** What the application answers, as JSON text; null if no handler of this node would. Rejects with a ThroughlineError, whatever the handler throws. */
  ask(channel: string, name: string, data: unknown, identity: Identity): Promise<string> | null {
    const found = this.#find(channel, name);
    if (found === undefined) return null;
    return this.#answer(found.handler, { channel, name, params: found.params, data, identity });
  }

  #find(channel: string, name: string): { handler: Handler; params: Readonly<Record<string, string>> } | undefined {
    const [exact] = this.#exact.get(`${channel} ${name}`) ?? [];
    for (const { pattern, handler, order } of this.#patterns.get(name) ?? []) {
      if (exact !== undefined && exact.order < order) break;
      const params = matchPattern(pattern, channel);
      if (params !== null) return { handler, params };
    }
    return exact && { handler: exact.handler, params: {} };
  }

  #answer(handler: Handler, input: HandlerInput): Promise<string> {
    return new Promise((resolve, reject) => {
      const sentence = `${input.name} on ${input.channel} was not answered within ${this.#secondsMax} s. It may still have its effect.`;
      const cancel = this.#clock.after(this.#secondsMax * 1_000, () => reject(new ThroughlineError("request_timeout", sentence)));
      Promise.resolve()
        .then(() => handler(input))
        .catch((error) => Promise.reject(this.#failed(input, error)))
        .then((answer) => this.#textOf(answer, input))
        .then(resolve, reject)
        .finally(cancel);
    });
  }

  /** That JSON cannot hold it is the handler's fault, and for the operator only. */
  #textOf(answer: unknown, input: HandlerInput): string {
    try {
      const text = JSON.stringify(answer ?? null);
      if (text !== undefined) return text;
      this.#warn(`What the handler of ${input.name} on ${input.channel} answered cannot be sent: JSON has no ${typeof answer}.`);
    } catch (error) {
      this.#warn(`What the handler of ${input.name} on ${input.channel} answered cannot be sent: ${textOfThrown(error)}`);
    }
    throw handlerFailed(input);
  }

  /** What the application threw on purpose is for the asker; any other error is for the operator only. */
  #failed(input: HandlerInput, error: unknown): ThroughlineError {
    if (error instanceof ThroughlineError) return error;
    this.#warn(`The handler of ${input.name} on ${input.channel} threw: ${textOfThrown(error)}`);
    return handlerFailed(input);
  }
}

function handlerFailed({ name }: HandlerInput): ThroughlineError {
  return new ThroughlineError("request_failed", `The handler of ${name} failed. The server's log has the cause.`);
}
