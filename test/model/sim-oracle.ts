import type { Told } from "../../src/core/log.ts";
import type { Entry } from "../../src/protocol/entry.ts";
import { formatPosition } from "../../src/protocol/position.ts";
import { hashOf } from "../check/history.ts";

/** Who knows what ever stood where, and may not have told. */
export interface Witness {
  /** The hash of what stood at a position. */
  hashAt(channel: string, position: string): string | undefined;
  /** Whether the one was stored right after the other. */
  isPair(channel: string, before: string, position: string): boolean;
}

/** Everything that a store ever told of: an array for the present log of a channel, and a map for all that ever stood at a position. */
export class Oracle {
  readonly logs = new Map<string, string[]>();
  readonly #hashes = new Map<string, string>();
  /** Which of all that was told stood at a position first. */
  readonly #turns = new Map<string, number>();
  /** What ever stood right before what, in some log. */
  readonly #pairs = new Set<string>();
  readonly #witness: Witness | null;

  constructor(witness: Witness | null) {
    this.#witness = witness;
  }

  /** So much has been told so far. */
  get turn(): number {
    return this.#turns.size;
  }

  /** Whether a message was told of before then. */
  isOlder(channel: string, position: string, turn: number): boolean {
    return (this.#turns.get(`${channel} ${position}`) ?? turn) < turn;
  }

  /** Returns the hashes of what is new. */
  stored(channel: string, told: Told): string[] {
    if (told.type !== "appended") return [];
    const log = this.logs.get(channel) ?? [];
    this.logs.set(channel, log);
    // Removed and made anew: it counts from 1 again
    if (told.entries[0]!.offset === 1) log.length = 0;
    return told.entries.map((entry) => {
      const position = formatPosition({ epoch: told.epoch, offset: entry.offset, tag: entry.tag });
      const hash = hashOfEntry(entry);
      this.#keep(`${channel} ${position}`, hash);
      if (log.length > 0) this.#pairs.add(pairOf(channel, log.at(-1)!, position));
      log.push(position);
      return hash;
    });
  }

  /** The present log is another than what was told: shorter, older, gone, or with what was on its way when its process died. */
  becomes(channel: string, log: readonly { readonly position: string; readonly hash: string }[]): void {
    for (const [index, { position, hash }] of log.entries()) {
      this.#keep(`${channel} ${position}`, hash);
      if (index > 0) this.#pairs.add(pairOf(channel, log[index - 1]!.position, position));
    }
    this.logs.set(
      channel,
      log.map(({ position }) => position),
    );
  }

  #keep(place: string, hash: string): void {
    this.#hashes.set(place, hash);
    if (!this.#turns.has(place)) this.#turns.set(place, this.#turns.size);
  }

  /** Whether a log had the one right before the other, once. Of a log that is rewritten while it is told of, only a witness knows. */
  isPair(channel: string, before: string, position: string): boolean {
    return this.#witness?.isPair(channel, before, position) ?? this.#pairs.has(pairOf(channel, before, position));
  }

  holdsOther(channel: string, position: string, hash: string): boolean {
    return (this.#hashes.get(`${channel} ${position}`) ?? hash) !== hash;
  }

  /** What is wrong with this content at this place; null if nothing is. */
  faultOf(channel: string, position: string, hash: string): string | null {
    const known = this.#hashes.get(`${channel} ${position}`) ?? this.#witness?.hashAt(channel, position);
    if (known === undefined) return "was never stored there";
    return known === hash ? null : "is not what was stored there";
  }
}

/** Of whatever epochs they were told under. */
function pairOf(channel: string, before: string, position: string): string {
  return `${channel} ${before.slice(20)} ${position.slice(20)}`;
}

export function hashOfEntry({ kind, data }: Entry): string {
  return hashOf(kind === "json" ? JSON.parse(data as string) : data);
}

/** Of what a scripted log holds: JSON as it was published, or text that was written by another node. */
export function hashOfData(data: string | undefined): string | undefined {
  if (data === undefined) return undefined;
  return hashOf(/^["{]/.test(data) ? JSON.parse(data) : data);
}
