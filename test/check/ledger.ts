import { NO_TAG, readPosition } from "../../src/protocol/position.ts";
import type { Causes } from "./causes.ts";
import { rankOf } from "./causes.ts";
import type { AnswerEvent, PublishEvent } from "./history.ts";
import type { Findings } from "./verdict.ts";

/** What someone asked to be stored, or seemed to get. Known by its hash: no two contents of a history are alike. */
export interface Content {
  readonly hash: string;
  key: string;
  /** When it was first asked for; Infinity: nobody asked. */
  askedAt: number;
  attempts: number;
  refused: number;
  /** When it was first seen to be stored, and where: more than one place, if it was lost and stored again, or stored twice. */
  seenAt: number;
  readonly entries: Entry[];
  /** Of the log when it was first asked for, and when it was first seen. */
  generation: number;
  seenGeneration: number;
  /** Offsets that it must be beyond: of what was stored before it was asked for, and of what its publisher knew to be stored. */
  afterAll: number;
  afterOwn: number;
}

/** A message at its place. */
export interface Entry {
  /** `offset.tag`, and the whole position as it was told first. */
  readonly place: string;
  readonly position: string;
  readonly offset: number;
  readonly seenAt: number;
  /** The earliest that it was told under: an epoch that the lineage has forgotten is told as the oldest that it has. */
  epoch: string;
  content: Content | null;
  /** When the attempt was made that was answered with it, and the highest rank of such an answer; null: none was. */
  acked: { askedAt: number; readonly at: number; rank: number } | null;
  /** The place of the one before it, and who saw that. */
  before: string;
  beforeSeenBy: string;
}

interface Attempt {
  readonly content: Content;
  readonly t: number;
}

/** What all that was said of one channel comes to: contents, places, their order. Judges what can be judged by one look at it. */
export class Ledger {
  readonly name: string;
  readonly contents = new Map<string, Content>();
  readonly entries = new Map<string, Entry>();
  /** By offset, the entry seen there last: what most readers are given next, found without looking at text. */
  readonly latest = new Map<number, Entry>();
  /** An epoch follows another in a reader's line, at this offset: whether it could is known at the end. */
  readonly steps: { readonly epoch: string; readonly offset: number; readonly t: number; readonly who: string }[] = [];
  /** An entry, and another content that it was seen with. */
  readonly conflicts: { readonly entry: Entry; readonly content: Content; readonly t: number; readonly who: string }[] = [];
  /** What was sent over each connection, in order. */
  readonly connections = new Map<string, Content[]>();
  /** One epoch gave one offset to two messages. */
  rewritten = false;
  readonly #causes: Causes;
  readonly #findings: Findings;
  readonly #lineageMax: number;
  readonly #epochs = new Set<string>();
  readonly #spots = new Map<string, Entry>();
  readonly #tags = new Map<string, Entry>();
  readonly #attempts = new Map<string, Attempt>();
  readonly #keys = new Map<string, Content>();
  readonly #publishers = new Map<string, { generation: number; offset: number }>();
  /** The largest offset that was stored before `now`, and the largest first seen at `now`. */
  #settled = { generation: 0, offset: 0, now: 0, offsetNow: 0 };

  constructor(name: string, causes: Causes, findings: Findings, lineageMax: number) {
    this.name = name;
    this.#causes = causes;
    this.#findings = findings;
    this.#lineageMax = lineageMax;
  }

  /** Attempts that were never answered. */
  get unanswered(): number {
    return this.#attempts.size;
  }

  /** The content that a key was first used for. */
  ofKey(key: string): Content | undefined {
    return this.#keys.get(key);
  }

  ask({ t, pid, seq, key, hash, connection }: PublishEvent): void {
    const content = this.#contentOf(hash);
    content.attempts++;
    this.#attempts.set(`${pid} ${seq}`, { content, t });
    if (key !== "" && !this.#keys.has(key)) this.#keys.set(key, content);
    if (content.attempts > 1) return;
    content.key = key;
    content.askedAt = t;
    content.generation = this.#causes.generation(this.name);
    content.afterAll = this.#settledBefore(t).offset;
    const publisher = this.#publishers.get(pid);
    if (publisher?.generation === content.generation) content.afterOwn = publisher.offset;
    if (connection === undefined) return;
    const sent = this.connections.get(`${pid} ${connection}`);
    if (sent === undefined) this.connections.set(`${pid} ${connection}`, [content]);
    else sent.push(content);
  }

  answer(event: AnswerEvent): void {
    const { t, pid, seq, type, position, level } = event;
    const attempt = this.#attempts.get(`${pid} ${seq}`);
    if (attempt === undefined) throw new Error(`This history is broken: ${pid} was answered for its ${seq}, which it did not ask for.`);
    this.#attempts.delete(`${pid} ${seq}`);
    const { content } = attempt;
    if (type === "refused") content.refused++;
    if (type !== "stored") return;
    const who = `the answer to ${pid}`;
    const entry = this.entryAt(position ?? "", t, who);
    if (entry === null) return;
    this.bind(entry, content.hash, t, who);
    const rank = rankOf(level);
    if (entry.acked === null) entry.acked = { askedAt: attempt.t, at: t, rank };
    else {
      entry.acked.askedAt = Math.max(entry.acked.askedAt, attempt.t);
      entry.acked.rank = Math.max(entry.acked.rank, rank);
    }
    const generation = this.#causes.generation(this.name);
    if (content.generation !== generation || this.#causes.isSplit(this.name, t)) return;
    const publisher = this.#publishers.get(pid);
    const offset = publisher?.generation === generation ? Math.max(publisher.offset, entry.offset) : entry.offset;
    this.#publishers.set(pid, { generation, offset });
  }

  /** The entry that a position stands for; null, and told, if it stands for none. */
  entryAt(position: string, t: number, who: string): Entry | null {
    const known = this.entries.get(position.slice(21));
    if (known !== undefined && position.startsWith(known.epoch)) return known;
    const read = readPosition(position);
    if (read === null || read.offset === 0 || read.tag === NO_TAG) {
      this.#findings.add("corrupt", t, `${who} has ${JSON.stringify(position)} on ${this.name}, which is not the position of a message`);
      return null;
    }
    const { epoch, offset, tag } = read;
    this.#epochs.add(epoch);
    if (known !== undefined) {
      if (this.#epochs.size <= this.#lineageMax) this.#parts(t, `${who} has ${known.place} under ${epoch}, others under ${known.epoch}`);
      if (epoch < known.epoch) known.epoch = epoch;
      return known;
    }
    const place = position.slice(21);
    const entry: Entry = { place, position, offset, seenAt: t, epoch, content: null, acked: null, before: "", beforeSeenBy: "" };
    this.entries.set(place, entry);
    this.latest.set(offset, entry);
    const twin = this.#tags.get(tag);
    if (twin !== undefined) this.#parts(t, `${who} has the tag of ${twin.place} at the offset ${offset}`);
    this.#tags.set(tag, entry);
    const spot = `${epoch}.${offset}`;
    const other = this.#spots.get(spot);
    if (other !== undefined) {
      this.rewritten = true;
      if (!this.#causes.mayLose(this.name, -1, 0, t)) this.#parts(t, `${who} has ${place} where others have ${other.place}`);
    }
    this.#spots.set(spot, entry);
    return entry;
  }

  /** An entry was seen with a content: it is stored, and here. */
  bind(entry: Entry, hash: string, t: number, who: string): void {
    if (entry.content?.hash === hash) return;
    const content = this.#contentOf(hash);
    if (entry.content !== null) {
      this.conflicts.push({ entry, content, t, who });
      return;
    }
    entry.content = content;
    if (content.entries.push(entry) > 1) return;
    const { offset } = entry;
    const generation = this.#causes.generation(this.name);
    content.seenAt = t;
    content.seenGeneration = generation;
    if (content.generation !== generation || content.attempts === 0 || this.#causes.isSplit(this.name, t)) return;
    if (offset <= content.afterAll) {
      const sentence = `${hash} is at ${offset} of ${this.name}, though ${content.afterAll} was stored before it was asked for`;
      this.#findings.add("realtime-order", t, sentence);
    } else if (offset <= content.afterOwn) {
      const sentence = `${hash} is at ${offset} of ${this.name}, though its publisher had been answered ${content.afterOwn} before`;
      this.#findings.add("publisher-order", t, sentence);
    }
    const settled = this.#settledBefore(t);
    settled.offsetNow = Math.max(settled.offsetNow, offset);
  }

  /** Someone saw this entry follow that place. */
  follows(entry: Entry, before: string, t: number, who: string): void {
    if (entry.before === before || before === "" || before.endsWith(NO_TAG)) return;
    if (entry.before === "") {
      entry.before = before;
      entry.beforeSeenBy = who;
    } else this.#parts(t, `${entry.place} followed ${before} for ${who}, and ${entry.before} for ${entry.beforeSeenBy}`);
  }

  #parts(t: number, what: string): void {
    this.#findings.add("divergence", t, `On ${this.name}, ${what}`);
  }

  #contentOf(hash: string): Content {
    const known = this.contents.get(hash);
    if (known !== undefined) return known;
    const nothing = { key: "", attempts: 0, refused: 0, generation: 0, seenGeneration: 0, afterAll: 0, afterOwn: 0 };
    const content = { hash, askedAt: Number.POSITIVE_INFINITY, seenAt: Number.POSITIVE_INFINITY, entries: [], ...nothing };
    this.contents.set(hash, content);
    return content;
  }

  /** Time has come to `t`: what was seen before it is settled. */
  #settledBefore(t: number): { offset: number; offsetNow: number } {
    const settled = this.#settled;
    const generation = this.#causes.generation(this.name);
    if (settled.generation !== generation) this.#settled = { generation, offset: 0, now: t, offsetNow: 0 };
    else if (t > settled.now) {
      settled.offset = Math.max(settled.offset, settled.offsetNow);
      settled.now = t;
      settled.offsetNow = 0;
    }
    return this.#settled;
  }
}
