import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../support/until.ts";

/** It stands still from now on, all of its threads: what it had asked of the disk is done. SIGCONT wakes it. */
export async function freeze(child: ChildProcess | null): Promise<void> {
  if (child === null) return;
  child.kill("SIGSTOP");
  await until("it stands still", () => isStill(child.pid ?? 0));
}

/** Whether all threads of a process have stopped. */
export function isStill(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).every((task) => isStopped(`${tasks}/${task}/stat`));
}

/** Behind the name, which may have any characters in it, comes the state (proc(5)). */
function isStopped(path: string): boolean {
  const stat = readFileSync(path, "latin1");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
}
