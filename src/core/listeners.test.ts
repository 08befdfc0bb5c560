import { expect, test } from "vitest";
import { until } from "../../test/support/until.ts";
import type { Connection } from "./connection.ts";
import { Listeners } from "./listeners.ts";

test("a listener that throws, or whose promise fails, disturbs nobody: the operator is told, and the others hear", async () => {
  const sentences: string[] = [];
  const heard: unknown[] = [];
  const listeners = new Listeners((sentence) => sentences.push(sentence));
  listeners.on("connect", () => {
    throw new Error("at once");
  });
  listeners.on("connect", async () => {
    throw new Error("later");
  });
  listeners.on("connect", (connection) => heard.push(connection));
  const connection = {} as Connection;
  listeners.emit("connect", connection);
  expect(heard).toEqual([connection]);
  await until("both are told", () => sentences.length === 2);
  expect(sentences.join()).toMatch(/connect.*at once.*connect.*later/);
});
