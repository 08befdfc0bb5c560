import { formatPosition, NO_TAG, ORIGIN, type Position, readPosition } from "../../src/protocol/position.ts";
import type { FaultEvent, GapEvent, HistoryEvent } from "./history.ts";

export const ACTS = ["ask", "repeat", "store", "answer", "forget", "begin", "read", "trim", "lose tail", "rewrite tail", "remove"] as const;
export interface Act {
  readonly act: (typeof ACTS)[number];
  readonly n: number;
}

interface Entry extends Position {
  readonly hash: string;
}
interface Attempt {
  readonly seq: number;
  readonly key: string;
  readonly hash: string;
  stored?: { readonly position: string; readonly duplicate: boolean };
}

const CHANNEL = "c";
const PLAIN: readonly Act["act"][] = ["ask", "store", "store", "answer", "read", "read"];

/** A line as it should be, small enough to be seen to be right: an array is the log, a map is the keys. It writes down its history. */
export class ModelLine {
  readonly events: HistoryEvent[] = [];
  #log: Entry[] = [];
  #first = 1;
  #boundaryTag = NO_TAG;
  #lineage: { epoch: string; start: number }[] = [];
  #keys = new Map<string, string>();
  readonly #readers = new Map<string, Position>();
  readonly #waiting: Attempt[] = [];
  readonly #unanswered: Attempt[] = [];
  readonly #asked: Attempt[] = [];
  #t = 0;
  #made = 0;

  /** Plays the acts, each a millisecond after the one before, then brings everything to its end. */
  static play(acts: readonly Act[]): HistoryEvent[] {
    const line = new ModelLine();
    // The first two are never behind, so that what follows what is seen by more than one
    line.#begin();
    line.#begin();
    for (const { act, n } of acts) {
      for (const one of [act, PLAIN[n % PLAIN.length]!]) {
        line.#do(one, n);
        line.#read("r0", Number.POSITIVE_INFINITY);
        line.#read("r1", Number.POSITIVE_INFINITY);
      }
    }
    line.#calm();
    return line.events;
  }

  #do(act: Act["act"], n: number): void {
    this.#t++;
    switch (act) {
      case "ask":
        this.#ask(`h${this.#asked.length}`, `k${this.#asked.length}`);
        break;
      case "repeat": {
        const earlier = this.#asked[n % Math.max(1, this.#asked.length)];
        if (earlier !== undefined) this.#ask(earlier.hash, earlier.key);
        break;
      }
      case "store":
        this.#store();
        break;
      case "answer":
        this.#answer("stored");
        break;
      case "forget":
        this.#answer("unknown");
        break;
      case "begin":
        this.#begin();
        break;
      case "read":
        this.#read(`r${n % this.#readers.size}`, 1 + (n % 4));
        break;
      case "trim":
        this.#trim(n % 4);
        break;
      case "lose tail":
        this.#fault("lose tail", ["truncated", "epoch"], ["disk"]);
        this.#loseTail(n % 3, true);
        break;
      case "rewrite tail":
        this.#fault("rewrite tail", ["truncated", "epoch"], ["disk"], true);
        this.#loseTail(n % 3, false);
        break;
      case "remove":
        this.#fault("remove", ["epoch"], ["disk"]);
        this.#log = [];
        this.#lineage = [];
        this.#keys = new Map();
        this.#first = 1;
        this.#boundaryTag = NO_TAG;
    }
  }

  #calm(): void {
    while (this.#waiting.length > 0) this.#store();
    while (this.#unanswered.length > 0) this.#answer("stored");
    this.#t++;
    this.events.push({ t: this.#t, type: "fault", kind: "all", phase: "calm" });
    for (const cid of this.#readers.keys()) this.#read(cid, Number.POSITIVE_INFINITY);
    const log = this.#log.map((entry) => ({ position: formatPosition(entry), hash: entry.hash }));
    for (const via of ["store", "sse"]) {
      this.events.push({ t: this.#t, type: "final", channel: CHANNEL, via, first: this.#first, head: formatPosition(this.#head()), log });
    }
  }

  #ask(hash: string, key: string): void {
    const attempt = { seq: this.#asked.length, hash, key };
    this.#asked.push(attempt);
    this.#waiting.push(attempt);
    this.events.push({ t: this.#t, type: "publish", channel: CHANNEL, pid: "p", ...attempt });
  }

  #store(): void {
    const attempt = this.#waiting.shift();
    if (attempt === undefined) return;
    this.#unanswered.push(attempt);
    const known = this.#keys.get(attempt.key);
    if (known !== undefined) {
      attempt.stored = { position: known, duplicate: true };
      return;
    }
    if (this.#lineage.length === 0) this.#addEpoch(1);
    const entry = { epoch: this.#lineage.at(-1)!.epoch, offset: this.#head().offset + 1, tag: this.#make(), hash: attempt.hash };
    this.#log.push(entry);
    attempt.stored = { position: formatPosition(entry), duplicate: false };
    this.#keys.set(attempt.key, attempt.stored.position);
  }

  #answer(type: "stored" | "unknown"): void {
    const attempt = this.#unanswered.shift();
    if (attempt === undefined) return;
    const answer = { t: this.#t, channel: CHANNEL, pid: "p", seq: attempt.seq };
    this.events.push(type === "stored" ? { ...answer, type, level: "disk", ...attempt.stored } : { ...answer, type, code: "unknown" });
  }

  #begin(): void {
    const cid = `r${this.#readers.size}`;
    const position = this.#head();
    this.#readers.set(cid, position);
    this.events.push({ t: this.#t, type: "begin", cid, channel: CHANNEL, position: formatPosition(position) });
  }

  #read(cid: string, countMax: number): void {
    for (let count = 0; count < countMax; count++) {
      const position = this.#readers.get(cid)!;
      const gap = this.#gapAt(position);
      if (gap !== null) {
        const resumeFrom = formatPosition(gap.resumeFrom);
        this.events.push({ t: this.#t, type: "gap", cid, channel: CHANNEL, since: formatPosition(position), ...gap, resumeFrom });
        this.#readers.set(cid, gap.resumeFrom);
        continue;
      }
      const next = this.#log.find((entry) => entry.offset === position.offset + 1);
      if (next === undefined) return;
      this.#readers.set(cid, next);
      this.events.push({ t: this.#t, type: "message", cid, channel: CHANNEL, position: formatPosition(next), hash: next.hash });
    }
  }

  /** PROTOCOL.md §6, word for word. */
  #gapAt({ epoch, offset, tag }: Position): { reason: GapEvent["reason"]; resumeFrom: Position; missing: number | null } | null {
    const isOrigin = epoch === ORIGIN.epoch;
    const beforeFirst = this.#lineage.length === 0 ? ORIGIN : this.#placeAt(this.#first - 1);
    if (this.#lineage.length === 0) return isOrigin ? null : { reason: "epoch", resumeFrom: beforeFirst, missing: null };
    const era = isOrigin ? 0 : this.#lineage.findIndex((one) => one.epoch === epoch);
    if (era < 0) return { reason: "epoch", resumeFrom: beforeFirst, missing: null };
    const last = (this.#lineage[era + 1]?.start ?? this.#head().offset + 1) - 1;
    if (offset > last) {
      const kept = Math.max(last, this.#first - 1);
      return { reason: "truncated", resumeFrom: this.#placeAt(kept), missing: era === this.#lineage.length - 1 ? null : kept - last };
    }
    if (offset < this.#first - 1) return { reason: "trimmed", resumeFrom: beforeFirst, missing: this.#first - 1 - offset };
    const present = this.#placeAt(offset);
    if (present.tag === tag || present.tag === NO_TAG || tag === NO_TAG) return null;
    return { reason: "truncated", resumeFrom: present, missing: null };
  }

  #trim(count: number): void {
    this.#fault("trim", ["trimmed"]);
    for (const entry of this.#log.splice(0, count)) {
      this.#first = entry.offset + 1;
      this.#boundaryTag = entry.tag;
    }
  }

  /** With a new epoch, or as a copy does that nobody knows to be old. */
  #loseTail(count: number, isKnown: boolean): void {
    const lost = this.#log.splice(Math.max(0, this.#log.length - count));
    for (const entry of lost) for (const [key, position] of this.#keys) if (position === formatPosition(entry)) this.#keys.delete(key);
    const top = this.#first - 1 + this.#log.length;
    this.#lineage = this.#lineage.filter(({ start }, index) => index === 0 || start <= top + 1);
    if (isKnown && this.#lineage.length > 0) this.#addEpoch(top + 1);
    if (isKnown) return;
    // Others stand in their place before anyone looks
    for (const _ of lost) this.#ask(`h${this.#asked.length}`, `k${this.#asked.length}`);
    while (this.#waiting.length > 0 && lost.length > 0) this.#store();
  }

  #fault(kind: string, may: FaultEvent["may"] & object, loses: readonly string[] = [], rewrites = false): void {
    this.events.push({ t: this.#t, type: "fault", kind, phase: "start", channel: CHANNEL, may, loses, rewrites });
  }

  #head(): Position {
    return this.#lineage.length === 0 ? ORIGIN : this.#placeAt(this.#first - 1 + this.#log.length);
  }

  #placeAt(offset: number): Position {
    const own = this.#log.find((entry) => entry.offset === offset);
    if (own !== undefined) return own;
    const epoch = this.#lineage.findLast((one) => one.start <= offset)?.epoch ?? this.#lineage[0]!.epoch;
    return { epoch, offset, tag: offset === this.#first - 1 ? this.#boundaryTag : NO_TAG };
  }

  #addEpoch(start: number): void {
    this.#lineage.push({ epoch: `${String(++this.#made).padStart(12, "0")}EpochAAA`, start });
  }

  #make(): string {
    return `t${String(++this.#made).padStart(7, "0")}`;
  }
}

export function offsetIn(position: string): number {
  return readPosition(position)!.offset;
}
