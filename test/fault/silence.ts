import { expect } from "vitest";
import { NO_TAG } from "../../src/protocol/position.ts";
import { check } from "../check/checker.ts";
import type { Ground } from "./ground.ts";

/** Gaps that are taken out of the history one at a time, as the control of never being silent. */
const SILENCED_MAX = 10;

/**
 * The same history without the gap of one reader, for each of the last: silence, which the checker must find. How many it were. One who stood at an origin, where he had
 * got nothing yet, lost nothing of his: that gap is no part of it.
 */
export function silence(ground: Ground): number {
  const history = ground.history.toSorted((a, b) => a.t - b.t);
  const silenced = ground.gaps.filter(({ since }) => since?.endsWith(NO_TAG) === false).slice(-SILENCED_MAX);
  expect(silenced.length, "readers that lost something").toBeGreaterThan(0);
  for (const gap of silenced) {
    const { counts } = check(history.filter((event) => event !== gap));
    expect(counts.violations, `the checker finds that ${gap.cid} was not told`).toBeGreaterThan(0);
  }
  return silenced.length;
}
