import { createHash } from "node:crypto";
import type { Draft, Era } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import type { Kind } from "../../protocol/message.ts";
import type { Floors } from "./floors.ts";

/** An entry with what else its sheet says of it. */
export interface Line {
  readonly entry: Entry;
  /** Bytes of all entries before it. */
  readonly below: number;
  /** Digests of its idempotency key and of its content. */
  readonly key: string | null;
  readonly print: string;
}

/**
 * One message in the log of a channel: the entries of one call, and how the log stands with them. So an append is one publish, and the last sheet says all that the next one needs.
 */
export interface Sheet {
  /** Where it stands in the stream, and where the sheet before it did. */
  readonly seq: number;
  readonly previous: number;
  /** Who wrote it, and under which fence. */
  readonly node: string;
  readonly fence: string;
  /** The epoch and the time at which the log was begun. */
  readonly born: string;
  readonly bornAt: number;
  readonly lineage: readonly Era[];
  readonly floors: Floors;
  /** Offset of the last entry with a key, 0 if there was none yet. */
  readonly keyTop: number;
  /** Tag of the entry before the first one here. */
  readonly tagBefore: string;
  /** Offset of the first entry here. */
  readonly first: number;
  readonly below: number;
  /** None: the log is removed. */
  readonly lines: readonly Line[];
}

export type NewSheet = Omit<Sheet, "seq">;

/** The headers of a message, by their names. */
export type Headers = (name: string) => string;

const LOG = "Throughline-Log";
const LINEAGE = "Throughline-Lineage";
const ENTRIES = "Throughline-Entries";
const EXPECTED = "Nats-Expected-Last-Subject-Sequence";

/** How a message's data is held, in one letter. Text with a lone surrogate is no UTF-8, and so is kept in UTF-16. */
const LETTERS: Readonly<Record<Kind, string>> = { json: "j", text: "t", bytes: "b" };
const KINDS: Readonly<Record<string, Kind>> = { j: "json", t: "text", b: "bytes", J: "json", T: "text" };

export function encodeHeaders(values: Readonly<Record<string, string>>): Uint8Array {
  return Buffer.from(
    `NATS/1.0\r\n${Object.entries(values)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("")}\r\n`,
  );
}

/** By the bytes that JetStream gives of them. */
export function decodeHeaders(bytes: Buffer): Headers {
  const values = new Map<string, string>();
  for (const line of bytes.toString().split("\r\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) values.set(line.slice(0, colon), line.slice(colon + 2));
  }
  return (name) => values.get(name) ?? "";
}

export function encodeSheet(sheet: NewSheet): { readonly headers: Uint8Array; readonly payload: Uint8Array } {
  const { node, fence, born, bornAt, floors, keyTop, tagBefore, first, below, lines } = sheet;
  const parts = lines.map(({ entry }) => bytesOf(entry.data));
  const entries = lines.map(({ entry, key, print }, index) => {
    const isWide = typeof entry.data === "string" && !isWellFormed(entry.data);
    const letter = isWide ? LETTERS[entry.kind].toUpperCase() : LETTERS[entry.kind];
    return `${entry.at} ${entry.tag} ${entry.size} ${parts[index]!.length} ${key ?? "-"} ${print === "" ? "-" : print} ${letter}${encodeURIComponent(entry.event)}`;
  });
  const headers = encodeHeaders({
    [EXPECTED]: String(sheet.previous),
    [LOG]: ["1", node, fence, born, bornAt, floors.count, floors.bytes, floors.at, keyTop, tagBefore, first, below, sheet.previous].join(
      " ",
    ),
    [LINEAGE]: sheet.lineage.map(({ epoch, start, isUnvouched }) => `${epoch}:${start}${isUnvouched ? ":?" : ""}`).join(","),
    ...(entries.length === 0 ? {} : { [ENTRIES]: entries.join(",") }),
  });
  return { headers, payload: parts.length === 1 ? parts[0]! : Buffer.concat(parts) };
}

/** Reads a sheet. Without its payload (`data` null) the data of its entries is left out. */
export function decodeSheet(seq: number, headers: Headers, data: Uint8Array | null): Sheet {
  const [form, node, fence, born, bornAt, count, bytes, at, keyTop, tagBefore, first, below, previous] = headers(LOG).split(
    " ",
  ) as string[];
  if (form !== "1") throw new Error(`The message ${seq} is not one of this engine, or of a later version of it.`);
  const lines: Line[] = [];
  let [offset, sum, place] = [Number(first), Number(below), 0];
  for (const words of (headers(ENTRIES) || null)?.split(",") ?? []) {
    const [entryAt, tag, size, length, key, print, coded] = words.split(" ") as [string, string, string, string, string, string, string];
    const letter = coded[0]!;
    const kind = KINDS[letter] ?? "bytes";
    const part = data?.subarray(place, place + Number(length)) ?? EMPTY;
    const entry: Entry = {
      ...{ offset, tag, at: Number(entryAt), event: decodeURIComponent(coded.slice(1)), kind, size: Number(size) },
      data: kind === "bytes" ? new Uint8Array(part) : bufferOf(part).toString(letter in LOWER ? "utf8" : "utf16le"),
    };
    lines.push({ entry, below: sum, key: key === "-" ? null : key, print: print === "-" ? "" : print });
    offset++;
    sum += entry.size;
    place += Number(length);
  }
  return {
    ...{ seq, previous: Number(previous), node: node!, fence: fence!, born: born!, bornAt: Number(bornAt) },
    ...{ lineage: readLineage(headers(LINEAGE)), floors: { count: Number(count), bytes: Number(bytes), at: Number(at) } },
    ...{ keyTop: Number(keyTop), tagBefore: tagBefore!, first: Number(first), below: Number(below), lines },
  };
}

/** A key, or a print, of any length in 22 characters. */
export function digestOf(text: string): string {
  return createHash("sha256").update(text, "utf8").digest().subarray(0, 16).toString("base64url");
}

/** The bytes of a draft as they are sent. */
export function lengthOf({ data, size }: Draft): number {
  return typeof data === "string" && !isWellFormed(data) ? data.length * 2 : size;
}

/** The bytes that a draft adds to the headers, at most. */
export function headerBytesOf({ event }: Draft): number {
  return ENTRY_BYTES_MAX + encodeURIComponent(event).length;
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Of an entry's words all but its event: time, tag, two lengths, key and print. */
const ENTRY_BYTES_MAX = 96;

const EMPTY = new Uint8Array(0);
const LOWER: Readonly<Record<string, true>> = { j: true, t: true };

function readLineage(text: string): Era[] {
  return text.split(",").map((era) => {
    const [epoch, start, doubt] = era.split(":") as [string, string, string?];
    return { epoch, start: Number(start), ...(doubt === undefined ? {} : { isUnvouched: true }) };
  });
}

function bytesOf(data: string | Uint8Array): Uint8Array {
  return typeof data === "string" ? Buffer.from(data, isWellFormed(data) ? "utf8" : "utf16le") : data;
}

// ES2024, there in Node 20; the library of types is that of ES2023
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
