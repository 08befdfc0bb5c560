import { beforeEach, expect, test } from "vitest";
import { type HandClock, handClock } from "../../test/support/clock.ts";
import { ticks } from "./ticks.ts";

let clock: HandClock;
let at: number[];

beforeEach(() => {
  clock = handClock();
  at = [];
});

/** A clock whose timers are late, as those of a busy machine are. */
function late(byMs: number) {
  return { elapsed: clock.elapsed, after: (ms: number, act: () => void) => clock.after(ms + byMs, act) };
}

const begin = (of: Parameters<typeof ticks>[0] = clock) => ticks(of, 100, () => at.push(clock.elapsed()));

test("come at their time, until they are cancelled", () => {
  const startMs = clock.elapsed();
  const cancel = begin();
  clock.advance(350);
  expect(at.map((ms) => ms - startMs)).toEqual([100, 200, 300]);
  cancel();
  clock.advance(1_000);
  expect([at.length, clock.timers]).toEqual([3, 0]);
});

test("one may cancel them", () => {
  const cancel = ticks(clock, 100, () => {
    at.push(clock.elapsed());
    cancel();
  });
  clock.advance(1_000);
  expect([at.length, clock.timers]).toEqual([1, 0]);
});

test("[D10] what one of them is late by, the next is not late by as well", () => {
  const startMs = clock.elapsed();
  begin(late(40));
  clock.advance(60_000);
  expect(at.length).toBe(599);
  for (const [index, ms] of at.entries()) expect(ms - startMs).toBe((index + 1) * 100 + 40);
});

test("[D7] after a standstill no more than fifteen come at once", () => {
  let standsMs = 0;
  ticks({ elapsed: () => clock.elapsed() + standsMs, after: clock.after }, 100, () => at.push(clock.elapsed() + standsMs));
  clock.advance(1_000);
  standsMs = 60_000;
  clock.advance(100);
  const [woken] = at.slice(10);
  clock.advance(0);
  expect(at.slice(10).filter((ms) => ms === woken)).toHaveLength(15);
  clock.advance(1_000);
  expect(at).toHaveLength(10 + 15 + 10);
});
