import type { Cancel, Clock } from "../protocol/clock.ts";

/** An answer is good for so long: probes come from every load balancer, and from whoever likes to ask. */
const AGAIN_MS = 1_000;

export interface ReadinessOptions {
  readonly clock: Clock;
  readonly secondsMax: number;
  /** Null, or why not. One at a time. */
  readonly look: () => Promise<string | null>;
}

/** Whether a node can do its work: an answer within a bound, and not asked more often than is of use. */
export class Readiness {
  readonly #options: ReadinessOptions;
  #looking: Promise<string | null> | null = null;
  #answer: Promise<string | null> | null = null;
  #askedAtMs = 0;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** Null, or the reason why not. Never rejects. */
  ask(): Promise<string | null> {
    const nowMs = this.#options.clock.elapsed();
    if (this.#answer === null || nowMs - this.#askedAtMs >= AGAIN_MS) {
      this.#askedAtMs = nowMs;
      this.#answer = this.#ask();
    }
    return this.#answer;
  }

  async #ask(): Promise<string | null> {
    const { clock, secondsMax, look } = this.#options;
    // One that hangs is not asked again until it has answered
    this.#looking ??= look().finally(() => {
      this.#looking = null;
    });
    let cancel: Cancel = () => {};
    const late = new Promise<string>((resolve) => {
      cancel = clock.after(secondsMax * 1_000, () => resolve(`The log has not answered for ${secondsMax} s.`));
    });
    try {
      return await Promise.race([this.#looking, late]);
    } catch {
      return "The log cannot be used; the server's own log has the cause.";
    } finally {
      cancel();
    }
  }
}
