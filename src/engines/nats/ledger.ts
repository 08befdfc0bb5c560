import type { LogContext } from "../../core/log.ts";
import type { Publishing } from "./channels.ts";
import type { JetStream, Stored } from "./jetstream.ts";
import { KeyTable, type KnownKey } from "./keys.ts";
import type { Place } from "./places.ts";
import { decodeSheet, encodeHeaders } from "./record.ts";
import { standingAfter } from "./standing.ts";

const KEYS = "Throughline-Keys";
/** A segment is no larger, and what is read changes under the reader no more often than so. */
const SEGMENT_KEYS_MAX = 5_000;
/** A key in a segment, and the headers of one. */
const KEY_BYTES_MAX = 128;
const HEADERS_BYTES_MAX = 1_024;
const TRIES_MAX = 8;

/**
 * The key table as a projection. Keys stand in the headers of the log; before a part of the log is deleted, those in it that are still to be kept are written into a segment of their own,
 * in the same stream. So the table is all segments and what of the log follows the last one, and each key is written twice at most.
 */
export class Ledger {
  readonly #js: JetStream;
  readonly #log: LogContext;

  constructor(js: JetStream, log: LogContext) {
    this.#js = js;
    this.#log = log;
  }

  /** Reads the table of a channel as of where it stands. */
  async load({ standing }: Publishing, place: Place): Promise<KeyTable> {
    for (let tries = 1; ; tries++) {
      const table = new KeyTable();
      const last = await this.#js.last(place.stream, place.keys);
      let isWhole =
        last === null || (await this.#readTo(last.seq, place.stream, place.keys, (one) => readSegment(table, standing.born, one)));
      if (standing.keyTop > table.through) {
        const { born, seq } = standing;
        isWhole &&= await this.#readTo(seq, place.stream, place.log, (one) => readKeys(table, born, seq, one), true);
      }
      const lastNow = await this.#js.last(place.stream, place.keys);
      if (isWhole && lastNow?.seq === last?.seq) {
        table.lastSegmentSeq = last?.seq ?? 0;
        return table;
      }
      // Somebody has moved keys from the log to a segment meanwhile, or NATS has broken off: a key that is lacking would be stored once more
      if (tries === TRIES_MAX)
        throw new Error("the keys were moved again and again while they were read, or could not be read to their end.");
    }
  }

  /** All of a subject up to a place. False if it was not come to: a consumer may be gone before it has given anything, and `each` ends as where there is no more. */
  async #readTo(seq: number, stream: string, subject: string, take: (stored: Stored) => boolean, onlyHeaders = false): Promise<boolean> {
    let through = 0;
    const takeOne = (stored: Stored) => {
      through = stored.seq;
      return take(stored);
    };
    await this.#js.each(stream, subject, 1, takeOne, onlyHeaders);
    return through >= seq;
  }

  /** Writes the keys up to an offset that are not in a segment yet, and drops segments of which no key is kept. Rejects if another node was quicker. */
  async save({ standing }: Publishing, keys: KeyTable, place: Place, upTo: number): Promise<void> {
    const keptSince = this.#log.clock.now() - this.#log.keySecondsMin * 1_000;
    const young = keys.between(keys.through, upTo).filter(({ at }) => at > keptSince);
    const room = Math.floor((this.#js.line.payloadBytesMax - HEADERS_BYTES_MAX) / KEY_BYTES_MAX);
    const countMax = Math.min(SEGMENT_KEYS_MAX, Math.max(1, room));
    for (let from = 0; from < young.length; from += countMax) {
      const some = young.slice(from, from + countMax);
      const { offset: through, at: lastAt } = some.at(-1)!;
      const headers = encodeHeaders({
        "Nats-Expected-Last-Subject-Sequence": String(keys.lastSegmentSeq),
        [KEYS]: `1 ${standing.born} ${through} ${lastAt}`,
      });
      const seq = await this.#js.publish(place.keys, headers, Buffer.from(some.map(lineOf).join("\n")));
      keys.lastSegmentSeq = seq;
      keys.through = through;
      keys.segments.push({ seq, lastAt });
    }
    const firstKept = keys.segments.findIndex(({ lastAt }) => lastAt > keptSince);
    if (firstKept === 0 || keys.segments.length === 0) return;
    const beforeSeq = keys.segments[firstKept]?.seq ?? keys.lastSegmentSeq + 1;
    await this.#js.purge(place.stream, place.keys, beforeSeq);
    keys.segments = keys.segments.filter(({ seq }) => seq >= beforeSeq);
    if (keys.segments.length === 0) keys.lastSegmentSeq = 0;
  }
}

function lineOf({ key, print, offset, at, below, tag, epoch }: KnownKey): string {
  return `${key} ${print === "" ? "-" : print} ${offset} ${at} ${below} ${tag} ${epoch}`;
}

/** Of a log that was removed there may be segments that are not deleted yet. */
function readSegment(table: KeyTable, born: string, { seq, headers, data }: Stored): boolean {
  const [, itsBorn, through, lastAt] = headers(KEYS).split(" ");
  if (itsBorn !== born) return true;
  for (const line of Buffer.from(data).toString().split("\n")) {
    const [key, print, offset, at, below, tag, epoch] = line.split(" ") as [string, string, string, string, string, string, string];
    table.add({ key, print: print === "-" ? "" : print, offset: Number(offset), at: Number(at), below: Number(below), tag, epoch });
  }
  table.through = Number(through);
  table.segments.push({ seq, lastAt: Number(lastAt) });
  return true;
}

function readKeys(table: KeyTable, born: string, upToSeq: number, { seq, headers }: Stored): boolean {
  if (seq > upToSeq) return false;
  const sheet = decodeSheet(seq, headers, null);
  if (sheet.born !== born || sheet.lines.length === 0) return true;
  const { lineage } = standingAfter(sheet);
  for (const { entry, below, key, print } of sheet.lines) {
    if (key !== null && entry.offset > table.through) {
      table.add({ key, print, offset: entry.offset, at: entry.at, below, tag: entry.tag, epoch: lineage.at(-1)!.epoch });
    }
  }
  return seq < upToSeq;
}
