import { beforeEach, describe, expect, test } from "vitest";
import { ScriptedLog } from "../../test/model/scripted-log.ts";
import { handClock, seededRandom } from "../../test/support/clock.ts";
import { parseFrom } from "../protocol/from.ts";
import { NO_TAG, ORIGIN, type Position } from "../protocol/position.ts";
import { locate, placeAt } from "./locate.ts";
import { beforeFirst, topOf } from "./resume.ts";

const BEGIN = Date.UTC(2026, 0, 1);
const clock = handClock(BEGIN);
let log: ScriptedLog;

beforeEach(async () => {
  log = new ScriptedLog(clock, seededRandom(1));
  await log.open({ lineageMax: 32 });
});

/** Messages 1 … count, one each second from BEGIN on. */
function store(count: number): void {
  for (let made = 1; made <= count; made++) {
    clock.setNow(BEGIN + made * 1_000);
    log.appendElsewhere("c", `m${made}`);
  }
}

const from = async (text: string): Promise<number> => (await locate(log, "c", parseFrom(text))).offset;
const since = (seconds: number): Promise<number> => from(`since:${new Date(BEGIN + seconds * 1_000).toISOString()}`);

describe("on a channel without a log", () => {
  test.each(["now", "start", "last:5", "last:0", "since:2020-01-01T00:00:00Z"])("%s is the origin", async (text) => {
    expect(await locate(log, "c", parseFrom(text))).toEqual(ORIGIN);
  });
});

describe("on a log of ten messages", () => {
  beforeEach(() => store(10));

  test.each([
    ["now", 10],
    ["start", 0],
    ["last:0", 10],
    ["last:1", 9],
    ["last:9", 1],
    ["last:10", 0],
    ["last:11", 0],
    ["last:999999999999999", 0],
  ])("%s is after %i", async (text, offset) => {
    expect(await from(text)).toBe(offset);
  });

  test("since a time is before the first message of that time or later", async () => {
    expect(await Promise.all([0, 1, 1.5, 2, 5, 9.999, 10, 10.001, 99].map(since))).toEqual([0, 0, 1, 1, 4, 9, 9, 10, 10]);
  });

  test("since a time is before the first of several messages of that time", async () => {
    for (let made = 0; made < 5; made++) log.appendElsewhere("c", "same time");
    expect(await since(10)).toBe(9);
  });

  test("a position is itself, right or wrong: it is judged when it is read from", async () => {
    const position: Position = { epoch: "000000000000abcdefgh", offset: 99, tag: "whatever" };
    expect(await locate(log, "c", { type: "after", position })).toBe(position);
  });

  test("[D3] the place has the tag of the message there", async () => {
    expect(await locate(log, "c", { type: "last", count: 0 })).toEqual(topOf(log.head));
    const { tag } = await locate(log, "c", { type: "last", count: 4 });
    expect(log.truth.dataAt({ epoch: "", offset: 6, tag })).toBe("m6");
  });
});

describe("on a trimmed log", () => {
  beforeEach(() => {
    store(10);
    log.trim(6);
  });

  test.each([
    ["start", 6],
    ["last:2", 8],
    ["last:4", 6],
    ["last:5", 6],
    ["last:99", 6],
  ])("%s is after %i", async (text, offset) => {
    expect(await from(text)).toBe(offset);
  });

  test("since a time that is trimmed is before the first retained message", async () => {
    expect(await Promise.all([0, 6, 7, 7.5].map(since))).toEqual([6, 6, 6, 7]);
  });

  test("[D3] the boundary has the tag of the last trimmed message", async () => {
    expect((await locate(log, "c", { type: "start" })).tag).toBe(log.head!.boundaryTag);
  });
});

test.each(["now", "start", "last:0", "last:5", "since:2020-01-01T00:00:00Z", "since:2030-01-01T00:00:00Z"])(
  "on a log of which all is trimmed, %s is its end",
  async (text) => {
    store(10);
    log.trim(10);
    expect(await locate(log, "c", parseFrom(text))).toEqual(topOf(log.head));
  },
);

test("places of several epochs bear the epoch of their message", async () => {
  store(4);
  log.addEra("c");
  log.appendElsewhere("c", "m5");
  const [older, newer] = log.head!.lineage.map((era) => era.epoch);
  const epochs = await Promise.all([0, 1, 4].map(async (count) => (await locate(log, "c", { type: "last", count })).epoch));
  expect(epochs).toEqual([newer, older, older]);
});

test("an offset that the log has no more, or not yet, is its nearest end", async () => {
  store(10);
  log.trim(4);
  expect(await placeAt(log, "c", 2)).toEqual(beforeFirst(log.head));
  expect(await placeAt(log, "c", 4)).toEqual(beforeFirst(log.head));
  expect(await placeAt(log, "c", 99)).toEqual(topOf(log.head));
  expect((await placeAt(log, "c", 7)).offset).toBe(7);
});

test.each(["trimmed", "removed", "cut"])(
  "[D3] a log that is %s while a time is looked for gives a place that is in it, or told a true gap from",
  async (fate) => {
    store(10);
    const read = log.read.bind(log);
    let reads = 0;
    log.read = (...asked) => {
      if (++reads === 3) {
        if (fate === "trimmed") log.trim(8);
        else if (fate === "cut") log.loseTail("c", 8);
        else void log.remove("c");
      }
      return read(...asked);
    };
    const { offset, tag } = await locate(log, "c", { type: "since", atMs: BEGIN + 4_500 });
    if (fate === "trimmed") expect(offset).toBeLessThanOrEqual(8);
    if (fate === "removed") expect([offset, tag]).toEqual([0, NO_TAG]);
    if (fate === "cut") expect(offset).toBeLessThanOrEqual(2);
  },
);
