import type { Entry } from "../../protocol/entry.ts";
import type { Store } from "./environment.ts";
import { damaged, type EntryMark, offsetKey, readEntry, readJson, readMark } from "./record.ts";
import type { Stand } from "./stand.ts";

/** What the whole directory knows: the one row `state` of the table `about`. */
export interface About {
  /** Counts commits, so that after a failure it can be seen whether the last one stands. */
  readonly commit: number;
  readonly nextId: number;
  /** The latest epoch of a removed log: what follows in its place is later. */
  readonly removedEpoch: string;
}

export const ABOUT_KEY = Buffer.from("state");
/** The range of all channels' names. */
export const NAMES = [Buffer.from([0]), Buffer.alloc(16, 0xff)] as const;

export function readAbout(store: Pick<Store, "get">): About | null {
  const value = store.get("about", ABOUT_KEY);
  return value === undefined ? null : readJson<About>(ABOUT_KEY, value, "The state of the directory");
}

export function readStand(store: Pick<Store, "get">, channel: string): Stand | null {
  const key = Buffer.from(channel);
  const value = store.get("channels", key);
  return value === undefined ? null : readJson<Stand>(key, value, `The head of channel ${JSON.stringify(channel)}`);
}

export function markOf(store: Pick<Store, "get">, channel: string, id: number, offset: number): EntryMark {
  const key = offsetKey(id, offset);
  const value = store.get("entries", key);
  const mark = value === undefined ? null : readMark(key, value);
  if (mark === null) throw damagedEntry(channel, offset);
  return mark;
}

export function entryOf(store: Pick<Store, "get">, channel: string, id: number, offset: number): Entry {
  const key = offsetKey(id, offset);
  const value = store.get("entries", key);
  const entry = value === undefined ? null : readEntry(key, value, offset);
  if (entry === null) throw damagedEntry(channel, offset);
  return entry;
}

function damagedEntry(channel: string, offset: number): Error {
  return damaged(`Message ${offset} of channel ${JSON.stringify(channel)}`);
}
