import { expect, test } from "vitest";
import { formatPosition, NO_TAG } from "../protocol/position.ts";
import type { Message } from "./message.ts";
import { createReader } from "./reader.ts";

const EPOCH = "000000000001Epoch001";

function at(offset: number, tag = `tag${offset}`): string {
  return formatPosition({ epoch: EPOCH, offset, tag: tag.padEnd(8, "0") });
}

function message(offset: number, tag?: string): Message {
  return { channel: "a", event: "message", data: offset, position: at(offset, tag), at: 0, offset };
}

/** One that reads pages and has come to 3, with room for four of the line's messages meanwhile. */
function reading() {
  const taken: number[] = [];
  const reader = createReader("start", { take: ({ offset }) => taken.push(offset), room: () => 100, end() {} }, 4);
  reader.mode = "reading";
  reader.position = at(3);
  return { reader, taken };
}

test("[D2] [D10] what two pipes bring while pages are read is kept once, so that it meets the line where nothing is missing", () => {
  const { reader, taken } = reading();
  for (const offset of [4, 5, 6, 7, 8, 4, 5, 6]) reader.offer(message(offset), at(offset - 1));
  reader.meet(at(8));
  expect([reader.mode, taken]).toEqual(["reading", []]);
  for (const offset of [4, 5]) reader.take(message(offset));
  reader.meet(at(8));
  expect([reader.mode, taken]).toEqual(["joined", [4, 5, 6, 7, 8]]);
});

test("[D3] one on the line doubts another message in a place that it has: under another tag where it stands, under a later epoch anywhere", () => {
  const { reader, taken } = reading();
  reader.mode = "joined";
  const later = (offset: number) => ({ ...message(offset), position: `000000000002Epoch002${at(offset).slice(20)}` });
  expect([3, 2, 1].map((offset) => reader.offer(message(offset), at(offset - 1)))).toEqual([false, false, false]);
  expect([message(3, "another0"), later(3), later(2)].map((one) => reader.offer(one, at(one.offset - 1)))).toEqual([null, null, null]);
  expect([reader.position, taken]).toEqual([at(3), []]);
});

test("[D2] what a pipe brings behind a hole does not stand for what is in it", () => {
  const { reader, taken } = reading();
  reader.offer(message(4), at(3));
  reader.offer(message(6), at(4));
  reader.offer(message(7), at(6));
  reader.take(message(4));
  reader.meet(at(7));
  expect([reader.mode, taken]).toEqual(["reading", [4]]);
  for (const offset of [5, 6]) reader.take(message(offset));
  reader.meet(at(7));
  expect([reader.mode, taken]).toEqual(["joined", [4, 5, 6, 7]]);
});

test("[D3] one on the line, and ahead of its pipe, doubts what that brings behind a hole: nobody knows what it follows", () => {
  const { reader, taken } = reading();
  reader.mode = "joined";
  expect([reader.offer(message(4), at(1)), reader.offer(message(4), at(3))]).toEqual([null, true]);
  expect(taken).toEqual([4]);
});

test("[D2] [D10] what is kept does not follow another message than the one this reader has in its place", () => {
  const { reader, taken } = reading();
  for (const offset of [4, 5, 6]) reader.offer(message(offset), at(offset - 1));
  // The line is of a log that has lost its tail since, or has not yet: which of the two, the pages and the line's next gap will tell
  reader.take(message(4, "another0"));
  reader.meet(at(6));
  expect([reader.mode, taken]).toEqual(["reading", [4]]);
});

test("[D2] [D10] a line that stands at the same offset with another message is not met, whichever of the two sorts first", () => {
  for (const tag of ["aaaaaaaa", "zzzzzzzz"]) {
    const { reader } = reading();
    reader.meet(at(3, tag));
    expect(reader.mode).toBe("reading");
  }
});

test("[D2] a line of whose last message no tag is known is met at its offset", () => {
  const { reader } = reading();
  reader.meet(at(3, NO_TAG));
  expect(reader.mode).toBe("joined");
});

test("[D2] it meets a line that stands where it stands, or behind, without what was kept from further on", () => {
  const { reader, taken } = reading();
  for (const offset of [8, 9]) reader.offer(message(offset), at(offset - 1));
  reader.meet(at(3));
  expect([reader.mode, taken]).toEqual(["joined", []]);
});

test("[D2] what a line brings that began again further on is not joined to what came before", () => {
  const { reader, taken } = reading();
  for (const offset of [4, 5, 8, 9]) reader.offer(message(offset), at(offset - 1));
  reader.meet(at(9));
  expect([reader.mode, taken]).toEqual(["reading", []]);
});

test("[D10] what is kept of a line that ended before the present one does not stand for it", () => {
  const { reader, taken } = reading();
  for (const offset of [4, 5, 6]) reader.offer(message(offset), at(offset - 1));
  reader.meet(at(8));
  expect([reader.mode, taken]).toEqual(["reading", []]);
});

test("[D1] [D2] [D3] where the log was rewritten in between, what a page brought and what the line brings are not joined", () => {
  for (const tag of ["aaaaaaaa", "zzzzzzzz"]) {
    const other = formatPosition({ epoch: EPOCH, offset: 4, tag });
    // The line has the other message, or goes on from there, or stands there
    for (const [offsets, line] of [[[4, 5], at(5)] as const, [[5, 6], at(6)] as const, [[], at(4)] as const]) {
      const { reader, taken } = reading();
      for (const offset of offsets) reader.offer(message(offset), at(offset - 1));
      reader.take({ ...message(4), position: other });
      reader.meet(line);
      expect([reader.mode, reader.position, taken]).toEqual(["reading", other, [4]]);
    }
  }
});

test("[D2] what two pipes bring of two histories is not kept as one", () => {
  const { reader, taken } = reading();
  reader.offer(message(4), at(3));
  reader.offer(message(5), formatPosition({ epoch: EPOCH, offset: 4, tag: "another1" }));
  reader.meet(at(5));
  expect([reader.mode, taken]).toEqual(["reading", []]);
});
