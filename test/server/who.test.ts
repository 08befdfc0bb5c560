import { expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { demand } from "../support/http.ts";
import { Program, runProgram, startDevProgram } from "./program.ts";

test("throughline presence prints who is on a channel, and with --watch what changes", async () => {
  const port = await freePort();
  await startDevProgram(port);
  const url = `http://127.0.0.1:${port}`;
  const say = (body: object) => demand(`${url}/presence/chat/lobby`, { method: "POST", body });
  await say({ client: "a", data: { name: "Ada" } });
  const ada = '{"user":"","client":"a","data":{"name":"Ada"}}';
  expect(await runProgram(["presence", "chat/lobby", "--url", url])).toEqual({ code: 0, out: `${ada}\n`, err: "" });
  const watching = new Program(["presence", "chat/lobby", "--watch", "--url", url]);
  await watching.until(({ lines }) => lines.length === 1);
  await say({ client: "a", data: 2 });
  await say({ client: "a", leave: true });
  await watching.until(({ lines }) => lines.length === 3);
  expect(watching.lines.map((line) => JSON.parse(line))).toMatchObject([
    { change: "join", data: { name: "Ada" } },
    { change: "update", data: 2 },
    { change: "leave", client: "a" },
  ]);
});

test("throughline presence takes what is no channel for none, and says that it waits for a server that does not answer", async () => {
  const nowhere = "http://127.0.0.1:1";
  for (const flags of [[], ["--watch"]]) {
    const { code, out, err } = await runProgram(["presence", "chat?lobby", "--url", nowhere, ...flags]);
    expect([code, out, err]).toEqual([1, "", expect.stringContaining("is not a channel name")]);
  }
  const waiting = new Program(["presence", "chat/lobby", "--watch", "--url", nowhere]);
  await waiting.until(({ err }) => err.includes("does not answer"));
  waiting.signal("SIGINT");
  expect(await waiting.exit()).toBe(0);
});
