import { beforeEach, expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import type { Page, PageLimit } from "./log.ts";
import { SharedReads, SPELL_MS, SPELL_READS_MAX } from "./shared-reads.ts";

const HEAD: PageLimit = { count: 0, bytes: 0 };
const clock = handClock();
/** Reads that were begun and are not answered. */
let begun: { readonly what: string; answer(top: number): Promise<void>; fail(): Promise<void> }[];
let reads: SharedReads;

beforeEach(() => {
  begun = [];
  reads = new SharedReads(
    {
      read: (channel, after) =>
        new Promise((resolve, reject) => {
          begun.push({
            what: `${channel} ${after}`,
            answer: (top) => settled(() => resolve(pageOf(top))),
            fail: () => settled(() => reject(new Error("the disk"))),
          });
        }),
    },
    clock,
  );
});

const pageOf = (top: number): Page => ({ head: { lineage: [], first: 1, boundaryTag: "", top, topTag: "" }, entries: [] });
const topOf = async (asked: Promise<Page>): Promise<number | string> => asked.then(({ head }) => head!.top, String);
const turn = () => clock.advanceAsync(SPELL_MS);

async function settled(act: () => void): Promise<void> {
  act();
  await turn();
}

test("[D7] two thousand who ask in one turn cost one read, which begins after all of them have asked", async () => {
  const asked = Array.from({ length: 2_000 }, () => topOf(reads.read("a", 7, HEAD)));
  expect(begun).toHaveLength(0);
  await turn();
  expect(begun.map(({ what }) => what)).toEqual(["a 7"]);
  await begun[0]!.answer(9);
  expect(new Set(await Promise.all(asked))).toEqual(new Set([9]));
});

test("[D3] who asks while a read is under way is not given its answer, which may be from before he asked", async () => {
  const early = topOf(reads.read("a", 7, HEAD));
  await turn();
  const late = [topOf(reads.read("a", 7, HEAD)), topOf(reads.read("a", 7, HEAD))];
  await turn();
  expect(begun).toHaveLength(2);
  await begun[0]!.answer(9);
  await begun[1]!.answer(10);
  expect([await early, await Promise.all(late), begun.length]).toEqual([9, [10, 10], 2]);
});

test("[D7] those that come one after the other cost three reads in 5 ms, and none waits longer than that", async () => {
  const asked: Promise<unknown>[] = [];
  const startMs = clock.elapsed();
  const late: number[] = [];
  for (let come = 0; come < 400; come++) {
    const atMs = clock.elapsed();
    asked.push(reads.read("a", 7, HEAD).then(() => late.push(clock.elapsed() - atMs)));
    await clock.advanceAsync(0.25);
    for (const { answer } of begun) void answer(1);
  }
  await turn();
  for (const { answer } of begun) void answer(1);
  await Promise.all(asked);
  expect(begun.length).toBeLessThanOrEqual(SPELL_READS_MAX * (1 + (clock.elapsed() - startMs) / SPELL_MS));
  expect(Math.max(...late)).toBeLessThanOrEqual(SPELL_MS + 1);
  expect(clock.timers).toBe(0);
});

test("other channels, places and limits are other reads, and wait for none", async () => {
  const asked = [reads.read("a", 1, HEAD), reads.read("a", 2, HEAD), reads.read("b", 1, HEAD), reads.read("a", 1, { count: 1, bytes: 0 })];
  await turn();
  expect(begun.map(({ what }) => what)).toEqual(["a 1", "a 2", "b 1", "a 1"]);
  for (const [index, { answer }] of begun.entries()) await answer(index);
  expect(await Promise.all(asked.map(topOf))).toEqual([0, 1, 2, 3]);
});

test("a read that fails fails for those who asked for it, and the next is made all the same", async () => {
  const early = [topOf(reads.read("a", 1, HEAD)), topOf(reads.read("a", 1, HEAD))];
  await turn();
  const late = topOf(reads.read("a", 1, HEAD));
  await turn();
  await begun[0]!.fail();
  expect(await Promise.all(early)).toEqual(["Error: the disk", "Error: the disk"]);
  await begun[1]!.answer(3);
  expect(await late).toBe(3);
});
