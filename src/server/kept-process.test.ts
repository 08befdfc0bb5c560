import { type ChildProcess, spawn } from "node:child_process";
import { expect, test } from "vitest";
import { until } from "../../test/support/until.ts";
import { KeptProcess } from "./kept-process.ts";

test("one that the system refuses to start again is tried until it does", async () => {
  const script = "process.on('message', () => process.exit(0)); process.send({ type: 'ready' })";
  const losses: string[] = [];
  const children: ChildProcess[] = [];
  let refusals = 2;
  const kept = new KeptProcess({
    name: "Worker 1",
    start() {
      if (children.length === 1 && refusals-- > 0) throw new Error("spawn ENOMEM");
      children.push(spawn(process.execPath, ["-e", script], { stdio: ["ignore", "ignore", "ignore", "ipc"] }));
      return children.at(-1)!;
    },
    onLoss: (why) => losses.push(why),
  });
  await kept.begin();
  children[0]!.kill("SIGKILL");
  await until("there is another", () => children.length === 2);
  await kept.stop();
  expect(losses).toEqual([
    "Worker 1 ended with SIGKILL.",
    "Worker 1 could not be started: spawn ENOMEM.",
    "Worker 1 could not be started: spawn ENOMEM.",
  ]);
});
