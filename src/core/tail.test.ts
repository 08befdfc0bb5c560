import fc from "fast-check";
import { expect, test } from "vitest";
import { entries, entryAt, epochOfLetter, SinkCodec, tagOf } from "../../test/support/sink.ts";
import { NO_TAG, ORIGIN, type Position } from "../protocol/position.ts";
import { SharedBatch, Tail } from "./tail.ts";

const [A, B] = [epochOfLetter("a"), epochOfLetter("b")];
const at = (offset: number, epoch = A, tag = tagOf(offset)): Position => ({ epoch, offset, tag });
const batch = (from: number, to: number, epoch = A) => new SharedBatch("c", epoch, entries(from, to));

/** A tail of 4-6, 7 and 8-9, after 3. */
function tailOf(bytesMax = 1e6): Tail {
  const tail = new Tail(at(3), bytesMax);
  tail.push(batch(4, 6));
  tail.push(batch(7, 7));
  tail.push(batch(8, 9));
  return tail;
}

const after = (tail: Tail, position: Position): string | undefined =>
  tail
    .after(position)
    ?.map((one) => one.entries.map(({ offset }) => offset).join(" "))
    .join(" | ");

test.each([
  [at(3), "4 5 6 | 7 | 8 9"],
  [at(4), "5 6 | 7 | 8 9"],
  [at(6), "7 | 8 9"],
  [at(7), "8 9"],
  [at(8), "9"],
  [at(9), ""],
])("[D2] a tail gives what stands after %o, and nothing else", (position, expected) => {
  expect(after(tailOf(), position)).toBe(expected);
});

test.each([
  ["before its beginning", at(2)],
  ["beyond its end", at(10)],
  ["of another epoch, at its beginning", at(3, B)],
  ["of another epoch, at its end", at(9, B)],
  ["of another epoch, in the middle", at(5, B)],
  ["with another tag, at its beginning", at(3, A, "elsewise")],
  ["with another tag, at its end", at(9, A, "elsewise")],
  ["with another tag, in the middle", at(5, A, "elsewise")],
])("[D3] a position %s is not in the tail", (_, position) => {
  expect(tailOf().after(position)).toBeNull();
});

test("a tag that is not known is any tag", () => {
  expect(after(tailOf(), at(5, A, NO_TAG))).toBe("6 | 7 | 8 9");
  expect(after(new Tail(at(3, A, NO_TAG), 100), at(3))).toBe("");
});

test("a new tail has a place, and nothing after it", () => {
  const tail = new Tail(ORIGIN, 100);
  expect(tail.head).toEqual(ORIGIN);
  expect(tail.after(ORIGIN)).toEqual([]);
  expect(tail.after({ ...ORIGIN, offset: 1 })).toBeNull();
});

test("[D7] a tail never holds more than tailBytesMax, not even one message", () => {
  const cost = batch(1, 1).bytes;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 20 }), fc.integer({ min: 1, max: 10 }), (sizes, room) => {
      const tail = new Tail(at(0, A, NO_TAG), room * cost);
      let top = 0;
      for (const size of sizes) {
        tail.push(batch(top + 1, top + size));
        top += size;
        expect(tail.head.offset).toBe(top);
        expect(after(tail, at(top))).toBe("");
        // What it gives is an unbroken end of all that it was given, and no more than it has room for
        const reach = Array.from({ length: top }, (_, offset) => offset).filter((offset) => tail.after(at(offset)) !== null);
        expect(reach).toEqual(reach.map((_, index) => top - reach.length + index));
        expect(reach.length).toBeLessThanOrEqual(room);
      }
    }),
  );
});

test("a batch is encoded once for all that share a codec, and for each that does not", () => {
  const one = batch(1, 2);
  const shared = new SinkCodec();
  const own = new SinkCodec(false);
  for (let reader = 0; reader < 3; reader++) {
    one.encode(shared, A);
    one.encode(own, A);
  }
  expect([shared.made, own.made]).toEqual([1, 3]);
});

test("[D2] readers that were told another epoch are told the new one, and no one else is", () => {
  const one = batch(1, 1, B);
  const codec = new SinkCodec();
  expect([one.encode(codec, A), one.encode(codec, B), one.encode(codec, A)]).toEqual([["epoch", "1 m1"], ["1 m1"], ["epoch", "1 m1"]]);
});

test("a part of a batch begins right after an offset; the whole of it is itself", () => {
  const one = batch(4, 6);
  expect(one.after(3)).toBe(one);
  expect(one.after(1)).toBe(one);
  expect(one.after(5).entries).toEqual([entryAt(6)]);
  expect(one.at(5)).toEqual(at(5));
  expect([one.first, one.last]).toEqual([4, at(6)]);
});

test("[D7] a batch comes in parts of so many bytes, of one message at least, which together are all of it", () => {
  const whole = batch(1, 10);
  const one = batch(1, 1).bytes;
  const partsOf = (bytesMax: number) => whole.parts(bytesMax).map(({ entries: own }) => own.map(({ offset }) => offset).join(" "));
  expect(whole.parts(whole.bytes)).toEqual([whole]);
  expect(partsOf(4 * one + 4)).toEqual(["1 2 3 4", "5 6 7 8", "9 10"]);
  expect(partsOf(1)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
});
