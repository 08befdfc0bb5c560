import { describe, expect, test } from "vitest";
import { createTally } from "./tally.ts";

const at = (offset: number) => `000001a1b2c3d4Zk3x9Q.${String(offset).padStart(16, "0")}.f3Zk9dQ1`.slice(-46);

function counted(begin: number | null, ...offsets: number[]) {
  const tally = createTally(begin === null ? null : at(begin));
  for (const offset of offsets) tally.take(at(offset));
  return tally.counters;
}

describe("What a page counts by itself", () => {
  test("an unbroken line is all received, and nothing else", () => {
    expect(counted(4, 5, 6, 7)).toEqual({ received: 3, missing: 0, twice: 0, outOfOrder: 0 });
    expect(counted(null, 5, 6)).toEqual({ received: 2, missing: 0, twice: 0, outOfOrder: 0 });
  });

  test("what is passed over is missing, from the beginning on", () => {
    expect(counted(4, 6, 10)).toMatchObject({ missing: 4 });
  });

  test("what comes again came twice", () => {
    expect(counted(4, 5, 6, 5, 6, 4)).toMatchObject({ twice: 3, missing: 0, outOfOrder: 0 });
  });

  test("what comes after a later one is out of order, and missing no more; again, it came twice", () => {
    expect(counted(0, 1, 5, 3)).toEqual({ received: 3, missing: 2, twice: 0, outOfOrder: 1 });
    expect(counted(0, 1, 5, 3, 3, 2, 4)).toEqual({ received: 6, missing: 0, twice: 1, outOfOrder: 3 });
  });

  test("after a gap that was told, counting goes on behind it", () => {
    const tally = createTally(at(4));
    tally.take(at(5));
    tally.resume(at(9));
    tally.take(at(10));
    expect(tally.counters).toEqual({ received: 2, missing: 0, twice: 0, outOfOrder: 0 });
    expect(tally.position).toBe(at(10));
  });
});
