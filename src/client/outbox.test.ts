import { describe, expect, test } from "vitest";
import { ThroughlineError } from "../protocol/error.ts";
import { createOutbox, type Waiting } from "./outbox.ts";

const LIMITS = { outboxCountMax: 2_000, outboxBytesMax: 100_000_000 };
const ERROR = new ThroughlineError("disconnected", "cut");

function waiting(id: number, more: Partial<Waiting> = {}): Waiting & { errors: unknown[] } {
  const errors: unknown[] = [];
  return { id, text: "x", resolve() {}, reject: (error) => errors.push(error), via: 0, errors, ...more };
}

describe("The outbox", () => {
  test("keeps what was sent until it is answered, in the order it was made", () => {
    const outbox = createOutbox(LIMITS);
    const all = [1, 2, 3].map((id) => waiting(id));
    for (const one of all) outbox.add(one);
    for (const one of outbox.unsent()) one.via = 7;
    outbox.add(waiting(4));
    expect(outbox.unsent().map(({ id }) => id)).toEqual([4]);
    expect(outbox.take(2)).toBe(all[1]);
    expect(outbox.take(2)).toBe(undefined);
    outbox.lost(8, ERROR);
    expect(outbox.unsent().map(({ id }) => id)).toEqual([4]);
    outbox.lost(7, ERROR);
    expect(outbox.unsent().map(({ id }) => id)).toEqual([1, 3, 4]);
  });

  test("repeats publishes and not requests", () => {
    const outbox = createOutbox(LIMITS);
    const asked = waiting(1, { text: "", via: 7 });
    outbox.add(asked);
    outbox.add(waiting(2, { via: 7 }));
    outbox.lost(7, ERROR);
    expect([asked.errors, outbox.size, outbox.unsent().length]).toEqual([[ERROR], 1, 1]);
  });

  test("gives at most what one POST carries", () => {
    const outbox = createOutbox(LIMITS);
    for (let id = 1; id < 1_500; id++) outbox.add(waiting(id));
    expect(outbox.unsent()).toHaveLength(1_000);
  });

  test("gives no more characters at once than nginx takes as it comes, but for one that is larger by itself", () => {
    const outbox = createOutbox(LIMITS);
    for (const [id, chars] of [400_000, 200_000, 100_000, 1].entries()) outbox.add(waiting(id + 1, { text: "x".repeat(chars) }));
    const batches: number[][] = [];
    for (let batch = outbox.unsent(); batch.length > 0; batch = outbox.unsent()) {
      batches.push(batch.map(({ id }) => id));
      for (const one of batch) one.via = 7;
    }
    expect(batches).toEqual([[1], [2, 3], [4]]);
  });

  test("is bounded in number and bytes, and has room again after an answer", () => {
    const outbox = createOutbox({ outboxCountMax: 2, outboxBytesMax: 10 });
    outbox.add(waiting(1, { text: "x".repeat(6) }));
    expect(() => outbox.add(waiting(2, { text: "x".repeat(5) }))).toThrow(expect.objectContaining({ code: "outbox_full" }));
    outbox.add(waiting(2, { text: "x".repeat(4) }));
    expect(() => outbox.add(waiting(3, { text: "x".repeat(0) }))).toThrow(expect.objectContaining({ code: "outbox_full" }));
    outbox.take(1);
    outbox.add(waiting(3, { text: "x".repeat(6) }));
  });

  test("rejects all when nothing will be answered", () => {
    const outbox = createOutbox(LIMITS);
    const all = [waiting(1), waiting(2, { via: 3 })];
    for (const one of all) outbox.add(one);
    outbox.end(ERROR);
    expect([all.map(({ errors }) => errors), outbox.size]).toEqual([[[ERROR], [ERROR]], 0]);
  });
});
