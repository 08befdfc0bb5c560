import { crc32 } from "node:zlib";
import type { Draft } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import type { Kind } from "../../protocol/message.ts";

/*
 * What stands in the tables. LMDB has no checksums of its own, so each value begins with one over its key and itself: a page that went bad,
 * or a record that stands in the wrong place, is an error and never wrong data.
 *
 *   entries   id 6 | offset 8          crc 4 | body crc 4 | flags 1 | event bytes 1 | 0 2 | size 4 | at 8 | below 8 | tag 8 | event, data
 *   keys      id 6 | digest 20         crc 4 | JSON KnownKey
 *   ages      id 6 | offset 8          crc 4 | at 8 | digest 20        which key is the oldest: keys outlive their entries
 *   channels  name                     crc 4 | JSON Stand
 *   removed   id 6                     crc 4 | JSON name               logs whose rows are still being deleted
 *   about     a word                   crc 4 | JSON
 *
 * `below` is the bytes of all entries before this one since the log began, so that the bytes between two entries are a subtraction and trimming is a search.
 */
export const TABLES = ["entries", "keys", "ages", "channels", "removed", "about"] as const;
export type Table = (typeof TABLES)[number];

/** One change of one table: null deletes. */
export interface Write {
  readonly table: Table;
  readonly key: Buffer;
  readonly value: Buffer | null;
}

const ENTRY_HEAD_BYTES = 40;
const KINDS: readonly Kind[] = ["json", "text", "bytes"];
/** A text with a lone surrogate cannot be UTF-8. It is kept as it is, in UTF-16, so that what is read is what was published. */
const UTF16 = 0b100;
export const DIGEST_BYTES = 20;

/** An entry without its event and data: what trimming asks for. */
export interface EntryMark {
  readonly at: number;
  readonly below: number;
  readonly tag: string;
}

export function idKey(id: number): Buffer {
  const key = Buffer.allocUnsafe(6);
  key.writeUIntBE(id, 0, 6);
  return key;
}

export function offsetKey(id: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(14);
  key.writeUIntBE(id, 0, 6);
  key.writeUInt32BE(Math.floor(offset / 2 ** 32), 6);
  key.writeUInt32BE(offset >>> 0, 10);
  return key;
}

export function offsetOf(key: Uint8Array): number {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return view.getUint32(6) * 2 ** 32 + view.getUint32(10);
}

export function digestKey(id: number, digest: Uint8Array): Buffer {
  const key = Buffer.allocUnsafe(6 + DIGEST_BYTES);
  key.writeUIntBE(id, 0, 6);
  key.set(digest, 6);
  return key;
}

export function writeEntry(key: Buffer, draft: Draft, at: number, below: number, tag: string): Buffer {
  const { data } = draft;
  const isText = typeof data === "string";
  const encoding = isText && !isWellFormed(data) ? "utf16le" : "utf8";
  const eventBytes = Buffer.byteLength(draft.event);
  const dataBytes = isText ? Buffer.byteLength(data, encoding) : data.byteLength;
  const value = Buffer.allocUnsafe(ENTRY_HEAD_BYTES + eventBytes + dataBytes);
  value[8] = KINDS.indexOf(draft.kind) | (encoding === "utf16le" ? UTF16 : 0);
  value[9] = eventBytes;
  value.writeUInt16LE(0, 10);
  value.writeUInt32LE(draft.size, 12);
  value.writeDoubleLE(at, 16);
  value.writeDoubleLE(below, 24);
  value.write(tag, 32, "latin1");
  value.write(draft.event, ENTRY_HEAD_BYTES);
  if (isText) value.write(data, ENTRY_HEAD_BYTES + eventBytes, encoding);
  else value.set(data, ENTRY_HEAD_BYTES + eventBytes);
  value.writeUInt32LE(crc32(value.subarray(ENTRY_HEAD_BYTES)), 4);
  value.writeUInt32LE(crc32(value.subarray(4, ENTRY_HEAD_BYTES), crc32(key)), 0);
  return value;
}

/** The mark of an entry; null if its head is damaged. */
export function readMark(key: Buffer, value: Buffer): EntryMark | null {
  if (value.length < ENTRY_HEAD_BYTES || value.readUInt32LE(0) !== crc32(value.subarray(4, ENTRY_HEAD_BYTES), crc32(key))) return null;
  return { at: value.readDoubleLE(16), below: value.readDoubleLE(24), tag: value.toString("latin1", 32, 40) };
}

/** An entry; null if anything of it is damaged. Bytes are a copy that nobody else holds. */
export function readEntry(key: Buffer, value: Buffer, offset: number): Entry | null {
  const mark = readMark(key, value);
  if (mark === null || value.readUInt32LE(4) !== crc32(value.subarray(ENTRY_HEAD_BYTES))) return null;
  const flags = value[8] as number;
  const kind = KINDS[flags & 0b11] as Kind;
  const dataStart = ENTRY_HEAD_BYTES + (value[9] as number);
  return {
    offset,
    tag: mark.tag,
    at: mark.at,
    event: value.toString("utf8", ENTRY_HEAD_BYTES, dataStart),
    kind,
    data: kind === "bytes" ? new Uint8Array(value.subarray(dataStart)) : value.toString(flags & UTF16 ? "utf16le" : "utf8", dataStart),
    size: value.readUInt32LE(12),
  };
}

export function writeJson(key: Uint8Array, content: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(content));
  const value = Buffer.allocUnsafe(4 + body.length);
  value.set(body, 4);
  value.writeUInt32LE(crc32(body, crc32(key)), 0);
  return value;
}

/** Throws `internal` if the record is damaged: `what` names it to the operator. */
export function readJson<Content>(key: Uint8Array, value: Buffer, what: string): Content {
  const body = value.subarray(4);
  if (value.length < 4 || value.readUInt32LE(0) !== crc32(body, crc32(key))) throw damaged(what);
  return JSON.parse(body.toString()) as Content;
}

export function writeAge(key: Uint8Array, at: number, digest: Uint8Array): Buffer {
  const value = Buffer.allocUnsafe(12 + DIGEST_BYTES);
  value.writeDoubleLE(at, 4);
  value.set(digest, 12);
  value.writeUInt32LE(crc32(value.subarray(4), crc32(key)), 0);
  return value;
}

export function readAge(key: Uint8Array, value: Buffer): { readonly at: number; readonly digest: Buffer } {
  if (value.length !== 12 + DIGEST_BYTES || value.readUInt32LE(0) !== crc32(value.subarray(4), crc32(key)))
    throw damaged("The age of a key");
  return { at: value.readDoubleLE(4), digest: value.subarray(12) };
}

/** Whether the checksum of a row of any table but `entries` is right. */
export function isRowIntact(key: Buffer, value: Buffer): boolean {
  return value.length >= 4 && value.readUInt32LE(0) === crc32(value.subarray(4), crc32(key));
}

/** The same for a row of any table, and all of an entry. */
export function isWhole(table: Table, key: Buffer, value: Buffer): boolean {
  if (table !== "entries") return isRowIntact(key, value);
  return readMark(key, value) !== null && value.readUInt32LE(4) === crc32(value.subarray(ENTRY_HEAD_BYTES));
}

export function damaged(what: string): ThroughlineError {
  return new ThroughlineError(
    "internal",
    `${what} is damaged on disk: its checksum is wrong. Nothing of it was given out. Check the disk, then restore the directory from a backup, or remove the channel.`,
  );
}

// ES2024, there in Node 20; the library of types is that of ES2023
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
