import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SYSTEM_CLOCK } from "./system.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 1e15])(
  "[D7] a wait of %d ms, which setTimeout would make a millisecond, is twenty seconds",
  (ms) => {
    const act = vi.fn();
    SYSTEM_CLOCK.after(ms, act);
    vi.advanceTimersByTime(19_999);
    expect(act).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(act).toHaveBeenCalledOnce();
  },
);

test("a wait is as long as it says, and can be ended", () => {
  const act = vi.fn();
  SYSTEM_CLOCK.after(2 ** 31 - 1, act);
  SYSTEM_CLOCK.after(5, act)();
  vi.advanceTimersByTime(2 ** 31 - 2);
  expect(act).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(act).toHaveBeenCalledOnce();
});
