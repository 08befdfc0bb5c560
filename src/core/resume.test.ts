import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { entries, epochOfLetter, tagOf } from "../../test/support/sink.ts";
import type { GapReason } from "../protocol/frame.ts";
import { NO_EPOCH, NO_TAG, ORIGIN, type Position } from "../protocol/position.ts";
import type { Era, Head, Page } from "./log.ts";
import { beforeFirst, epochOf, positionAt, readAfter, resume, topOf } from "./resume.ts";

const [A, B, C] = ["a", "b", "c"].map(epochOfLetter) as [string, string, string];
const at = (epoch: string, offset: number, tag = offset === 0 ? NO_TAG : tagOf(offset)): Position => ({ epoch, offset, tag });

interface Story {
  readonly lineage?: readonly Era[];
  readonly first?: number;
  readonly top?: number;
  readonly boundaryTag?: string;
  readonly count?: number;
}

/** What a log of entries `first … top` gives to a reader at a position. */
function pageFor(position: Position, { lineage = [{ epoch: A, start: 1 }], first = 1, top = 10, boundaryTag, count = 100 }: Story): Page {
  const tag = (offset: number): string => (offset === 0 ? NO_TAG : tagOf(offset));
  const head: Head = { lineage, first, boundaryTag: boundaryTag ?? tag(first - 1), top, topTag: tag(top) };
  return { head, entries: entries(Math.max(first, readAfter(position) + 1), top).slice(0, count) };
}

const ERAS: readonly Era[] = [
  { epoch: A, start: 1 },
  { epoch: B, start: 6 },
  { epoch: C, start: 9 },
];
const UNVOUCHED: readonly Era[] = [
  { epoch: A, start: 1 },
  { epoch: B, start: 6, isUnvouched: true },
  { epoch: C, start: 9 },
];
const EMPTY_ERA: readonly Era[] = [
  { epoch: A, start: 1 },
  { epoch: B, start: 6 },
  { epoch: C, start: 6 },
];

describe("a reader goes on without a gap", () => {
  test.each<[string, Position, Story, next: number]>([
    ["from the middle", at(A, 4), {}, 5],
    ["from the end", at(A, 10), {}, 11],
    ["from before the first message", at(A, 0), {}, 1],
    ["from the origin, which is before the first message of any log", ORIGIN, {}, 1],
    ["from the origin of a log that has no message yet", ORIGIN, { top: 0 }, 1],
    ["from just before the first retained message, by the tag that is kept of the last trimmed one", at(A, 4), { first: 5 }, 5],
    ["from there, if that tag is not known", at(A, 4), { first: 5, boundaryTag: NO_TAG }, 5],
    ["from the end of a log of which all is trimmed", at(A, 10), { first: 11 }, 11],
    ["without a tag of its own", at(A, 4, NO_TAG), {}, 5],
    ["without a tag of its own, at the boundary", at(A, 4, NO_TAG), { first: 5 }, 5],
    ["from the last message of an older epoch", at(A, 5), { lineage: ERAS }, 6],
    ["from the middle of an older epoch", at(A, 3), { lineage: ERAS }, 4],
    ["from the last message of the middle epoch", at(B, 8), { lineage: ERAS }, 9],
    ["from the end, under the newest epoch", at(C, 10), { lineage: ERAS }, 11],
    ["from the end of an epoch whose successors have no message yet", at(A, 5), { lineage: EMPTY_ERA, top: 5 }, 6],
    ["from the last message of an epoch for whose end nobody vouches", at(A, 5), { lineage: UNVOUCHED }, 6],
    ["from the boundary, where the whole older epoch is trimmed", at(A, 5), { lineage: ERAS, first: 6 }, 6],
    ["from offset 0, whatever its tag says", at(A, 0, "anything"), {}, 1],
  ])("[D2] %s", (_, position, story, next) => {
    const { gap, entries } = resume(position, pageFor(position, story));
    expect(gap).toBeNull();
    expect(entries[0]?.offset ?? (story.top ?? 10) + 1).toBe(next);
  });
});

describe("a reader is told a gap", () => {
  test.each<[string, Position, Story, GapReason, resumeFrom: Position, missing: number | null]>([
    ["epoch: its epoch is unknown", at(B, 4), {}, "epoch", at(A, 0), null],
    ["epoch: its epoch is unknown, and the log is trimmed", at(B, 4), { first: 5 }, "epoch", at(A, 4), null],
    ["epoch: its epoch is unknown, and offset 0 makes no difference", at(B, 0), {}, "epoch", at(A, 0), null],
    ["epoch: the origin has no offset but 0", { ...ORIGIN, offset: 4 }, {}, "epoch", at(A, 0), null],
    ["epoch: its epoch is no longer remembered", at(A, 8), { lineage: ERAS.slice(1) }, "epoch", at(B, 0), null],
    ["truncated: the log ends before it", at(A, 12), {}, "truncated", at(A, 10), null],
    ["truncated: the log ends just before it", at(A, 11), {}, "truncated", at(A, 10), null],
    ["truncated: its epoch ended before it", at(A, 7), { lineage: ERAS }, "truncated", at(A, 5, NO_TAG), 0],
    ["truncated: its epoch ended just before it", at(A, 6), { lineage: ERAS }, "truncated", at(A, 5, NO_TAG), 0],
    ["truncated: its epoch ended before it, beyond the present end too", at(B, 30), { lineage: ERAS }, "truncated", at(B, 8, NO_TAG), 0],
    ["truncated: all of its epoch was lost", at(B, 7), { lineage: EMPTY_ERA }, "truncated", at(A, 5, NO_TAG), 0],
    ["truncated: what its epoch still had is trimmed", at(A, 7), { lineage: ERAS, first: 8 }, "truncated", at(B, 7), 2],
    ["truncated: what its epoch still had is trimmed to the last", at(A, 7), { lineage: ERAS, first: 6 }, "truncated", at(A, 5), 0],
    [
      "truncated: its epoch ended before it, for which nobody vouches",
      at(A, 7),
      { lineage: UNVOUCHED },
      "truncated",
      at(A, 5, NO_TAG),
      null,
    ],
    ["truncated: so it did, and what it had is trimmed", at(A, 7), { lineage: UNVOUCHED, first: 8 }, "truncated", at(B, 7), null],
    [
      "truncated: the epoch after it was begun without a word, and this one's end is vouched for",
      at(B, 9),
      { lineage: UNVOUCHED },
      "truncated",
      at(B, 8, NO_TAG),
      0,
    ],
    ["truncated: everything is trimmed, and the log ends before it", at(A, 12), { first: 11 }, "truncated", at(A, 10), null],
    ["truncated: the log has another message at its offset", at(A, 4, "elsewise"), {}, "truncated", at(A, 4), null],
    ["truncated: the log has another message at its offset, the last one", at(A, 10, "elsewise"), {}, "truncated", at(A, 10), null],
    [
      "truncated: another message was trimmed at its offset, the last trimmed one",
      at(A, 4, "elsewise"),
      { first: 5 },
      "truncated",
      at(A, 4),
      null,
    ],
    [
      "truncated: another message stands there, of a later epoch's log",
      at(A, 5, "elsewise"),
      { lineage: ERAS },
      "truncated",
      at(A, 5),
      null,
    ],
    ["trimmed: retention passed it", at(A, 3), { first: 6 }, "trimmed", at(A, 5), 2],
    ["trimmed: retention passed it by one", at(A, 4), { first: 6 }, "trimmed", at(A, 5), 1],
    ["trimmed: everything is", at(A, 3), { first: 11 }, "trimmed", at(A, 10), 7],
    ["trimmed: it had not begun", at(A, 0), { first: 6 }, "trimmed", at(A, 5), 5],
    ["trimmed: it stood at the origin", ORIGIN, { first: 6 }, "trimmed", at(A, 5), 5],
    ["trimmed: it stood at the origin of a log of several epochs", ORIGIN, { lineage: ERAS, first: 8 }, "trimmed", at(B, 7), 7],
    ["trimmed: it stands in an older epoch", at(A, 3), { lineage: ERAS, first: 8 }, "trimmed", at(B, 7), 4],
    [
      "trimmed, and its tag is of no interest, since nothing is left to compare it with",
      at(A, 3, "elsewise"),
      { first: 6 },
      "trimmed",
      at(A, 5),
      2,
    ],
  ])("[D3] %s", (_, position, story, reason, resumeFrom, missing) => {
    const page = pageFor(position, story);
    const { gap, entries } = resume(position, page);
    expect(gap).toEqual({ reason, since: position, resumeFrom, missing });
    if (entries.length > 0) expect(entries[0]!.offset).toBe(resumeFrom.offset + 1);
  });

  test("[D3] epoch: there is no log, and it stood in one", () => {
    const gone = { head: null, entries: [] };
    expect(resume(at(A, 4), gone).gap).toEqual({ reason: "epoch", since: at(A, 4), resumeFrom: ORIGIN, missing: null });
    expect(resume(at(A, 0), gone).gap?.reason).toBe("epoch");
    expect(resume({ ...ORIGIN, offset: 3 }, gone).gap?.reason).toBe("epoch");
    expect(resume(ORIGIN, gone)).toEqual({ gap: null, entries: [] });
  });
});

test("[D3] what was resumed from is never told again: a gap is a position", () => {
  fc.assert(
    fc.property(story(), position(), (log, from) => {
      const { gap } = resume(from, pageFor(from, log));
      if (gap === null) return;
      expect(resume(gap.resumeFrom, pageFor(gap.resumeFrom, log)).gap).toBeNull();
    }),
    { numRuns: 2_000 },
  );
});

test("[D2] [D3] any position in any log is answered as one would who sees all of both", () => {
  fc.assert(
    fc.property(story(), position(), (log, from) => {
      const { gap, entries } = resume(from, pageFor(from, log));
      expect(gap === null ? null : [gap.reason, gap.resumeFrom.offset, gap.missing]).toEqual(seenWhole(from, log));
      expect(gap === null || gap.resumeFrom.epoch === epochOf(pageFor(from, log).head!, gap.resumeFrom.offset)).toBe(true);
      for (const [index, entry] of entries.entries()) expect(entry.offset).toBe((gap?.resumeFrom ?? from).offset + 1 + index);
    }),
    { numRuns: 5_000 },
  );
});

test("[D2] [D10] whoever reads on page by page, however short the pages, gets everything to the end", () => {
  fc.assert(
    fc.property(story(), position(), fc.integer({ min: 2, max: 4 }), (log, from, count) => {
      let here = from;
      const { head } = pageFor(from, log);
      for (let pages = 0; here.offset !== head!.top || pages === 0; pages++) {
        expect(pages).toBeLessThan(30);
        const page = pageFor(here, { ...log, count });
        const step = resume(here, page);
        here = step.gap?.resumeFrom ?? here;
        for (const entry of step.entries) {
          expect(entry.offset).toBe(here.offset + 1);
          here = { epoch: epochOf(page.head!, entry.offset), offset: entry.offset, tag: entry.tag };
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

test("the ends of a log are positions in it", () => {
  const { head } = pageFor(ORIGIN, { lineage: ERAS, first: 4 });
  expect([topOf(head), beforeFirst(head)]).toEqual([at(C, 10), at(A, 3)]);
  expect([topOf(null), beforeFirst(null)]).toEqual([ORIGIN, ORIGIN]);
  expect(topOf({ ...head!, lineage: EMPTY_ERA, top: 5, topTag: tagOf(5) })).toEqual(at(A, 5));
  expect(positionAt(head!, entries(4, 6), 6)).toEqual(at(B, 6));
  expect(positionAt(head!, entries(4, 6), 8)).toEqual(at(B, 8, NO_TAG));
});

/** The same question put to one who has the whole log before him, and every position that anyone could rightly hold in it. */
function seenWhole(from: Position, { lineage = [], first = 1, top = 10 }: Story): [GapReason, number, number | null] | null {
  const origin = from.epoch === NO_EPOCH && from.offset === 0;
  const epoch = origin ? lineage[0]!.epoch : from.epoch;
  if (!lineage.some((era) => era.epoch === epoch)) return ["epoch", first - 1, null];
  const rightful: number[] = [];
  for (let offset = 0; offset <= top; offset++) {
    const later = lineage.slice(lineage.findIndex((era) => era.epoch === epoch) + 1);
    if (later.every((era) => offset < era.start)) rightful.push(offset);
  }
  if (!rightful.includes(from.offset)) {
    const kept = Math.max(rightful.at(-1)!, first - 1);
    const next = lineage[lineage.findIndex((era) => era.epoch === epoch) + 1];
    return ["truncated", kept, next === undefined || next.isUnvouched ? null : kept - rightful.at(-1)!];
  }
  if (from.offset + 1 < first) return ["trimmed", first - 1, first - 1 - from.offset];
  const isOther = from.offset > 0 && from.tag !== NO_TAG && from.tag !== tagOf(from.offset);
  return isOther ? ["truncated", from.offset, null] : null;
}

function story(): fc.Arbitrary<Story> {
  return fc
    .record({
      top: fc.integer({ min: 0, max: 12 }),
      trimmed: fc.nat(12),
      starts: fc.array(fc.integer({ min: 1, max: 13 }), { maxLength: 2 }),
      unvouched: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    })
    .map(({ top, trimmed, starts, unvouched }) => {
      const later = starts.map((start) => Math.min(start, top + 1)).sort((a, b) => a - b);
      const lineage = [1, ...later].map((start, index): Era => {
        return { epoch: [A, B, C][index]!, start, ...(unvouched[index] ? { isUnvouched: true } : {}) };
      });
      return { lineage, top, first: Math.min(trimmed, top) + 1 };
    });
}

function position(): fc.Arbitrary<Position> {
  return fc
    .record({ epoch: fc.constantFrom(A, B, C, NO_EPOCH), offset: fc.nat(14), tag: fc.constantFrom("right", "right", "elsewise", NO_TAG) })
    .map(({ epoch, offset, tag }) => ({ epoch, offset, tag: tag !== "right" ? tag : offset === 0 ? NO_TAG : tagOf(offset) }));
}
