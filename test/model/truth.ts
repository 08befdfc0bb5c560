import type { Entry } from "../../src/protocol/entry.ts";
import type { GapFrame } from "../../src/protocol/frame.ts";
import { NO_TAG, ORIGIN, type Position, parsePosition } from "../../src/protocol/position.ts";

/** A message that was stored at some time, and the one that it was stored after. */
interface Stored {
  readonly entry: Entry;
  readonly epoch: string;
  readonly life: Life;
  readonly before: string;
  lost: boolean;
}

/** One log, from its first message to its removal. */
interface Life {
  /** The largest `first` that it ever had. */
  first: number;
  ended: boolean;
  /** An older copy took its place, which may have again what was trimmed. */
  restored: boolean;
  /** It lost messages and gave their offsets to others under the same epoch, as a copy does that nobody knows to be old. */
  rewritten: boolean;
}

/** Everything that ever happened to the log of one channel: what readers are judged by. */
export class Truth {
  readonly #stored = new Map<string, Stored>();
  readonly #lives = new Map<string, Life>();
  readonly #forgotten = new Set<string>();
  #life: Life | null = null;

  /** A message was stored, after the one with the tag `before`. An epoch that is not known is a new log's. */
  store(epoch: string, entry: Entry, before: string): void {
    this.#stored.set(entry.tag, { entry, epoch, life: this.#lives.get(epoch) ?? this.begin(epoch), before, lost: false });
  }

  begin(epoch: string): Life {
    this.end();
    this.#life = { first: 1, ended: false, restored: false, rewritten: false };
    this.#lives.set(epoch, this.#life);
    return this.#life;
  }

  addEra(epoch: string): void {
    this.#lives.set(epoch, this.#life!);
  }

  forget(epoch: string): void {
    this.#forgotten.add(epoch);
  }

  end(): void {
    if (this.#life !== null) this.#life.ended = true;
  }

  /** What the log had beyond an offset, trimmed or not, is there no more. */
  loseAfter(offset: number): void {
    for (const stored of this.#stored.values()) if (stored.life === this.#life && stored.entry.offset > offset) stored.lost = true;
  }

  rewrite(): void {
    this.#life!.rewritten = true;
  }

  restore(): void {
    this.#life!.restored = true;
  }

  /** Whether a reader at this place of the present log has missed what retention took. */
  isTrimmedAfter({ epoch, offset }: Position): boolean {
    const life = this.#lives.get(epoch);
    return life !== undefined && life === this.#life && !life.ended && !life.restored && offset < life.first - 1;
  }

  sawFirst(first: number): void {
    if (this.#life !== null) this.#life.first = Math.max(this.#life.first, first);
  }

  /** The data that was stored under a position, if that was ever so. */
  dataAt({ offset, tag }: Position): string | undefined {
    const stored = this.#stored.get(tag);
    return stored?.entry.offset === offset ? (stored.entry.data as string) : undefined;
  }

  /** Whether the second was stored right after the first, of which a tag is known. */
  isPair(before: Position, { offset, tag }: Position): boolean {
    const stored = this.#stored.get(tag);
    return before.tag !== NO_TAG && stored?.entry.offset === offset && stored.before === before.tag;
  }

  wasLost({ tag }: Position): boolean {
    return this.#stored.get(tag)?.lost ?? false;
  }

  holds(data: string): boolean {
    return [...this.#stored.values()].some(({ entry }) => entry.data === data);
  }

  isSameLog(a: Position, b: Position): boolean {
    return this.#lives.get(a.epoch) === this.#lives.get(b.epoch);
  }

  /** What is wrong with this message being the next one of a reader at `position`; null if nothing is. */
  faultOfNext(position: Position, epoch: string, entry: Entry): string | null {
    const stored = this.#stored.get(entry.tag);
    if (stored === undefined) return "was never stored";
    if (stored.entry.offset !== entry.offset || stored.entry.data !== entry.data || stored.entry.at !== entry.at)
      return "was stored otherwise";
    if (stored.life !== this.#lives.get(epoch)) return "is of another log";
    // What the lineage no longer remembers belongs to its oldest.
    if (stored.epoch !== epoch && !this.#forgotten.has(stored.epoch)) return `belongs to the epoch ${stored.epoch}`;
    if (entry.offset !== position.offset + 1) return "is not the next one";
    if (position.epoch !== ORIGIN.epoch && this.#lives.get(position.epoch) !== stored.life) return "does not go on in the same log";
    if (position.tag !== NO_TAG && position.offset > 0 && stored.before !== position.tag) return `followed ${stored.before}`;
    return null;
  }

  /** What is wrong with a reader at `position` being told this gap; null if nothing is. */
  faultOfGap(position: Position, { reason, missing, resumeFrom: text }: GapFrame): string | null {
    const resumeFrom = parsePosition(text);
    const stored = this.#stored.get(position.tag);
    // The origin is before every log.
    const life = this.#lives.get(position.epoch === ORIGIN.epoch ? resumeFrom.epoch : position.epoch);
    if (resumeFrom.tag !== NO_TAG && this.dataAt(resumeFrom) === undefined) return "resumes where nothing ever was";
    const skipped = resumeFrom.offset - position.offset;
    if (reason === "epoch") {
      if (missing !== null) return "counts what it cannot know";
      const isGone = life === undefined || life.ended || this.#forgotten.has(position.epoch);
      return isGone ? null : "names an epoch that is still there";
    }
    if (life === undefined || life !== this.#lives.get(resumeFrom.epoch)) return "goes to another log";
    if (reason === "trimmed") {
      if (skipped <= 0 || missing !== skipped) return "counts wrong";
      return resumeFrom.offset < life.first ? null : "names messages that were never trimmed";
    }
    const isThere = stored?.life === life && stored.entry.offset === position.offset && !stored.lost;
    if (isThere) return "names a message that was never lost";
    if (missing === null) return skipped <= 0 ? null : "moves a reader on though it knows no place";
    if (missing > 0) return resumeFrom.offset < life.first ? null : "names messages that were never trimmed";
    const common = this.#ancestor(stored, resumeFrom.offset);
    if (life.rewritten || common === undefined || resumeFrom.tag === NO_TAG || resumeFrom.tag === common) return null;
    return "resumes in another history, though it says that nothing is missing";
  }

  /** The tag of what stood at an earlier offset when this message was stored. */
  #ancestor(stored: Stored | undefined, offset: number): string | undefined {
    let one = stored;
    while (one !== undefined && one.entry.offset > offset) one = this.#stored.get(one.before);
    return one?.entry.tag;
  }
}
