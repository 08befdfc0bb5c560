import { beforeEach, describe, expect, test } from "vitest";
import { ScriptedLog } from "../../test/model/scripted-log.ts";
import { handClock, seededRandom } from "../../test/support/clock.ts";
import { parseFrom } from "../protocol/from.ts";
import { ORIGIN, type Position } from "../protocol/position.ts";
import { type History, type HistoryQuery, readHistory } from "./history.ts";
import { locate, placeAt } from "./locate.ts";
import { topOf } from "./resume.ts";

const ROOMY = 1_000_000;
let log: ScriptedLog;

beforeEach(async () => {
  log = new ScriptedLog(handClock(), seededRandom(1));
  await log.open({ lineageMax: 32 });
});

function store(count: number, bytes = 10): void {
  for (let made = 0; made < count; made++) log.appendElsewhere("c", "x".repeat(bytes));
}

const offsets = ({ entries }: History): number[] => entries.map(({ offset }) => offset);

function read(from: string | Position, count: number, bytes = ROOMY): Promise<History> {
  const start = typeof from === "string" ? parseFrom(from) : { type: "after" as const, position: from };
  return readHistory(log, "c", { from: start, limit: { count, bytes } });
}

async function readBefore(position: Position | number, count: number, bytes = ROOMY): Promise<History> {
  const place = typeof position === "number" ? { ...(await placeAt(log, "c", Math.min(position, 10))), offset: position } : position;
  const query: HistoryQuery = { from: { type: "start" }, before: place, limit: { count, bytes } };
  return readHistory(log, "c", query);
}

describe("a page forwards", () => {
  test("of a channel without a log is empty, at the origin, and up to date", async () => {
    expect(await read("start", 5)).toEqual({ entries: [], head: null, gap: null, position: ORIGIN, upToDate: true });
  });

  test.each([
    ["start", 3, [1, 2, 3], 3, false],
    ["start", 10, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10, true],
    ["start", 99, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 10, true],
    ["last:2", 99, [9, 10], 10, true],
    ["now", 5, [], 10, true],
    ["start", 0, [], 0, false],
  ])("from %s with %i messages at most ends where to go on", async (from, count, expected, position, upToDate) => {
    store(10);
    const page = await read(from, count);
    expect([offsets(page), page.position.offset, page.upToDate, page.gap]).toEqual([expected, position, upToDate, null]);
  });

  test("[D2] page after page is the whole log, each message once, over epochs and whatever the limits", async () => {
    store(4);
    log.addEra("c");
    store(3, 400);
    for (const bytes of [1, 25, 100, 450, ROOMY]) {
      let here = await locate(log, "c", { type: "start" });
      const all: number[] = [];
      for (let pages = 0; pages < 10; pages++) {
        const page = await read(here, 2, bytes);
        all.push(...offsets(page));
        here = page.position;
        if (page.upToDate) break;
      }
      expect(all).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(here).toEqual(topOf(log.head));
    }
  });

  test("[D7] has as many bytes as pageBytesMax allows, and at least one message", async () => {
    store(6, 100);
    expect(offsets(await read("start", 9, 250))).toEqual([1, 2]);
    expect(offsets(await read("start", 9, 1))).toEqual([1]);
    expect(offsets(await read("last:2", 9, 1))).toEqual([5]);
  });

  test("[D3] from a position that is trimmed tells a gap, and goes on behind it", async () => {
    store(3);
    const old = topOf(log.head);
    store(5);
    log.trim(6);
    const page = await read(old, 1);
    expect([page.gap?.reason, page.gap?.missing, offsets(page), page.position.offset, page.upToDate]).toEqual([
      "trimmed",
      3,
      [7],
      7,
      false,
    ]);
  });

  test("[D3] from a position of another log tells a gap, and the next page goes on", async () => {
    store(8);
    const old = topOf(log.head);
    await log.remove("c");
    store(3);
    const page = await read(old, 5);
    expect([page.gap?.reason, page.position.offset, page.upToDate]).toEqual(["epoch", 0, false]);
    expect(offsets(await read(page.position, 5))).toEqual([1, 2, 3]);
  });
});

describe("a page backwards", () => {
  beforeEach(() => store(10));

  test.each([
    [8, 3, [5, 6, 7]],
    [8, 99, [1, 2, 3, 4, 5, 6, 7]],
    [10, 1, [9]],
    [2, 5, [1]],
    [1, 5, []],
    [0, 5, []],
    [8, 0, []],
    [11, 2, [9, 10]],
    [99, 2, [9, 10]],
  ])("before %i with %i messages at most ends just before it", async (offset, count, expected) => {
    expect(offsets(await readBefore(offset, count))).toEqual(expected);
  });

  test("ends where it should when not all of it fits in its bytes", async () => {
    for (const bytes of [1, 10, 15, 25, 35, 65]) {
      const page = await readBefore(9, 7, bytes);
      expect(offsets(page).at(-1)).toBe(8);
      expect(offsets(page).length).toBeGreaterThanOrEqual(Math.max(1, Math.floor(bytes / 10 / 3)));
    }
  });

  test("page before page is the whole log, each message once", async () => {
    let here = 11;
    const all: number[] = [];
    while (here > 1) {
      const page = offsets(await readBefore(here, 4, 25));
      all.unshift(...page);
      here = page[0]!;
    }
    expect(all).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("stops at what is trimmed, and tells no gap: it has no position to lose", async () => {
    log.trim(5);
    const page = await readBefore(8, 99);
    expect([offsets(page), page.gap]).toEqual([[6, 7], null]);
    expect(offsets(await readBefore(4, 99))).toEqual([]);
  });

  test("of a channel without a log is empty", async () => {
    await log.remove("c");
    expect(offsets(await readBefore(5, 3))).toEqual([]);
  });
});
