import { describe, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { entries, epochOfLetter, Sink, SinkCodec, tagOf } from "../../test/support/sink.ts";
import type { Clock } from "../protocol/clock.ts";
import { NO_TAG, type Position } from "../protocol/position.ts";
import { fanOut, type LiveReader } from "./fan-out.ts";
import type { LiveSet } from "./live-set.ts";
import { SharedBatch } from "./tail.ts";

const A = epochOfLetter("a");
const BEFORE: Position = { epoch: A, offset: 3, tag: tagOf(3) };
const BATCH = new SharedBatch("c", A, entries(4, 6));
const CODEC = new SinkCodec();

class Live implements LiveReader {
  readonly outlet = new Sink({ codec: CODEC });
  slot = -1;
  offset: number;
  lagged: Position | null = null;
  caughtUp = 0;

  constructor(offset = BEFORE.offset) {
    this.offset = offset;
  }

  catchUpTo(): void {
    this.caughtUp++;
  }

  lag(position: Position): void {
    this.lagged = position;
  }
}

interface Run {
  readonly from?: number;
  readonly bound?: number;
  readonly codec?: SinkCodec;
  readonly clock?: Clock;
  readonly deadline?: number;
}

function run(
  readers: readonly (Live | undefined)[],
  { from = 0, bound = readers.length, codec = CODEC, clock = handClock(), deadline = 1e9 }: Run = {},
): number {
  const live = liveSet(readers);
  const next = fanOut(live, from, bound, codec, BEFORE, BATCH, clock, deadline);
  for (const [slot, reader] of readers.entries()) if (reader !== undefined) reader.offset = live.offsets[slot]!;
  return next;
}

/** Around the very list, so that who leaves it has left the set. */
function liveSet(readers: readonly (Live | undefined)[]): LiveSet<Live> {
  const outlets = readers.map((reader) => reader?.outlet);
  const offsets = readers.map((reader) => reader?.offset ?? 0);
  return { readers, outlets, offsets } as unknown as LiveSet<Live>;
}

const crowd = (count: number): Live[] => Array.from({ length: count }, () => new Live());

test("[D2] every reader that stands where the batch begins gets it once", () => {
  const readers = crowd(40);
  expect(run(readers)).toBe(40);
  for (const { outlet, offset } of readers) expect([outlet.story, offset]).toEqual([["4 m4", "5 m5", "6 m6"], 6]);
});

test("[D2] a reader that has some of the batch is left to catch up by itself, and one that has all of it is left alone", () => {
  const readers = [new Live(4), new Live(), new Live(6)];
  run(readers);
  expect(readers.map(({ caughtUp, outlet }) => [caughtUp, outlet.writes])).toEqual([
    [1, 0],
    [0, 1],
    [0, 0],
  ]);
});

test("[D2] a reader whose outlet is full gets nothing of the batch and is told where it stands", () => {
  const readers = crowd(3);
  readers[1]!.outlet.room = 0;
  run(readers);
  expect(readers.map(({ outlet, lagged }) => [outlet.writes, lagged])).toEqual([
    [1, null],
    [0, BEFORE],
    [1, null],
  ]);
});

test("a reader that has left is passed over", () => {
  const [first, last] = crowd(2);
  expect(run([undefined, first!, undefined, undefined, last!])).toBe(5);
  expect([first!.outlet.writes, last!.outlet.writes]).toEqual([1, 1]);
});

test("[D2] a reader that joined behind the bound is not written to: it has the batch already", () => {
  const readers = crowd(4);
  expect(run(readers, { bound: 3 })).toBe(3);
  expect(readers.map(({ outlet }) => outlet.writes)).toEqual([1, 1, 1, 0]);
});

test("a batch is encoded once, however many readers get it", () => {
  const codec = new SinkCodec();
  run(crowd(40), { codec });
  expect(codec.made).toBe(1);
});

test("[D3] what is encoded for one reader alone is not made before it is known to have room", () => {
  const codec = new SinkCodec(false);
  const readers = crowd(2);
  run(readers, { codec });
  expect([codec.made, readers.map(({ caughtUp }) => caughtUp)]).toEqual([0, [1, 1]]);
});

describe("when the deadline passes", () => {
  /** Each write costs half a millisecond. */
  function slow(readers: readonly Live[]): Clock {
    let ms = 0;
    for (const { outlet } of readers) outlet.onWrite = () => (ms += 0.5);
    return { ...handClock(), elapsed: () => ms };
  }

  test("it stops within 16 writes, and goes on where it stopped", () => {
    const readers = crowd(50);
    const clock = slow(readers);
    const stops: number[] = [];
    for (let index = 0; index < 50; ) {
      index = run(readers, { from: index, clock, deadline: clock.elapsed() + 4 });
      stops.push(index);
    }
    expect(stops).toEqual([16, 32, 48, 50]);
    for (const { outlet } of readers) expect(outlet.writes).toBe(1);
  });

  test("[D2] who leaves between two slices gets nothing more, and nobody is missed or written to twice", () => {
    const readers: (Live | undefined)[] = crowd(40);
    const all = [...readers];
    const clock = slow(all as Live[]);
    let index = run(readers, { clock, deadline: 4 });
    readers[3] = undefined;
    readers[20] = undefined;
    while (index < 40) index = run(readers, { from: index, bound: 40, clock, deadline: clock.elapsed() + 4 });
    expect(all.map((reader) => reader!.outlet.writes)).toEqual(all.map((_, place) => (place === 20 ? 0 : 1)));
  });
});

test("[D2] who leaves because another was written to gets nothing more", () => {
  const readers: (Live | undefined)[] = crowd(3);
  const last = readers[2]!;
  readers[0]!.outlet.onWrite = () => {
    readers[2] = undefined;
  };
  run(readers);
  expect(last.outlet.writes).toBe(0);
});

test("a batch that changes the epoch says so to readers of the one before", () => {
  const next = new SharedBatch("c", epochOfLetter("b"), entries(4, 4));
  const reader = new Live();
  fanOut(liveSet([reader]), 0, 1, CODEC, { ...BEFORE, tag: NO_TAG }, next, handClock(), 1e9);
  expect(reader.outlet.story).toEqual(["epoch", "4 m4"]);
});
