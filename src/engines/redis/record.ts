import { createHash } from "node:crypto";
import type { Appended, Draft, Era, Head, Page } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import type { Kind } from "../../protocol/message.ts";
import { listOf, type Reply, textOf } from "./link.ts";

/** How a message's data is held, in one letter before the name of its event. Text with a lone surrogate is no UTF-8, and so is kept in UTF-16. */
const LETTERS: Readonly<Record<Kind, string>> = { json: "j", text: "t", bytes: "b" };
const WIDE: Readonly<Record<string, Kind>> = { J: "json", T: "text" };
const NARROW: Readonly<Record<string, Kind>> = { j: "json", t: "text", b: "bytes" };

/** The head of an entry in the Stream: `at tag below size kind+event`. */
const HEAD = /^(\d+) (\S+) \d+ (\d+) ([a-zA-Z])/;

/** What the append script is given of a draft. */
export function draftWords(draft: Draft, tag: string): (string | Buffer)[] {
  const { event, kind, data, size, key, print = "" } = draft;
  const isWide = typeof data === "string" && !isWellFormed(data);
  const letter = isWide ? LETTERS[kind].toUpperCase() : LETTERS[kind];
  const bytes = typeof data === "string" ? (isWide ? Buffer.from(data, "utf16le") : data) : bufferOf(data);
  return [tag, `${size} ${letter}${event}`, bytes, key === undefined ? "" : `${digestOf(key)} ${print}`];
}

/** What the append script answered, draft by draft. */
export function readAppended(answers: readonly Reply[], epoch: string, tags: readonly string[]): Appended[] {
  return answers.map((answer, index) => {
    if (typeof answer === "number") return { type: "stored", position: { epoch, offset: answer, tag: tags[index]! } };
    const [type, offset, tag, keyEpoch] = textOf(answer).split(" ") as [string, string, string, string];
    if (type === "d") return { type: "duplicate", position: { epoch: keyEpoch, offset: Number(offset), tag } };
    return { type: type === "c" ? "conflict" : "keys_full" };
  });
}

export function readPage(reply: Reply): Page {
  if (reply === null) return { head: null, entries: [] };
  const all = listOf(reply);
  const [lineage, first, boundaryTag, top, topTag] = all.slice(0, 5).map(textOf) as [string, string, string, string, string];
  const head: Head = { lineage: readLineage(lineage), first: Number(first), boundaryTag, top: Number(top), topTag };
  return { head, entries: readEntries(all, 5) };
}

/** Entries that come as offset, head and data, one after the other. */
export function readEntries(list: readonly Reply[], from = 0): Entry[] {
  const entries: Entry[] = [];
  for (let index = from; index < list.length; index += 3)
    entries.push(readEntry(textOf(list[index]), textOf(list[index + 1]), list[index + 2]!));
  return entries;
}

export function readLineage(text: string): Era[] {
  return text.split(",").map((era) => {
    const [epoch, start] = era.split(":") as [string, string];
    return { epoch, start: Number(start) };
  });
}

function readEntry(offset: string, head: string, data: Reply): Entry {
  const match = HEAD.exec(head);
  if (match === null) throw new Error(`The entry ${offset} is not one of this engine: ${JSON.stringify(head.slice(0, 64))}.`);
  const [all, at, tag, size, letter] = match as unknown as [string, string, string, string, string];
  const bytes = Buffer.isBuffer(data) ? data : Buffer.from(textOf(data));
  const kind = NARROW[letter] ?? WIDE[letter] ?? "bytes";
  return {
    offset: Number(offset),
    tag,
    at: Number(at),
    event: head.slice(all.length),
    kind,
    data: kind === "bytes" ? new Uint8Array(bytes) : bytes.toString(letter in WIDE ? "utf16le" : "utf8"),
    size: Number(size),
  };
}

/** A key of any length in 22 characters. */
function digestOf(key: string): string {
  return createHash("sha256").update(key, "utf8").digest().subarray(0, 16).toString("base64url");
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// ES2024, there in Node 20; the library of types is that of ES2023
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
