import fc from "fast-check";
import { expect, test } from "vitest";
import { check } from "./checker.ts";
import { DAMAGES } from "./damages.ts";
import { ACTS, type Act, ModelLine } from "./model-line.ts";

const RUNS = 2_000;
const acts = fc.array(fc.record({ act: fc.constantFrom(...ACTS), n: fc.nat(11) }), { maxLength: 60, size: "max" });
/** A tail is rewritten and lost before anyone is given what it came to: that two have stood in one place is not to be seen in the messages. */
const UNSEEN_REWRITE =
  "ask 0, ask 0, begin 1, begin 1, forget 7, begin 3, store 0, forget 1, read 3, read 4, forget 1, rewrite tail 8, forget 0, forget 0, lose tail 4, remove 0";

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
    { numRuns: RUNS, examples: [[acted(UNSEEN_REWRITE)]] },
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

/** Acts as they are written down: the word, and the number behind it. */
function acted(story: string): Act[] {
  return story.split(", ").map((told) => ({ act: told.replace(/ \d+$/, "") as Act["act"], n: Number(/\d+$/.exec(told)) }));
}
