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
  readonly identity: Identity;
}

export type Handler = (input: HandlerInput) => unknown;

interface Registered {
  readonly pattern: string;
  readonly name: string;
  readonly handler: Handler;
}

/** The application's answers to requests, by channel pattern and name. The first that was registered and matches answers. */
export class Handlers {
  readonly #registered: Registered[] = [];
  readonly #clock: Clock;
  readonly #secondsMax: number;
  readonly #warn: (sentence: string) => void;

  constructor(clock: Clock, secondsMax: number, warn: (sentence: string) => void) {
    this.#clock = clock;
    this.#secondsMax = secondsMax;
    this.#warn = warn;
  }

  add(pattern: string, name: string, handler: Handler): () => void {
    const registered = { pattern, name, handler };
    this.#registered.push(registered);
    return () => {
      const index = this.#registered.indexOf(registered);
      if (index >= 0) this.#registered.splice(index, 1);
    };
  }

  async ask(channel: string, name: string, data: unknown, identity: Identity): Promise<unknown> {
    for (const { pattern, name: known, handler } of this.#registered) {
      if (known !== name) continue;
      const params = matchPattern(pattern, channel);
      if (params !== null) return this.#answer(handler, { channel, name, params, data, identity });
    }
    throw new ThroughlineError(
      "no_handler",
      `Nothing answers ${JSON.stringify(name.slice(0, 64))} on ${channel}. Register it with handle().`,
    );
  }

  #answer(handler: Handler, input: HandlerInput): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const sentence = `${input.name} on ${input.channel} was not answered within ${this.#secondsMax} s. It may still have its effect.`;
      const cancel = this.#clock.after(this.#secondsMax * 1_000, () => reject(new ThroughlineError("request_timeout", sentence)));
      Promise.resolve()
        .then(() => handler(input))
        .then(resolve, (error) => reject(this.#failed(input, error)))
        .finally(cancel);
    });
  }

  /** What the application threw on purpose is for the asker; any other error is for the operator only. */
  #failed(input: HandlerInput, error: unknown): ThroughlineError {
    if (error instanceof ThroughlineError) return error;
    this.#warn(`The handler of ${input.name} on ${input.channel} threw: ${textOfThrown(error)}`);
    return new ThroughlineError("request_failed", `The handler of ${input.name} failed. The server's log has the cause.`);
  }
}
