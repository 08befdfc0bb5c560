import { expect, test } from "vitest";
import { Sink } from "../../test/support/sink.ts";
import { LiveSet } from "./live-set.ts";

function crowd(count: number): {
  live: LiveSet<{ name: number; outlet: Sink; slot: number }>;
  all: { name: number; outlet: Sink; slot: number }[];
} {
  const live = new LiveSet<{ name: number; outlet: Sink; slot: number }>();
  const all = Array.from({ length: count }, (_, name) => ({ name, outlet: new Sink(), slot: -1 }));
  for (const one of all) live.join(one, one.name * 10);
  return { live, all };
}

test("who leaves leaves an empty place behind, and nobody else moves", () => {
  const { live, all } = crowd(4);
  expect(live.leave(all[1]!)).toBe(true);
  expect(live.leave(all[1]!)).toBe(false);
  expect([live.size, live.isHollow, live.readers.map((one) => one?.name)]).toEqual([3, false, [0, undefined, 2, 3]]);
  live.leave(all[2]!);
  live.leave(all[0]!);
  expect(live.isHollow).toBe(true);
});

test("closing up keeps reader, outlet and offset together, and each knows its new place", () => {
  const { live, all } = crowd(5);
  for (const name of [0, 3]) live.leave(all[name]!);
  live.close();
  expect(live.readers.map((one) => [one?.name, one?.slot])).toEqual([
    [1, 0],
    [2, 1],
    [4, 2],
  ]);
  expect(live.outlets).toEqual([1, 2, 4].map((name) => all[name]!.outlet));
  expect(live.offsets).toEqual([10, 20, 40]);
  expect(live.leave(all[4]!)).toBe(true);
  expect(live.size).toBe(2);
});
