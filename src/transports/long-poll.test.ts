import { expect, test } from "vitest";
import { handClock, seededRandom } from "../../test/support/clock.ts";
import { Hub } from "../core/hub.ts";
import type { Log } from "../core/log.ts";
import { memory } from "../engines/memory/memory.ts";
import { withLimits } from "../protocol/limits.ts";
import { PollPipe } from "./long-poll.ts";

/** A hub on a memory whose channel `slow` is read so many milliseconds later than others, and a poll of it and of `busy`, each from its start. */
async function slowAndBusy(readMs: number) {
  const clock = handClock();
  const engine: Log = memory();
  const read = engine.read.bind(engine);
  let isSlow = false;
  engine.read = async (channel, after, limit) => {
    if (channel === "slow" && isSlow) await new Promise<void>((resolve) => clock.after(readMs, resolve));
    return read(channel, after, limit);
  };
  // What it has is not in the memory of its readers
  const limits = withLimits({ tailBytesMax: 1 });
  const hub = new Hub({ engine, clock, random: seededRandom(1), limits, warn: (sentence) => expect.fail(sentence) });
  const publish = async (channel: string, data: string) => {
    const published = hub.publish({ id: "" }, { channel, kind: "text", data, size: data.length });
    await clock.advanceAsync(5);
    await published;
  };
  for (const data of ["1", "2", "3"]) await publish("slow", data);
  const answers: string[] = [];
  const pipe = new PollPipe({ hub, identity: { id: "ada" }, asked: 0 }, (frames) => answers.push(frames));
  for (const channel of ["slow", "busy"]) {
    const reader = hub.read(channel, pipe);
    const located = hub.locate(reader, { type: "start" });
    await clock.advanceAsync(5);
    await located;
    pipe.keep(reader);
  }
  isSlow = true;
  pipe.open();
  for (const reader of pipe.readers()) reader.begin();
  pipe.listen(25);
  await publish("busy", "now");
  return { clock, answers };
}

test("[D10] what one channel is told of waits for the page of another that is behind, so that a busy one does not keep it from being read", async () => {
  const { clock, answers } = await slowAndBusy(100);
  expect(answers).toEqual([]);
  await clock.advanceAsync(250);
  expect(answers).toHaveLength(1);
  for (const data of ['"now"', '"1"', '"3"']) expect(answers[0]).toContain(data);
});

test("[D10] it waits half a second at most", async () => {
  const { clock, answers } = await slowAndBusy(5_000);
  await clock.advanceAsync(400);
  expect(answers).toEqual([]);
  await clock.advanceAsync(100);
  expect(answers).toEqual([expect.stringContaining('"now"')]);
});

test("[D7] a long-poll that is not let in is answered, and leaves no timer", async () => {
  const clock = handClock();
  const hub = new Hub({
    engine: memory(),
    clock,
    random: seededRandom(1),
    limits: withLimits(),
    warn: (sentence) => expect.fail(sentence),
  });
  await hub.close();
  const answers: string[] = [];
  const pipe = new PollPipe({ hub, identity: { id: "ada" }, asked: 0 }, (frames) => answers.push(frames));
  pipe.open();
  pipe.listen(25);
  expect(answers).toEqual([expect.stringContaining('"code":"restart"')]);
  expect(clock.timers).toBe(0);
});
