import type { Random } from "../../protocol/clock.ts";
import { isAway, isLate, isMissing } from "./failure.ts";
import type { JetStream } from "./jetstream.ts";
import { encodeHeaders } from "./record.ts";

/** At the end of a word that may be held by another server than a log. */
const ELSEWHERE = "?";
/** Where there can be no word. */
const NONE = "-";

/** Whether each offset that was written under a word was given once: one server alone loses the end of a log and the word together. */
export function vouchesFor(word: string): boolean {
  return word !== NONE && !word.endsWith(ELSEWHERE);
}

/**
 * A word that NATS forgets whenever the end of a log may have been lost with it: the one message of a stream that is held in memory only, by as many servers as hold the logs. Each
 * sheet bears the word under which it was written; where the word is another one than that of the last sheet, a new epoch begins. Nothing lost, nothing told: readers go on under it.
 */
export class Fence {
  readonly #js: JetStream;
  readonly #random: Random;
  readonly #place: { readonly name: string; readonly subject: string };
  readonly #restore: () => Promise<void>;
  #known: { readonly generation: number; readonly word: Promise<string> } | null = null;

  constructor(js: JetStream, place: { readonly name: string; readonly subject: string }, random: Random, restore: () => Promise<void>) {
    this.#js = js;
    this.#place = place;
    this.#random = random;
    this.#restore = restore;
  }

  /**
   * The word, asked for once with each connection: one server is not restarted without the loss of that. Several are, without the loss of this one's; so it is asked for
   * again where the last sheet bears another, which may be older or younger.
   */
  async word(ofLastSheet: string): Promise<string> {
    const known = await this.#word();
    if (ofLastSheet === "" || known === ofLastSheet) return known;
    this.forget();
    return this.#word();
  }

  #word(): Promise<string> {
    const { generation } = this.#js.line;
    if (this.#known?.generation !== generation) this.#known = { generation, word: this.#read() };
    const { word } = this.#known;
    word.catch(() => this.forget());
    return word;
  }

  forget(): void {
    this.#known = null;
  }

  async #read(): Promise<string> {
    const { name, subject } = this.#place;
    for (let isRestored = false; ; ) {
      try {
        const stored = await this.#js.last(name, subject);
        if (stored !== null) return Buffer.from(stored.data).toString();
        const { cluster } = await this.#js.info(name);
        const word = `${this.#random.letters(8)}${cluster?.name === undefined ? "" : ELSEWHERE}`;
        await this.#js.publish(subject, encodeHeaders({ "Nats-Expected-Last-Subject-Sequence": "0" }), Buffer.from(word));
        return word;
      } catch (error) {
        if (isAway(error)) {
          // An account without memory has no such stream: then tags alone tell of a loss
          if (isRestored && isMissing(error)) return NONE;
          if (isRestored) throw error;
          isRestored = true;
          await this.#restore();
        } else if (!isLate(error)) throw error;
      }
    }
  }
}
