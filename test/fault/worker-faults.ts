import { expect } from "vitest";
import { childrenOf, type Role } from "../support/children.ts";
import { until } from "../support/until.ts";
import type { Faults } from "./campaign.ts";
import { type Ground, pass, type ServeOptions } from "./ground.ts";

export const WORKERS = 2;
const WORDS = ["--workers", String(WORKERS)];

/** Starts `throughline dev` with its workers on the ground's log. */
export async function serve(ground: Ground, options: ServeOptions = {}): Promise<void> {
  const isServing = await ground.serve({ ...options, words: WORDS });
  expect(isServing, ground.err.slice(-1_000)).toBe(true);
}

/** What befalls the processes of one server with workers. None of it takes anything that was acknowledged. */
export function workerFaults(ground: Ground): Faults {
  const between = (min: number, max: number) => min + ground.random.fraction() * (max - min);
  const any = (role: Role) =>
    childrenOf(ground.server?.pid ?? 0, role)[role === "owner" ? 0 : Math.floor(ground.random.fraction() * WORKERS)]!;
  const still = async (role: Role, ms: number) => {
    const pid = any(role);
    process.kill(pid, "SIGSTOP");
    await pass(ms);
    process.kill(pid, "SIGCONT");
  };
  return {
    "a worker is killed": () => kill(ground, "worker"),
    "the owner of the log is killed": () => kill(ground, "owner"),
    async "the supervisor is killed"() {
      await ground.stop("SIGKILL");
      await serve(ground);
    },
    async "all of them are killed at once"() {
      const pids = [any("owner"), ...childrenOf(ground.server?.pid ?? 0, "worker")];
      for (const pid of pids) process.kill(pid, "SIGKILL");
      await ground.stop("SIGKILL");
      await serve(ground);
    },
    "all workers are killed": () => end(ground, childrenOf(ground.server?.pid ?? 0, "worker"), "SIGKILL"),
    "a worker is told to end": () => end(ground, [any("worker")], "SIGTERM"),
    "a worker stands still": () => still("worker", between(200, 2_500)),
    "the owner of the log stands still": () => still("owner", between(200, 2_500)),
    async "all of them are told to stop, and started again"() {
      await ground.stop("SIGTERM");
      await serve(ground);
    },
    async "all clients are cut"() {
      ground.run("ss", "-K", "state", "established", "( sport = :4400 )");
    },
  };
}

/** Kills one of them, and waits until another is there. */
export async function kill(ground: Ground, role: Role): Promise<void> {
  const pids = childrenOf(ground.server?.pid ?? 0, role);
  await end(ground, [pids[Math.floor(ground.random.fraction() * pids.length)]!], "SIGKILL");
}

/** Ends them, and waits until others are there. */
async function end(ground: Ground, pids: readonly number[], signal: NodeJS.Signals): Promise<void> {
  for (const pid of pids) process.kill(pid, signal);
  const children = () => (["owner", "worker"] as const).flatMap((role) => childrenOf(ground.server?.pid ?? 0, role));
  await until("they are gone", () => !children().some((pid) => pids.includes(pid)));
  await complete(ground);
}

/** Every process is there again. */
export async function complete(ground: Ground): Promise<void> {
  const count = (role: Role) => childrenOf(ground.server?.pid ?? 0, role).length;
  await until("all processes are there", () => count("owner") === 1 && count("worker") === WORKERS, 30_000);
}
