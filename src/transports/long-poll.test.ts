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
  const pipe = new PollPipe({ hub, identity: { id: "ada" }, asked: 0 }, (frames) => answers.push(frames));
  pipe.open();
  pipe.listen(25);
  expect(answers).toEqual([expect.stringContaining('"code":"restart"')]);
  expect(clock.timers).toBe(0);
});
