import { describe, expect, test } from "vitest";
import { type HandClock, handClock } from "../../test/support/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Channel } from "./channel.ts";
import { type PresenceOptions, presence } from "./presence.ts";

interface Question {
  readonly body: { client?: string; turn?: number; data?: unknown; leave?: boolean; position?: string; wait?: number };
  answer(more?: object): void;
  fail(code: "disconnected" | "forbidden" | "overloaded"): void;
}

/** A channel that asks the test. */
function stage(data?: unknown, options: PresenceOptions = {}) {
  const clock: HandClock = handClock();
  const questions: Question[] = [];
  const request = (_name: string, body: Question["body"], { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      signal?.addEventListener("abort", () => reject(new ThroughlineError("aborted", "Aborted.")));
      questions.push({
        body,
        answer: (more = {}) => resolve({ leaseSeconds: 30, position: "0.0", changes: [], ...more }),
        fail: (code) => reject(new ThroughlineError(code, code)),
      });
    });
  const here = presence({ request } as unknown as Channel, data, { clock, random: () => 0.5, client: "me", ...options });
  const errors: string[] = [];
  here.on("error", ({ code }) => errors.push(code));
  return {
    clock,
    here,
    errors,
    count: () => questions.length,
    async next(): Promise<Question> {
      await clock.advanceAsync(0);
      const question = questions.shift();
      if (question === undefined) throw new Error("Nothing was asked.");
      return question;
    },
  };
}

describe("Presence", () => {
  test("is one question that goes round: it says who is here, what is known, and waits a third of the lease", async () => {
    const { here, next } = stage("ada");
    const first = await next();
    expect(first.body).toEqual({ client: "me", turn: 1, data: "ada", position: "", wait: 10 });
    first.answer({ leaseSeconds: 60, changes: [{ change: "join", user: "", client: "you", data: 1, tag: 71 }] });
    expect((await next()).body).toMatchObject({ position: `1.${(71).toString(36)}`, wait: 20 });
    expect(here.members).toEqual([{ user: "", client: "you", data: 1 }]);
  });

  test("asks again after a cut, and waits the longer the more often that fails", async () => {
    const { clock, next, count } = stage("ada");
    (await next()).fail("disconnected");
    await clock.advanceAsync(150);
    (await next()).fail("overloaded");
    await clock.advanceAsync(299);
    expect(count()).toBe(0);
    await clock.advanceAsync(1);
    expect((await next()).body.client).toBe("me");
  });

  test("asks at ease a server that answers at once and brings nothing new, or everyone each time", async () => {
    for (const again of [{ changes: [] }, { changes: undefined, members: [] }, { leaseSeconds: "x" }]) {
      const { clock, next, count } = stage("ada");
      let asked = 0;
      for (let second = 0; second < 60; second++) {
        for (; count() > 0; asked++) (await next()).answer(again);
        await clock.advanceAsync(1_000);
      }
      expect(asked).toBeLessThan(20);
    }
  });

  test("asks at once again when there was news, or nothing for as long as it may take", async () => {
    const { clock, next, count } = stage("ada");
    (await next()).answer({ changes: [{ change: "join", user: "", client: "you", data: 1, tag: 71 }] });
    for (let round = 0; round < 5; round++) {
      const waiting = await next();
      await clock.advanceAsync(10_000);
      expect(count()).toBe(0);
      waiting.answer();
    }
    await next();
  });

  test("[D7] waits no longer than a server lets anyone wait, however long the lease is", async () => {
    const { clock, next, count } = stage("ada");
    (await next()).answer({ leaseSeconds: 240, changes: [{ change: "join", user: "", client: "you", data: 1, tag: 71 }] });
    for (let round = 0; round < 5; round++) {
      const waiting = await next();
      expect(waiting.body.wait).toBe(25);
      await clock.advanceAsync(25_000);
      expect(count()).toBe(0);
      waiting.answer({ leaseSeconds: 240 });
    }
    await next();
  });

  test("[D7] left while it waits to try again, it tells who waits for an update, and leaves no timer", async () => {
    const { here, clock, next } = stage("a");
    const going = await next();
    const updated = here.update("b").catch(({ code }) => code);
    (await next()).fail("disconnected");
    await clock.advanceAsync(0);
    going.fail("disconnected");
    await clock.advanceAsync(0);
    void here.leave();
    (await next()).answer();
    expect([await updated, clock.timers]).toEqual(["aborted", 0]);
  });

  test("ends with what cannot be helped", async () => {
    const { clock, errors, next, count } = stage("ada");
    (await next()).fail("forbidden");
    await clock.advanceAsync(60_000);
    expect([errors, count(), clock.timers]).toEqual([["forbidden"], 0, 0]);
  });

  test("of updates that follow closely the last is said, one at a time", async () => {
    const { here, next, count } = stage("a");
    await next();
    const updated = [here.update("b"), here.update("c"), here.update("d")];
    const said = await next();
    expect([said.body, count()]).toEqual([{ client: "me", turn: 4, data: "d" }, 0]);
    const again = here.update("e");
    said.answer();
    const last = await next();
    expect(last.body).toEqual({ client: "me", turn: 5, data: "e" });
    last.answer();
    await Promise.all([...updated, again]);
  });

  test("counts on from where the one before it under its name had come", async () => {
    const { next } = stage("anew");
    (await next()).answer({ late: 7 });
    expect((await next()).body).toMatchObject({ turn: 8, data: "anew" });
  });

  test("leaves once, whichever way it is told to, and asks no more", async () => {
    const abort = new AbortController();
    const ends = [
      (one: ReturnType<typeof stage>) => one.here.leave(),
      () => abort.abort(),
      (one: ReturnType<typeof stage>) => one.here[Symbol.dispose](),
    ];
    for (const end of ends) {
      const one = stage("ada", { signal: abort.signal });
      await one.next();
      void end(one);
      const left = await one.next();
      expect(left.body).toEqual({ client: "me", turn: 2, leave: true, data: undefined });
      left.answer();
      await one.here.leave();
      await one.clock.advanceAsync(60_000);
      expect([one.count(), one.clock.timers, one.errors]).toEqual([0, 0, []]);
    }
  });

  test("without data it only watches, and without watching it only says that it is there", async () => {
    const watching = stage();
    expect((await watching.next()).body).toEqual({ position: "", wait: 10 });
    const silent = stage("ada", { watch: false });
    const said = await silent.next();
    expect(said.body).toEqual({ client: "me", turn: 1, data: "ada" });
    said.answer();
    await silent.clock.advanceAsync(9_999);
    expect(silent.count()).toBe(0);
    await silent.clock.advanceAsync(1);
    expect(silent.count()).toBe(1);
  });
});
