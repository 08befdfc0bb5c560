import { expect, test } from "vitest";
import { handClock } from "../../test/support/clock.ts";
import { Stage } from "../../test/support/stage.ts";
import { memory } from "../engines/memory/memory.ts";
import { Readiness } from "./readiness.ts";

/** A log that answers when it is told to. */
function scripted() {
  const clock = handClock();
  const asked: ((reason: string | null) => void)[] = [];
  const look = () => new Promise<string | null>((resolve) => asked.push(resolve));
  return { clock, asked, readiness: new Readiness({ clock, secondsMax: 2, look }) };
}

test("[D7] however often a node is asked whether it is ready, it asks its log once a second at most", async () => {
  const { clock, asked, readiness } = scripted();
  const answers = Array.from({ length: 1_000 }, () => readiness.ask());
  expect(asked).toHaveLength(1);
  asked[0]?.(null);
  expect(new Set(await Promise.all(answers))).toEqual(new Set([null]));
  await readiness.ask();
  expect(asked).toHaveLength(1);
  clock.advance(1_000);
  const next = readiness.ask();
  asked[1]?.("full");
  expect([asked.length, await next]).toEqual([2, "full"]);
  expect(clock.timers).toBe(0);
});

test("[D7] a log that has not answered within readySecondsMax is not ready, and is not asked again before it has", async () => {
  const { clock, asked, readiness } = scripted();
  for (const _ of [1, 2, 3]) {
    const answer = readiness.ask();
    await clock.advanceAsync(2_000);
    expect([await answer, asked.length]).toEqual(["The log has not answered for 2 s.", 1]);
  }
  asked[0]?.(null);
  await clock.advanceAsync(1_000);
  const answer = readiness.ask();
  asked.at(-1)?.(null);
  expect([await answer, clock.timers]).toEqual([null, 0]);
});

test("a hub whose log says nothing of it is ready once that is open; one that cannot open it, or stops, is not", async () => {
  const stage = new Stage({ engine: memory() });
  expect(await stage.hub.ready()).toBeNull();
  const closed = new Stage();
  const open = closed.log.open.bind(closed.log);
  closed.log.open = () => Promise.reject(new Error("in use"));
  expect(await closed.hub.ready()).toMatch(/^The log cannot be used/);
  closed.log.open = open;
  closed.clock.advance(1_000);
  expect(await closed.hub.ready()).toBeNull();
  await stage.hub.close();
  expect(await stage.hub.ready()).toBe("The server is stopping.");
});
