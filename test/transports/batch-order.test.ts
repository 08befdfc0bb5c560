import { expect, test } from "vitest";
import { nodeHost, run } from "../adapters/host.ts";

test("[D1] the envelopes of one POST are stored in the order in which they stand, however long the gate thinks about each", async () => {
  const asked: (() => void)[] = [];
  const authorize = ({ action }: { action: string }): boolean | Promise<boolean> => {
    if (action !== "publish") return true;
    return new Promise((resolve) => {
      asked.push(() => resolve(true));
      // When all have been asked for the last is answered first, and each of the others a turn later
      if (asked.length === 3) answerLast();
    });
  };
  const answerLast = (): void => {
    asked.pop()?.();
    if (asked.length > 0) setImmediate(answerLast);
  };
  const { ask } = await run(nodeHost, { authorize });
  const body = JSON.stringify([1, 2, 3].map((data) => ({ channel: "chat/lobby", data })));
  const results = await ask("/publish", { method: "POST", headers: { "content-type": "application/json" }, body });
  const offsets = ((await results.json()) as { position: string }[]).map(({ position }) => Number(position.slice(21, 37)));
  expect(offsets).toEqual([1, 2, 3]);
});
