import { NO_EPOCH, NO_TAG, readPosition } from "../../src/protocol/position.ts";
import type { Causes } from "./causes.ts";
import type { BeginEvent, GapEvent, MessageEvent } from "./history.ts";
import type { Entry, Ledger } from "./ledger.ts";
import type { Findings, ViolationName } from "./verdict.ts";

/** Missing offsets that are waited for, in case they come late, which is another fault. */
const HOLE_MAX = 256;
/** So long a gap may have been on its way. */
const CARRIED_MS = 2_000;

/** What a gap claims that only the end of the history shows to be true. */
export interface Claim {
  readonly gap: GapEvent;
  /** Where the reader stood. */
  readonly epoch: string;
  readonly place: string;
  readonly generation: number;
  /** The generation of the log when it may have been judged, at the earliest. */
  readonly judged: number;
  /** The entry that it had at the offset where it was told to resume. */
  readonly had: Entry | undefined;
  /** There were two logs when it was judged, or may have been: the other one did not have what is left. */
  readonly isSplit: boolean;
}

/** One reader of one channel: the line that it was given, held against what may follow what. */
export class Trace {
  readonly ledger: Ledger;
  readonly who: string;
  readonly claims: Claim[] = [];
  /** What it was given since it was last told that the log is another, ascending. */
  held: Entry[] = [];
  /** Where its line began, unbroken since, and how many it held then. */
  startPlace = "";
  startOffset = -1;
  startHeld = 0;
  /** Where it stands: `offset.tag`, and -1 before it has begun. */
  place = "";
  offset = -1;
  epoch = "";
  /** Nothing is owed to it any more. */
  ended = false;
  lastAt = 0;
  readonly #causes: Causes;
  readonly #findings: Findings;
  readonly #holes = new Map<number, number>();
  #afterGap = false;
  /** Of the log, when the oldest that it holds was first seen by anyone. */
  #generation = 0;
  #askedAt = 0;

  constructor(ledger: Ledger, cid: string, causes: Causes, findings: Findings) {
    this.ledger = ledger;
    this.who = cid;
    this.#causes = causes;
    this.#findings = findings;
  }

  begin({ position, t, askedAt = t }: BeginEvent): void {
    const read = readPosition(position);
    if (read === null) {
      this.#fault("corrupt", t, `begins at ${JSON.stringify(position)}, which is not a position`);
      return;
    }
    this.#giveUpHoles();
    this.#askedAt = askedAt;
    this.ended = false;
    if (position.slice(21) !== this.place) {
      this.#findDuplicates(t);
      if (read.epoch !== this.epoch) this.held = [];
      // It kept an older position than the last that it was given: it will be given those again
      while ((this.held.at(-1)?.offset ?? 0) > read.offset) this.held.pop();
      this.#stand(position, read.offset);
    }
    this.epoch = read.epoch;
  }

  message({ position, hash, t }: MessageEvent): void {
    const { ledger, who } = this;
    this.lastAt = t;
    const likely = ledger.latest.get(this.offset + 1);
    const entry = likely?.position === position ? likely : ledger.entryAt(position, t, who);
    if (entry === null) return;
    ledger.bind(entry, hash, t, who);
    const { offset } = entry;
    const epoch = entry === likely && entry.epoch === this.epoch ? this.epoch : position.slice(0, 20);
    const isNext = offset === this.offset + 1;
    if (this.offset >= 0 && epoch !== this.epoch && this.epoch !== NO_EPOCH) {
      if (isNext && epoch > this.epoch) ledger.steps.push({ epoch, offset, t, who });
      else {
        this.#fault(
          "epoch-change-without-gap",
          t,
          `was given ${position} after ${this.place} of the epoch ${this.epoch}, and no gap between`,
        );
        this.#findDuplicates(t);
        this.held = [];
        this.offset = -1;
      }
    }
    if (this.offset < 0) this.#stand("", offset - 1);
    else if (isNext) ledger.follows(entry, this.place, t, who);
    else if (!this.#misfit(entry, t)) return;
    this.#afterGap = false;
    // It may have been on its way for long, and what took the log back since took it too: so, since when it was stored for certain
    if (this.held.length === 0) this.#generation = this.#causes.generation(ledger.name, entry.seenAt);
    this.held.push(entry);
    this.place = entry.place;
    this.offset = offset;
    this.epoch = epoch;
  }

  gap(gap: GapEvent): void {
    const { t, reason, since, resumeFrom, missing, toldAt } = gap;
    const { ledger, place, epoch } = this;
    this.lastAt = t;
    if (!this.#causes.allows(ledger.name, reason))
      this.#fault("spurious-gap", t, `was told a gap ${reason}, and nothing had happened to give cause`);
    const resume = readPosition(resumeFrom);
    if (resume === null) {
      this.#fault("gap-lied", t, `was told to resume from ${JSON.stringify(resumeFrom)}, which is not a position`);
      return;
    }
    const lie = this.#lieIn(gap, resume.offset);
    if (lie !== null)
      this.#fault("gap-lied", t, `was told a gap ${reason} that ${lie}: since ${since}, resume from ${resumeFrom}, missing ${missing}`);
    const generation = this.#causes.generation(ledger.name, toldAt);
    // What was trimmed may be back in a log that went back, and the gap long on its way: it was judged at some time since its place came to be, which may be
    // as soon as what stands there was asked for, and long before anyone is seen to have it
    const own = ledger.entries.get(place);
    const judgedAt = Math.min(toldAt ?? t, own?.seenAt ?? this.#askedAt, own?.content?.askedAt ?? Number.POSITIVE_INFINITY);
    const judged = this.#causes.generation(ledger.name, judgedAt);
    const isSplit = this.#causes.isSplit(ledger.name, t, CARRIED_MS);
    if (this.offset >= 0) this.claims.push({ gap, epoch, place, generation, judged, had: this.#heldAt(resume.offset), isSplit });
    this.#giveUpHoles();
    // Trimming vouches for the present log only: where the log went back since, what the reader holds may have been lost behind it
    if (reason !== "trimmed" || generation !== this.#generation) {
      this.#findDuplicates(t);
      this.held = [];
    }
    this.#stand(resumeFrom, resume.offset);
    this.epoch = resume.epoch;
    this.#afterGap = true;
  }

  /** Nothing comes any more. */
  finish(t: number): void {
    this.#giveUpHoles();
    this.#findDuplicates(t);
  }

  /** What is wrong with a gap, as seen from where the reader stands; null if nothing is. */
  #lieIn({ reason, since, resumeFrom, missing }: GapEvent, resumeOffset: number): string | null {
    if (this.offset < 0) return null;
    // Where the reader was told no tag, the gap may know it
    if (since !== null && since.slice(21) !== this.place && (isKnown(this.place) || Number(since.slice(21, 37)) !== this.offset))
      return `begins where it did not stand (${this.place})`;
    const skipped = resumeOffset - this.offset;
    switch (reason) {
      case "trimmed":
        return skipped > 0 && missing === skipped ? null : "does not count what it skips";
      case "epoch":
        return missing === null ? null : "counts across logs";
      case "truncated":
        if (missing === null) {
          // Where nobody vouches for the end of an epoch, what of it is trimmed is not counted
          if (skipped > 0) return this.#causes.allows(this.ledger.name, "trimmed") ? null : "moves the reader on though it knows no place";
          return skipped < 0 || resumeFrom.slice(21) !== this.place ? null : "leaves the reader where it is, and takes nothing from it";
        }
        if (missing > 0 && !this.#causes.allows(this.ledger.name, "trimmed")) return "counts what was never trimmed";
        return missing >= 0 && skipped - missing < 0 ? null : "does not go back to what the log still has";
    }
  }

  /** A message that is not the next. True if it is further on, so that the line goes on from there. */
  #misfit(entry: Entry, t: number): boolean {
    const { offset, place } = entry;
    if (this.#afterGap) this.#fault("gap-lied", t, `was given ${place} right after a gap that resumes from ${this.place}`);
    else if (offset > this.offset + 1) {
      const missing = offset - this.offset - 1;
      if (missing > HOLE_MAX) this.#fault("silent-gap", t, `was given ${place} after ${this.place}: ${missing} are missing`);
      else for (let hole = this.offset + 1; hole < offset; hole++) this.#holes.set(hole, t);
    } else if (this.#holes.delete(offset)) this.#fault("reorder", t, `was given ${place} after ${this.place}`);
    else if (this.#heldAt(offset) === entry) this.#fault("duplicate", t, `was given ${place} again after ${this.place}`);
    else this.#fault("reorder", t, `was given ${place} after ${this.place}, from before where it began or in place of what it has there`);
    if (offset <= this.offset) return false;
    this.#stand("", offset - 1);
    return true;
  }

  /** Its line begins anew. */
  #stand(position: string, offset: number): void {
    this.place = position.slice(21);
    this.offset = offset;
    this.startPlace = this.place;
    this.startOffset = offset;
    this.startHeld = this.held.length;
  }

  #giveUpHoles(): void {
    for (const [offset, t] of this.#holes)
      this.#fault("silent-gap", t, `was never given ${offset}, though later ones, and was told no gap`);
    this.#holes.clear();
  }

  /** One content at two places, both of which it was given. Called before what it holds is forgotten. */
  #findDuplicates(t: number): void {
    const seen = new Map<string, Entry>();
    for (const entry of this.held) {
      const { content } = entry;
      if (content === null || content.entries.length < 2) continue;
      const first = seen.get(content.hash);
      if (first !== undefined) this.#fault("duplicate-mid", t, `was given ${content.hash} at ${first.place} and at ${entry.place}`);
      seen.set(content.hash, entry);
    }
  }

  #heldAt(offset: number): Entry | undefined {
    let low = 0;
    let high = this.held.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.held[middle]!.offset < offset) low = middle + 1;
      else high = middle;
    }
    const entry = this.held[low];
    return entry?.offset === offset ? entry : undefined;
  }

  #fault(name: ViolationName, t: number, what: string): void {
    this.#findings.add(name, t, `${this.who} on ${this.ledger.name} ${what}`);
  }
}

/** Whether a place names a message, so that it can be compared. */
export function isKnown(place: string): boolean {
  return place !== "" && !place.endsWith(NO_TAG);
}
