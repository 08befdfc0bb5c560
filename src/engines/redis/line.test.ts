import { expect, test } from "vitest";
import { handClock, seededRandom } from "../../../test/support/clock.ts";
import { isRefused } from "./failure.ts";
import { Line } from "./line.ts";
import type { Plug, Reply } from "./link.ts";

test("[D4] a line that is left because its Redis is no master does not call refused what was under way there: it may have been done", async () => {
  const clock = handClock();
  const asked: ((error: Error) => void)[] = [];
  const plug: Plug = {
    isCluster: false,
    async open() {
      const never = new Promise<never>(() => {});
      return {
        send: () => new Promise<Reply>((_, reject) => asked.push(reject)),
        subscribe: () => never,
        unsubscribe: () => never,
        ping: () => never,
        close() {},
      };
    },
  };
  const line = new Line(plug, { clock, random: seededRandom(1) }, { onUp() {}, onDown() {} });
  await line.open();
  await clock.advanceAsync(3_000);
  const errors = ["first", "second"].map((key) => line.send(key, ["EVAL"]).catch((error: Error) => error));
  asked[0]?.(new Error("READONLY You can't write against a read only replica."));
  expect((await Promise.all(errors)).map(isRefused)).toEqual([true, false]);
  line.close();
});
