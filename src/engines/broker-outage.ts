import { messageOf } from "./broker-failure.ts";
import type { LineEvents } from "./broker-line.ts";

/** A line that is lost is opened again at once; only if that fails is it told. */
const DEAF_TRIES = 2;

/** What the operator is told of a broker that is away: once, whichever line noticed first, and once when it is back. */
export class Outage {
  readonly #broker: string;
  readonly #warn: (sentence: string) => void;
  readonly #down = new Set<LineEvents>();

  constructor(broker: string, warn: (sentence: string) => void) {
    this.#broker = broker;
    this.#warn = warn;
  }

  /** Of a line without which nothing is stored or read. */
  needs(onUp: () => void): LineEvents {
    const events: LineEvents = {
      onUp: () => {
        if (this.#down.delete(events) && this.#down.size === 0) this.#warn(`${this.#broker} is back.`);
        onUp();
      },
      onDown: (error) => {
        const isFirst = this.#down.size === 0;
        this.#down.add(events);
        if (!isFirst) return;
        const effect = "Nothing is stored or read until it can; readers keep their pipes.";
        this.#warn(`${this.#broker} cannot be reached: ${messageOf(error)} ${effect}`);
      },
    };
    return events;
  }

  /** Of a line by which wake-ups come. Without it all is stored and read. */
  hears(onUp: () => void): LineEvents {
    let tries = 0;
    let isTold = false;
    return {
      onUp: () => {
        if (isTold) this.#warn(`${this.#broker} can be listened to again.`);
        [tries, isTold] = [0, false];
        onUp();
      },
      onDown: (error) => {
        // While all is away this is nothing of its own
        tries = this.#down.size > 0 ? 0 : tries + 1;
        if (tries < DEAF_TRIES || isTold) return;
        isTold = true;
        const effect = "What other nodes store is heard of a second late, and their signals not at all, until it can.";
        this.#warn(`${this.#broker} cannot be listened to: ${messageOf(error)} ${effect}`);
      },
    };
  }
}
