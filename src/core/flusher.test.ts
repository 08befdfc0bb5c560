import { beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../protocol/clock.ts";
import { type Flushable, Flusher } from "./flusher.ts";

/** A clock that is held by hand to the last step: nothing runs but what `turn` and `wait` run. */
class StillClock implements Clock {
  ms = 1_000;
  asked: (() => void)[] = [];
  timers: { readonly dueMs: number; readonly act: () => void }[] = [];

  now(): number {
    return this.ms;
  }

  elapsed(): number {
    return this.ms;
  }

  after(delayMs: number, act: () => void): () => void {
    this.timers.push({ dueMs: this.ms + delayMs, act });
    return () => undefined;
  }

  soon(act: () => void): void {
    this.asked.push(act);
  }

  busyShare = 0;
  busy(): number {
    return this.busyShare;
  }

  turn(): void {
    for (const act of this.asked.splice(0)) act();
  }

  wait(ms: number): void {
    this.ms += ms;
    const due = this.timers.filter(({ dueMs }) => dueMs <= this.ms);
    this.timers = this.timers.filter((timer) => !due.includes(timer));
    for (const { act } of due) act();
  }
}

let clock: StillClock;
let flusher: Flusher;
let slices: number[];
/** What was flushed, in order. */
let story: string[];

beforeEach(() => {
  clock = new StillClock();
  slices = [];
  story = [];
  flusher = new Flusher(clock, (ms) => slices.push(ms));
});

/** Something that has two messages and takes `workMs` to flush them, in steps of 0.5 ms, and looks at the deadline after each. */
function one(name: string, workMs = 0): Flushable & { work: number; waiting: number } {
  return {
    work: workMs,
    waiting: 2,
    flush(deadline) {
      story.push(name);
      while (this.work > 0) {
        this.work -= 0.5;
        clock.ms += 0.5;
        if (clock.ms >= deadline) return this.work <= 0;
      }
      return true;
    },
  };
}

describe("an idle node", () => {
  test("flushes in the next turn, and adds no delay", () => {
    flusher.want(one("a"));
    expect(story).toEqual([]);
    clock.turn();
    expect(story).toEqual(["a"]);
    expect(clock.timers).toEqual([]);
  });

  test("flushes once what was wanted often", () => {
    const a = one("a");
    for (let times = 0; times < 5; times++) flusher.want(a);
    clock.turn();
    clock.turn();
    expect(story).toEqual(["a"]);
  });

  test("sets no timer and asks for no turn when there is nothing to do", () => {
    flusher.want(one("a"));
    clock.turn();
    expect([clock.asked.length, clock.timers.length]).toEqual([0, 0]);
  });
});

describe("a busy node", () => {
  test.each([
    [1, 2],
    [3, 6],
    [20, 10],
  ])("waits after %i ms of flushing for %i ms before the next", (costMs, windowMs) => {
    const a = one("a", costMs);
    flusher.want(a);
    while (clock.asked.length > 0) clock.turn();
    story = [];
    flusher.want(a);
    expect(clock.asked).toEqual([]);
    clock.wait(windowMs - 0.01);
    clock.turn();
    expect(story).toEqual([]);
    clock.wait(0.01);
    clock.turn();
    expect(story).toEqual(["a"]);
  });

  test("does not wait where messages come one by one: nothing would be gathered", () => {
    const a = { ...one("a", 3), waiting: 1 };
    flusher.want(a);
    clock.turn();
    flusher.want(a);
    clock.turn();
    expect(story).toEqual(["a", "a"]);
  });

  test("waits after a flush in which one of many channels had company", () => {
    flusher.want(one("a", 3));
    flusher.want({ ...one("b"), waiting: 1 });
    clock.turn();
    flusher.want(one("a"));
    clock.turn();
    expect(story).toEqual(["a", "b"]);
    clock.wait(6);
    clock.turn();
    expect(story).toEqual(["a", "b", "a"]);
  });

  test("waits no longer once the window has passed by itself", () => {
    flusher.want(one("a", 3));
    clock.turn();
    clock.wait(6);
    flusher.want(one("b"));
    clock.turn();
    expect(story).toEqual(["a", "b"]);
  });

  test("flushes again what was wanted while it was flushed", () => {
    const a: Flushable = {
      waiting: 1,
      flush() {
        story.push("a");
        if (story.length === 1) flusher.want(a);
        return true;
      },
    };
    flusher.want(a);
    clock.turn();
    clock.turn();
    expect(story).toEqual(["a", "a"]);
  });
});

describe("a flush that takes long", () => {
  test("is cut into slices of at most 4 ms and a step, and lets others in between", () => {
    flusher.want(one("a", 21));
    let turns = 0;
    for (; clock.asked.length > 0; turns++) clock.turn();
    expect(turns).toBe(6);
    expect(Math.max(...slices)).toBeLessThanOrEqual(4.5);
    expect(slices.reduce((sum, ms) => sum + ms)).toBe(21);
  });

  test("does not hold up the channels that wanted a flush with it", () => {
    flusher.want(one("large", 12));
    flusher.want(one("small"));
    clock.turn();
    clock.turn();
    expect(story).toEqual(["large", "small", "large"]);
  });

  test("takes turns with others that take long", () => {
    for (const name of ["a", "b", "c"]) flusher.want(one(name, 8));
    while (clock.asked.length > 0) clock.turn();
    expect(story).toEqual(["a", "b", "c", "a", "b", "c"]);
  });

  test("is not begun anew by another wish, which waits for the next round", () => {
    const a = one("a", 6);
    flusher.want(a);
    clock.turn();
    flusher.want(a);
    clock.turn();
    expect(story).toEqual(["a", "a"]);
    clock.wait(10);
    clock.turn();
    expect(story).toEqual(["a", "a", "a"]);
  });
});

describe("the pace of a log that takes 1 ms for a call", () => {
  const paced = async () => {
    let isFree = false;
    void flusher.pace(1).then(() => {
      isFree = true;
    });
    return async () => {
      await new Promise(setImmediate);
      return isFree;
    };
  };

  beforeEach(() => {
    clock.busyShare = 0.9;
  });

  test("on a busy node is that of its readers: the next call ends just as they can be written to again", async () => {
    flusher.want(one("a", 3));
    const isFree = await paced();
    clock.turn();
    expect(await isFree()).toBe(false);
    clock.wait(4.9);
    expect(await isFree()).toBe(false);
    clock.wait(0.1);
    expect(await isFree()).toBe(true);
  });

  test("waits for the end of the flush that is under way", async () => {
    flusher.want(one("a", 6));
    clock.turn();
    const isFree = await paced();
    clock.wait(20);
    expect(await isFree()).toBe(false);
    clock.turn();
    clock.wait(10);
    expect(await isFree()).toBe(true);
  });

  test("is its own where nothing is to be written", async () => {
    expect(await (await paced())()).toBe(true);
  });

  test("is its own on a node with time to spare", async () => {
    clock.busyShare = 0.3;
    flusher.want(one("a", 3));
    expect(await (await paced())()).toBe(true);
  });

  test("is its own where its calls cost nothing", async () => {
    flusher.want(one("a", 3));
    let isFree = false;
    await flusher.pace(0.01).then(() => {
      isFree = true;
    });
    expect(isFree).toBe(true);
  });
});
