import { ThroughlineError } from "../../protocol/error.ts";

/** Where a channel stands in Redis. All of it has one hash tag, so that a cluster keeps it on one node. */
export interface Place {
  readonly log: string;
  readonly meta: string;
  /** Log, meta, keys and their ages: what the scripts are given. */
  readonly keys: readonly string[];
  /** Where nodes that follow the channel listen. */
  readonly wake: string;
}

const WAKE = "}:wake";

export class Places {
  readonly #prefix: string;
  /** A key of no channel, to see whether one can be written. */
  readonly ready: string;

  constructor(prefix: string) {
    if (/[{}]/.test(prefix))
      throw new ThroughlineError("internal", "The prefix of redis() holds no braces: they decide which node of a cluster a key is on.");
    this.#prefix = `${prefix}{`;
    this.ready = `${prefix}ready`;
  }

  of(channel: string): Place {
    const base = `${this.#prefix}${channel}}:`;
    const [log, meta] = [`${base}log`, `${base}meta`];
    return { log, meta, keys: [log, meta, `${base}keys`, `${base}ages`], wake: `${base}wake` };
  }

  /** The channel that listens there. */
  channelOf(wake: string): string {
    return wake.slice(this.#prefix.length, -WAKE.length);
  }
}
