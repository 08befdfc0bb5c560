import type { SignalFrame } from "../protocol/frame.ts";

/** Signals that wait for the next flush: the latest of an event and sender, and of all `countMax`. They are no messages: what is too much is dropped. */
export class Signals {
  readonly #frames = new Map<string, SignalFrame>();
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get size(): number {
    return this.#frames.size;
  }

  keep(frame: SignalFrame): void {
    const key = JSON.stringify([frame.event, frame.sender]);
    this.#frames.delete(key);
    this.#frames.set(key, frame);
    if (this.#frames.size > this.#countMax) this.#frames.delete(this.#frames.keys().next().value as string);
  }

  /** All of them, the oldest first; none is left. */
  take(): SignalFrame[] {
    const frames = [...this.#frames.values()];
    this.#frames.clear();
    return frames;
  }
}
