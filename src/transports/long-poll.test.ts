import { expect, test } from "vitest";
import { handClock, seededRandom } from "../../test/support/clock.ts";
import { Hub } from "../core/hub.ts";
import { memory } from "../engines/memory/memory.ts";
import { withLimits } from "../protocol/limits.ts";
import { PollPipe } from "./long-poll.ts";

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
  new PollPipe(hub, { id: "ada" }, (frames) => answers.push(frames)).open(25);
  expect(answers).toEqual([expect.stringContaining('"code":"restart"')]);
  expect(clock.timers).toBe(0);
});
