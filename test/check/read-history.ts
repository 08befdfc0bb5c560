import { closeSync, openSync, readSync } from "node:fs";
import type { HistoryEvent } from "./history.ts";

const CHUNK_BYTES = 1 << 20;

/**
 * The events of several files in the order of time, a little of each file in memory. Each file is in the order of time by itself; at the
 * same `t` the file named first comes first. A last line without its end was cut by a kill, and is left out.
 */
export function* readHistory(files: readonly string[]): Generator<HistoryEvent> {
  const sources = files.map(readEvents);
  const heads: (HistoryEvent | null)[] = sources.map(nextOf);
  for (;;) {
    let least = -1;
    for (const [index, head] of heads.entries()) if (head !== null && (least < 0 || head.t < heads[least]!.t)) least = index;
    if (least < 0) return;
    yield heads[least]!;
    heads[least] = nextOf(sources[least]!);
  }
}

function nextOf(source: Iterator<HistoryEvent>): HistoryEvent | null {
  const { done, value } = source.next();
  return done === true ? null : value;
}

function* readEvents(file: string): Generator<HistoryEvent> {
  const descriptor = openSync(file, "r");
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest: Buffer = Buffer.alloc(0);
    let line = 0;
    for (let length = readSync(descriptor, chunk); length > 0; length = readSync(descriptor, chunk)) {
      const bytes = Buffer.concat([rest, chunk.subarray(0, length)]);
      const end = bytes.lastIndexOf(10);
      rest = bytes.subarray(end + 1);
      if (end < 0) continue;
      for (const text of bytes.toString("utf8", 0, end).split("\n")) yield parseEvent(text, `${file}:${++line}`);
    }
  } finally {
    closeSync(descriptor);
  }
}

function parseEvent(text: string, place: string): HistoryEvent {
  try {
    return JSON.parse(text) as HistoryEvent;
  } catch {
    throw new Error(`This history is broken: ${place} is not JSON.`);
  }
}
