import type { Line } from "./line.ts";

interface Waiting {
  readonly generation: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * WAIT, for all that was written since the last one. It covers what its own connection has written and nothing else (on another it would be answered
 * at once, and mean nothing), so it goes on the line of the writes, and what was written before that line was lost is not confirmed.
 */
export class Replication {
  readonly #line: Line;
  readonly #replicas: number;
  readonly #ms: number;
  #waiting: Waiting[] = [];
  #isUnderWay = false;

  constructor(line: Line, replicas: number, ms: number) {
    this.#line = line;
    this.#replicas = replicas;
    this.#ms = ms;
  }

  /** Resolves once so many replicas have what was written until now by the link of this generation. */
  confirm(generation: number): Promise<void> {
    if (this.#replicas === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ generation, resolve, reject });
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    while (this.#waiting.length > 0) {
      const asked = this.#waiting;
      this.#waiting = [];
      try {
        const { generation } = this.#line;
        const replicas = Number(await this.#line.send("", ["WAIT", String(this.#replicas), String(this.#ms)]));
        const isEnough = replicas >= this.#replicas;
        const tooFew = `it is stored, but ${replicas} of ${this.#replicas} replicas had it within ${this.#ms} ms.`;
        for (const one of asked) {
          if (one.generation !== generation) one.reject(new Error("the connection was lost before the replicas had it."));
          else if (isEnough) one.resolve();
          else one.reject(new Error(tooFew));
        }
      } catch (error) {
        for (const one of asked) one.reject(error as Error);
      }
    }
    this.#isUnderWay = false;
  }
}
