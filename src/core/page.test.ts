import { describe, expect, test } from "vitest";
import { entries, entryAt, epochOfLetter, SinkCodec, tagOf } from "../../test/support/sink.ts";
import type { Position } from "../protocol/position.ts";
import type { Era, Head, Log, Page, PageLimit } from "./log.ts";
import { LogPage, readPage } from "./page.ts";

const [A, B, C] = ["a", "b", "c"].map(epochOfLetter) as [string, string, string];

function headOf(lineage: readonly Era[], top: number): Head {
  return { lineage, first: 1, boundaryTag: "--------", top, topTag: tagOf(top) };
}

function page(lineage: readonly Era[], from: number, to: number): LogPage {
  return new LogPage("c", { head: headOf(lineage, to), entries: entries(from, to) });
}

const shape = (one: LogPage, from: number, to: number, max = Number.MAX_SAFE_INTEGER) =>
  one
    .batches(
      one.entries.filter(({ offset }) => offset >= from && offset <= to),
      max,
    )
    .map((batch) => `${batch.epoch.at(-1)} ${batch.first}-${batch.last.offset}`);

describe("a page is split where an epoch begins", () => {
  const eras = [
    { epoch: A, start: 1 },
    { epoch: B, start: 4 },
    { epoch: C, start: 7 },
  ];
  test.each([
    ["in one epoch", 1, 3, ["a 1-3"]],
    ["over one border", 2, 5, ["a 2-3", "b 4-5"]],
    ["over two", 3, 9, ["a 3-3", "b 4-6", "c 7-9"]],
    ["right on a border", 4, 6, ["b 4-6"]],
    ["of one message", 7, 7, ["c 7-7"]],
  ])("[D2] %s", (_, from, to, expected) => {
    expect(shape(page(eras, from, to), from, to)).toEqual(expected);
  });

  test("[D2] an epoch in which nothing was stored has no batch", () => {
    const empty = [
      { epoch: A, start: 1 },
      { epoch: B, start: 4 },
      { epoch: C, start: 4 },
    ];
    expect(shape(page(empty, 3, 5), 3, 5)).toEqual(["a 3-3", "c 4-5"]);
  });

  test("[D2] what the lineage no longer remembers belongs to its oldest", () => {
    expect(
      shape(
        page(
          [
            { epoch: B, start: 4 },
            { epoch: C, start: 7 },
          ],
          2,
          8,
        ),
        2,
        8,
      ),
    ).toEqual(["b 2-3", "b 4-6", "c 7-8"]);
  });

  test("no message beyond the given offset is in it", () => {
    expect(shape(page(eras, 2, 9), 2, 9, 5)).toEqual(["a 2-3", "b 4-5"]);
    expect(shape(page(eras, 2, 9), 2, 9, 1)).toEqual([]);
    expect(new LogPage("c", { head: null, entries: [] }).batches([], 9)).toEqual([]);
  });
});

test("readers that stand at one place share a page's batches, and so what they are encoded to", () => {
  const codec = new SinkCodec();
  const one = page([{ epoch: A, start: 1 }], 1, 4);
  for (let reader = 0; reader < 3; reader++) for (const batch of one.batches(one.entries.slice(1), 9)) batch.encode(codec, A);
  expect(codec.made).toBe(1);
  expect(one.batches(one.entries.slice(2), 9)[0]!.first).toBe(3);
});

describe("a page that a reader can go on with", () => {
  const sized = (sizes: readonly number[]) => sizes.map((size, index) => entryAt(index + 1, { size }));
  const from = (offset: number): Position => ({ epoch: A, offset, tag: tagOf(offset) });

  /** A log that fills a page as the contract says, and counts how often it is asked. */
  function logOf(sizes: readonly number[]): Pick<Log, "read"> & { reads: number } {
    const all = sized(sizes);
    return {
      reads: 0,
      async read(_channel: string, after: number, { count, bytes }: PageLimit): Promise<Page> {
        this.reads++;
        const given = [];
        let size = 0;
        for (const entry of all.slice(after)) {
          size += entry.size;
          if (given.length === count || (size > bytes && given.length > 0)) break;
          given.push(entry);
        }
        return { head: headOf([{ epoch: A, start: 1 }], all.length), entries: given };
      },
    };
  }

  test.each([
    ["its own message and as many more as the limit says", [1, 1, 1, 1, 1], 2, { count: 2, bytes: 99 }, [2, 3, 4], 1],
    ["no message of its own before the first", [1, 1, 1, 1], 0, { count: 2, bytes: 99 }, [1, 2, 3], 1],
    ["the next message, however large its own is", [1, 500, 1, 1], 2, { count: 9, bytes: 100 }, [2, 3], 2],
    ["the next message, however large that is", [1, 1, 500, 1], 2, { count: 9, bytes: 100 }, [2, 3], 2],
    ["the first message, however large", [500, 1], 0, { count: 9, bytes: 100 }, [1], 1],
    ["its own alone at the end", [1, 1, 500], 3, { count: 9, bytes: 100 }, [3], 1],
  ])("[D10] has %s", async (_, sizes, offset, limit, expected, reads) => {
    const log = logOf(sizes);
    const { entries } = await readPage(log as unknown as Log, "c", from(offset), limit);
    expect(entries.map((entry) => entry.offset)).toEqual(expected);
    expect(log.reads).toBe(reads);
  });
});
