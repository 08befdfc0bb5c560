import type { ChildProcess } from "node:child_process";

/** The pause before it is started again: none to speak of the first time, and doubled while it does not hold. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 5_000;
/** One that has been ready for so long holds. */
const GOOD_MS = 1_000;
/** Longer than a child takes to cut its own stop short. */
const STOP_MS_MAX = 6_000;

/** From a child to the process that keeps it. */
export type ChildWord = { readonly type: "ready" } | Failed;
interface Failed {
  readonly type: "failed";
  readonly sentence: string;
  /** What it lacked may be there in a moment. */
  readonly mayPass: boolean;
}
/** And back: end well. */
export const STOP = { type: "stop" } as const;

interface KeptOptions {
  /** What people are told it is. */
  readonly name: string;
  readonly start: () => ChildProcess;
  /** It ended, or could not begin, and is started again. */
  readonly onLoss: (why: string) => void;
}

/** A child process that is started again whenever it ends, until it is told to stop. */
export class KeptProcess {
  readonly #options: KeptOptions;
  #child: ChildProcess | null = null;
  #failures = 0;
  #isStopping = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: KeptOptions) {
    this.#options = options;
  }

  /** Resolves once it serves for the first time. Rejects with what it says if it ends before, and is not started again then, unless that may pass. */
  begin(): Promise<void> {
    return new Promise((resolve, reject) => this.#start(resolve, reject));
  }

  /** Tells it to end, and waits until it has. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#retry);
    const child = this.#child;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.connected) child.send(STOP, () => {});
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await ended;
    clearTimeout(late);
  }

  #start(onReady: () => void, onFirstLoss: ((error: Error) => void) | null): void {
    let readyAt: number | null = null;
    let failed: Failed | null = null;
    const onEnd = (how: string) => {
      this.#child = null;
      if (this.#isStopping) return;
      const why = failed?.sentence ?? `${this.#options.name} ${how}.`;
      const hasBegun = readyAt !== null;
      if (onFirstLoss !== null && !hasBegun && failed?.mayPass !== true) {
        onFirstLoss(new Error(why));
        return;
      }
      if (readyAt !== null && performance.now() - readyAt >= GOOD_MS) this.#failures = 0;
      this.#options.onLoss(why);
      const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** this.#failures++);
      this.#retry = setTimeout(() => (hasBegun ? this.#start(() => {}, null) : this.#start(onReady, onFirstLoss)), pauseMs);
    };
    let child: ChildProcess;
    try {
      child = this.#options.start();
    } catch (error) {
      // For want of memory, say
      onEnd(`could not be started: ${(error as Error).message}`);
      return;
    }
    this.#child = child;
    child.on("message", (word: ChildWord) => {
      if (word.type === "failed") failed = word;
      else if (word.type === "ready") {
        readyAt = performance.now();
        onReady();
      }
    });
    child.once("exit", (code, signal) => onEnd(`ended with ${signal ?? `code ${code}`}`));
    child.on("error", (error) => {
      // Else it was sent something when it had just died, and its exit tells
      if (child.pid === undefined) onEnd(`could not be started: ${error.message}`);
    });
  }
}
