import { expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { Sink } from "../../test/support/sink.ts";
import { Stage } from "../../test/support/stage.ts";
import { Turns } from "./turns.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("who takes turns goes on in a later turn of the event loop, eight at a time, first come, first served", async () => {
  const asked: (() => void)[] = [];
  const turns = new Turns({ ...handClock(), soon: (act) => void asked.push(act) }, () => false);
  const story: number[] = [];
  for (let one = 1; one <= 20; one++) void turns.next().then(() => story.push(one));
  const told: number[] = [];
  while (asked.length > 0) {
    asked.shift()!();
    await settle();
    told.push(story.length);
  }
  expect(told).toEqual([8, 16, 20]);
  expect(story).toEqual(story.toSorted((a, b) => a - b));
});

test("[D7] while others are live, two turns are a pause apart", async () => {
  const clock = handClock();
  const turns = new Turns(clock, () => true);
  const story: number[] = [];
  for (let one = 1; one <= 9; one++) void turns.next().then(() => story.push(one));
  const told: number[] = [];
  for (const ms of [1, 1, 1, 1]) {
    clock.advance(ms);
    await settle();
    told.push(story.length);
  }
  expect(told).toEqual([0, 8, 8, 9]);
});

test("[D7] a reader that takes the past as fast as it is given gets a page in a turn, so that live readers are written to in between", async () => {
  const stage = new Stage({ limits: { catchUpCountMax: 10, tailBytesMax: 1 } });
  await stage.publish(...Array.from({ length: 100 }, (_, made) => `m${made}`));
  const behind = new Sink();
  behind.reader = stage.hub.read("c", behind);
  const located = stage.hub.locate(behind.reader, { type: "start" });
  await stage.calm();
  await located;
  behind.reader.begin();
  const pages: number[] = [];
  while (!behind.story.includes("live")) {
    await settle();
    behind.take();
    stage.clock.turn();
    await settle();
    pages.push(behind.story.length);
  }
  expect(pages.length).toBeGreaterThanOrEqual(10);
  expect(Math.max(...pages)).toBeLessThanOrEqual(11);
});
