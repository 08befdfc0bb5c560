import { ThroughlineError } from "../../protocol/error.ts";

/** Where a channel stands in NATS. */
export interface Place {
  readonly stream: string;
  readonly log: string;
  readonly keys: string;
  /** Where NATS says what it has stored, and where signals are sent. */
  readonly told: string;
}

const PLAIN = /[^A-Za-z0-9_/-]/g;

/** A few streams hold all channels: which one holds a channel is told by its name. */
export class Places {
  readonly prefix: string;
  readonly #streams: number;

  constructor(prefix: string, streams: number) {
    if (!/^[A-Za-z0-9_-]+$/.test(prefix))
      throw new ThroughlineError("internal", "The prefix of nats() is letters, digits, - and _: it names streams, and a part of subjects.");
    if (!Number.isInteger(streams) || streams < 1 || streams > 64) throw new ThroughlineError("internal", "nats() takes 1 to 64 streams.");
    this.prefix = prefix;
    this.#streams = streams;
  }

  /** The streams by name, with the subjects of each. */
  get streams(): readonly { readonly name: string; readonly log: string; readonly keys: string; readonly told: string }[] {
    return Array.from({ length: this.#streams }, (_, index) => {
      const base = `${this.prefix}.${index}`;
      return { name: `${this.prefix}-${index}`, log: `${base}.log.>`, keys: `${base}.keys.>`, told: `${base}.told.>` };
    });
  }

  /** The stream, in memory, that is gone when NATS was restarted. */
  get fence(): { readonly name: string; readonly subject: string; readonly sweep: string } {
    return { name: `${this.prefix}-fence`, subject: `${this.prefix}.fence`, sweep: `${this.prefix}.sweep` };
  }

  /** Where a node says that it cannot get in. */
  get turns(): string {
    return `${this.prefix}.turns`;
  }

  /** The place of no channel in one of the streams, to see whether it can be written. */
  ready(turn: number): Place {
    return this.#at(turn % this.#streams, "=ready");
  }

  of(channel: string): Place {
    const index = hashOf(channel) % this.#streams;
    const tokens = channel.replace(PLAIN, (character) => Buffer.from(character).toString("hex").replace(/../g, "=$&")).replaceAll("/", ".");
    return this.#at(index, tokens);
  }

  #at(index: number, tokens: string): Place {
    const base = `${this.prefix}.${index}`;
    return {
      stream: `${this.prefix}-${index}`,
      log: `${base}.log.${tokens}`,
      keys: `${base}.keys.${tokens}`,
      told: `${base}.told.${tokens}`,
    };
  }

  /** The channel that a subject belongs to. */
  channelOf(subject: string): string {
    const tokens = subject.slice(this.prefix.length + 1).replace(/^\d+\.[a-z]+\./, "");
    return tokens.replaceAll(".", "/").replace(/(=[0-9a-f]{2})+/g, (hex) => Buffer.from(hex.replaceAll("=", ""), "hex").toString());
  }
}

/** FNV-1a: the same on every node, and for ever. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
