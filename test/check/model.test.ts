import fc from "fast-check";
import { expect, test } from "vitest";
import { check } from "./checker.ts";
import { DAMAGES } from "./damages.ts";
import { ACTS, ModelLine } from "./model-line.ts";

const RUNS = 2_000;
const acts = fc.array(fc.record({ act: fc.constantFrom(...ACTS), n: fc.nat(11) }), { maxLength: 60, size: "max" });

test("the histories of a line that is as it should be are found innocent", () => {
  const seen = { delivered: 0, gaps: 0, lost: 0 };
  fc.assert(
    fc.property(acts, (played) => {
      const { violations, counts } = check(ModelLine.play(played));
      seen.delivered += counts.delivered;
      seen.gaps += counts.gaps.trimmed + counts.gaps.truncated + counts.gaps.epoch;
      seen.lost += counts.lost;
      expect(violations).toEqual([]);
    }),
    { numRuns: RUNS },
  );
  expect(seen.delivered).toBeGreaterThan(RUNS * 5);
  expect(seen.gaps).toBeGreaterThan(RUNS);
  expect(seen.lost).toBeGreaterThan(RUNS);
});

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`it is found that ${what}`, () => {
    let done = 0;
    fc.assert(
      fc.property(acts, fc.nat(), (played, chance) => {
        const events = ModelLine.play(played);
        if (!damage(events, (items) => items[chance % items.length]!)) return;
        done++;
        expect(check(events).counts.violations).toBeGreaterThan(0);
      }),
      { numRuns: RUNS / 4 },
    );
    expect(done).toBeGreaterThan(RUNS / 20);
  });
}
