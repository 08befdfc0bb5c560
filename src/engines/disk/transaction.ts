import { createHash } from "node:crypto";
import type { Appended, Draft, LogContext, Retention, Told } from "../../core/log.ts";
import { firstKept, isKeyKept, isPastAge, isTooLarge, type KnownKey } from "../../core/retention.ts";
import type { Entry } from "../../protocol/entry.ts";
import { makeEpoch, TAG_LENGTH } from "../../protocol/position.ts";
import type { Store } from "./environment.ts";
import {
  DIGEST_BYTES,
  digestKey,
  type EntryMark,
  idKey,
  offsetKey,
  offsetOf,
  readAge,
  readJson,
  type Table,
  type Write,
  writeAge,
  writeEntry,
  writeJson,
} from "./record.ts";
import { epochOf, newStand, type Stand } from "./stand.ts";
import { ABOUT_KEY, type About, markOf, readStand } from "./tables.ts";

/** Rows of trimmed entries deleted per channel and commit, beyond two for each one stored: so the backlog always shrinks and no commit is long. */
const ROWS_DELETED_MAX = 200;
/** The same for expired keys. */
const KEYS_DROPPED_MAX = 200;
/** Rows of a removed log deleted per commit and table. */
const ROWS_PURGED_MAX = 500;

/** One row of the table `ages`. */
interface Age {
  readonly offset: number;
  readonly at: number;
  readonly digest: Buffer;
}

/** A channel as this transaction will leave it. */
interface Open {
  readonly channel: string;
  stand: Stand | null;
  /** Entries of this transaction, which the tables do not show yet. */
  readonly stored: Entry[];
  /** Their marks, and those read for trimming. */
  readonly marks: Map<number, EntryMark>;
  readonly keys: Map<string, KnownKey>;
  /** Ages of those keys, and offsets of ages that the tables show and this transaction deletes. */
  readonly ages: Age[];
  readonly agesDeleted: Set<number>;
  isRemoved: boolean;
  isChanged: boolean;
}

/**
 * Everything that one commit will make true, decided in order and in memory from what is committed: LMDB then writes all of it or none.
 * There is one at a time and one process, so what it reads cannot change under it.
 */
export class Transaction {
  readonly #tables: Store;
  readonly #context: LogContext;
  readonly #cached: (channel: string) => Stand | undefined;
  readonly #channels = new Map<string, Open>();
  readonly #writes: Write[] = [];
  readonly #nowMs: number;
  #about: About;
  #isTouched = false;

  constructor(tables: Store, context: LogContext, about: About, cached: (channel: string) => Stand | undefined) {
    this.#tables = tables;
    this.#context = context;
    this.#about = about;
    this.#cached = cached;
    this.#nowMs = Math.floor(context.clock.now());
  }

  /** One draft after the other: look the key up, give offset and tag, store, remember the key, trim. */
  append(channel: string, drafts: readonly Draft[], retention: Retention): Appended[] {
    const open = this.#open(channel);
    if (open.stand !== null) this.#trim(open, retention);
    return drafts.map((draft) => this.#appendOne(open, draft, retention));
  }

  /** Trims by age, and deletes what is trimmed or expired. True if there is more to delete. */
  sweep(channel: string, retention: Retention): boolean {
    const open = this.#open(channel);
    const { stand } = open;
    if (stand === null) return false;
    this.#trim(open, retention);
    return stand.lowest < stand.first || (stand.oldestKey !== null && !this.#isKept(stand.oldestKey, stand));
  }

  remove(channel: string): void {
    const open = this.#open(channel);
    const { stand } = open;
    if (stand === null) return;
    this.#put("removed", idKey(stand.id), channel);
    const epoch = epochOf(stand);
    if (epoch > this.#about.removedEpoch) this.#about = { ...this.#about, removedEpoch: epoch };
    open.stand = null;
    open.stored.length = 0;
    open.marks.clear();
    open.keys.clear();
    open.ages.length = 0;
    open.isRemoved = true;
    open.isChanged = true;
  }

  /** Deletes rows of a log that was removed. True if there are more. */
  purge(id: number): boolean {
    let isMore = false;
    for (const table of ["entries", "keys", "ages"] as const) {
      const keys = this.#tables.keys(table, idKey(id), idKey(id + 1), ROWS_PURGED_MAX);
      for (const key of keys) this.#delete(table, key);
      isMore ||= keys.length === ROWS_PURGED_MAX;
    }
    if (!isMore) this.#delete("removed", idKey(id));
    return isMore;
  }

  /** Makes a commit of it, though nothing else changed. */
  touch(): void {
    this.#isTouched = true;
  }

  /** What is to be written. Empty if nothing changed. Call it once, at the end. */
  finish(): readonly Write[] {
    for (const { channel, stand, isChanged } of this.#channels.values()) {
      if (!isChanged) continue;
      if (stand === null) this.#delete("channels", Buffer.from(channel));
      else this.#put("channels", Buffer.from(channel), stand);
    }
    if (this.#writes.length === 0 && !this.#isTouched) return [];
    this.#about = { ...this.#about, commit: this.#about.commit + 1 };
    this.#put("about", ABOUT_KEY, this.#about);
    return this.#writes;
  }

  get about(): About {
    return this.#about;
  }

  /** The channels as they stand once this is committed; null for one removed. */
  *stands(): Generator<[channel: string, stand: Stand | null]> {
    for (const { channel, stand } of this.#channels.values()) yield [channel, stand];
  }

  /** What followers are told once this is committed: the entries of a channel in one go. */
  *told(): Generator<[channel: string, told: Told]> {
    for (const { channel, stand, stored, isRemoved } of this.#channels.values()) {
      if (isRemoved) yield [channel, { type: "changed" }];
      else if (stored.length > 0) yield [channel, { type: "appended", epoch: epochOf(stand as Stand), entries: stored }];
    }
  }

  #appendOne(open: Open, draft: Draft, retention: Retention): Appended {
    const digest = draft.key === undefined ? null : createHash("sha256").update(draft.key).digest().subarray(0, DIGEST_BYTES);
    const known = digest === null || open.stand === null ? undefined : this.#known(open, open.stand, digest);
    if (known !== undefined && this.#isKept(known, open.stand as Stand)) {
      if (known.print !== (draft.print ?? "")) return { type: "conflict" };
      return { type: "duplicate", position: { epoch: known.epoch, offset: known.offset, tag: known.tag } };
    }
    if (digest !== null && this.#isFull(open)) return { type: "keys_full" };
    const stand = open.stand ?? this.#begin(open);
    const entry = this.#store(open, stand, draft);
    if (digest !== null) this.#remember(open, stand, digest, draft.print ?? "", entry, known);
    this.#trim(open, retention);
    return { type: "stored", position: { epoch: epochOf(stand), offset: entry.offset, tag: entry.tag } };
  }

  #store(open: Open, stand: Stand, draft: Draft): Entry {
    const { event, kind, data, size } = draft;
    const offset = stand.top + 1;
    const tag = this.#context.random.letters(TAG_LENGTH);
    const at = Math.max(stand.lastAt, this.#nowMs);
    const key = offsetKey(stand.id, offset);
    this.#writes.push({ table: "entries", key, value: writeEntry(key, draft, at, stand.bytesTop, tag) });
    open.marks.set(offset, { at, below: stand.bytesTop, tag });
    stand.top = offset;
    stand.topTag = tag;
    stand.lastAt = at;
    stand.bytesTop += size;
    open.isChanged = true;
    const entry: Entry = { offset, tag, at, event, kind, data, size };
    open.stored.push(entry);
    return entry;
  }

  #remember(open: Open, stand: Stand, digest: Buffer, print: string, entry: Entry, expired: KnownKey | undefined): void {
    const { offset, tag, at } = entry;
    const known: KnownKey = { print, epoch: epochOf(stand), offset, tag, at };
    // An expired key that is used again, and was not dropped yet: its age goes, its row is written over
    const isInTable = expired !== undefined && stand.oldestKey !== null && expired.offset >= stand.oldestKey.offset;
    if (isInTable) {
      this.#delete("ages", offsetKey(stand.id, expired.offset));
      open.agesDeleted.add(expired.offset);
    } else stand.keyCount++;
    this.#put("keys", digestKey(stand.id, digest), known);
    const ageKey = offsetKey(stand.id, offset);
    this.#writes.push({ table: "ages", key: ageKey, value: writeAge(ageKey, at, digest) });
    open.keys.set(digest.toString("latin1"), known);
    open.ages.push({ offset, at, digest });
    stand.oldestKey ??= { offset, at };
  }

  #known(open: Open, stand: Stand, digest: Buffer): KnownKey | undefined {
    const pending = open.keys.get(digest.toString("latin1"));
    if (pending !== undefined) return pending;
    const key = digestKey(stand.id, digest);
    const value = this.#tables.get("keys", key);
    return value === undefined ? undefined : readJson<KnownKey>(key, value, `A key of channel ${JSON.stringify(open.channel)}`);
  }

  #isKept(key: { readonly at: number; readonly offset: number }, stand: Stand): boolean {
    return isKeyKept(key, stand.first, this.#nowMs, this.#context.keySecondsMin);
  }

  #trim(open: Open, retention: Retention): void {
    const stand = open.stand as Stand;
    const mark = (offset: number) => this.#mark(open, stand, offset);
    const first = firstKept(stand.first, stand.top, (offset) => {
      const { at, below } = mark(offset);
      return !isPastAge(at, this.#nowMs, retention) && !isTooLarge(stand.top - offset + 1, stand.bytesTop - below, retention);
    });
    if (first > stand.first) {
      stand.boundaryTag = mark(first - 1).tag;
      stand.bytesBelow = first > stand.top ? stand.bytesTop : mark(first).below;
      stand.first = first;
      open.isChanged = true;
    }
    const deletedEnd = Math.min(first, stand.lowest + (open.stored.length > 0 ? 2 : ROWS_DELETED_MAX));
    for (; stand.lowest < deletedEnd; stand.lowest++) {
      this.#delete("entries", offsetKey(stand.id, stand.lowest));
      open.isChanged = true;
    }
  }

  #mark(open: Open, stand: Stand, offset: number): EntryMark {
    let mark = open.marks.get(offset);
    if (mark === undefined) {
      mark = markOf(this.#tables, open.channel, stand.id, offset);
      open.marks.set(offset, mark);
    }
    return mark;
  }

  #isFull(open: Open): boolean {
    const { keysMax } = this.#context;
    if (open.stand === null || open.stand.keyCount < keysMax) return keysMax < 1;
    this.#dropKeys(open, open.stand);
    return open.stand.keyCount >= keysMax;
  }

  /** Deletes the oldest keys that need not be kept, a bounded number of them. */
  #dropKeys(open: Open, stand: Stand): void {
    if (stand.oldestKey === null || this.#isKept(stand.oldestKey, stand)) return;
    const oldest = this.#oldestAges(open, stand, KEYS_DROPPED_MAX + 1);
    stand.oldestKey = null;
    open.isChanged = true;
    for (const [index, { offset, at, digest }] of oldest.entries()) {
      if (index === KEYS_DROPPED_MAX || this.#isKept({ offset, at }, stand)) {
        stand.oldestKey = { offset, at };
        return;
      }
      this.#delete("ages", offsetKey(stand.id, offset));
      this.#delete("keys", digestKey(stand.id, digest));
      stand.keyCount--;
    }
  }

  /** From the tables, then from this transaction, which they do not show. */
  #oldestAges(open: Open, stand: Stand, countMax: number): Age[] {
    const from = stand.oldestKey?.offset ?? 0;
    const ages: Age[] = [];
    for (const { key, value } of this.#tables.rows(
      "ages",
      offsetKey(stand.id, from),
      idKey(stand.id + 1),
      countMax + open.agesDeleted.size,
    )) {
      const offset = offsetOf(key);
      if (!open.agesDeleted.has(offset)) ages.push({ offset, ...readAge(key, value) });
    }
    for (const age of open.ages) if (age.offset >= from && !open.agesDeleted.has(age.offset)) ages.push(age);
    return ages.slice(0, countMax);
  }

  #begin(open: Open): Stand {
    const { clock, random } = this.#context;
    const id = this.#about.nextId;
    this.#about = { ...this.#about, nextId: id + 1 };
    open.stand = newStand(id, makeEpoch(clock.now(), random.letters(8), this.#about.removedEpoch));
    open.isChanged = true;
    return open.stand;
  }

  #open(channel: string): Open {
    const known = this.#channels.get(channel);
    if (known !== undefined) return known;
    const committed = this.#cached(channel) ?? readStand(this.#tables, channel);
    const stand = committed === null ? null : { ...committed };
    const open: Open = {
      channel,
      stand,
      stored: [],
      marks: new Map(),
      keys: new Map(),
      ages: [],
      agesDeleted: new Set(),
      isRemoved: false,
      isChanged: false,
    };
    if (stand !== null) this.#dropKeys(open, stand);
    this.#channels.set(channel, open);
    return open;
  }

  #put(table: Table, key: Buffer, content: unknown): void {
    this.#writes.push({ table, key, value: writeJson(key, content) });
  }

  #delete(table: Table, key: Buffer): void {
    this.#writes.push({ table, key, value: null });
  }
}
