import { execFileSync } from "node:child_process";

/** What a process of `throughline dev --workers n` is there for. */
export type Role = "owner" | "worker";

/** The processes that one has started, of a role, by their ids: the earliest first. */
export function childrenOf(parent: number, role: Role): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,stat=,args="], { encoding: "utf8" }).split("\n");
  const found = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line)).filter((match) => match !== null);
  return found
    .filter(([, , ppid, stat, args]) => Number(ppid) === parent && !stat?.startsWith("Z") && args?.includes(`{"role":"${role}"`))
    .map(([, pid]) => Number(pid))
    .sort((a, b) => a - b);
}
