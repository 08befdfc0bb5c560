import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { need } from "../support/need.ts";

const PREFIX = "throughline-ground-";

/** What is taken from the machine, and must be given back. */
export type Holding =
  | { readonly type: "owner" | "process"; readonly pid: number; readonly started: string }
  | { readonly type: "namespace"; readonly name: string }
  | { readonly type: "frozen" | "mount" | "group"; readonly path: string };

/**
 * A directory for one test, and a list in it of what the test took from the machine, written down before it is taken. So all of it can be
 * given back also by the next run, where this one is killed.
 */
export class Ledger {
  readonly home: string;
  readonly #path: string;

  constructor() {
    sweep();
    this.home = mkdtempSync(join(tmpdir(), PREFIX));
    this.#path = join(this.home, "ledger.ndjson");
    this.note({ type: "owner", pid: process.pid, started: startOf(process.pid) });
  }

  note(holding: Holding): void {
    appendFileSync(this.#path, `${JSON.stringify(holding)}\n`);
  }

  /** A process by its id, and by when it started: the id alone may be another's tomorrow. */
  noteProcess(pid: number): void {
    this.note({ type: "process", pid, started: startOf(pid) });
  }

  /** Gives everything back. */
  release(): void {
    release(this.home);
  }
}

/** Gives back what runs that were killed have left. */
function sweep(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue;
    const home = join(tmpdir(), name);
    const owner = holdingsOf(home).find(({ type }) => type === "owner");
    if (owner?.type === "owner" && startOf(owner.pid) === owner.started) continue;
    release(home);
  }
}

function release(home: string): void {
  const holdings = holdingsOf(home).reverse();
  // First what keeps processes from ending, then they themselves, then what they held
  for (const holding of holdings) {
    if (holding.type === "frozen") spawnSync(need("fsfreeze"), ["--unfreeze", holding.path]);
    else if (holding.type === "group") thaw(holding.path);
  }
  for (const holding of holdings) if (holding.type === "process" && startOf(holding.pid) === holding.started) end(holding.pid);
  for (const holding of holdings) {
    if (holding.type === "mount") spawnSync("umount", ["--lazy", holding.path]);
    else if (holding.type === "namespace") spawnSync(need("ip"), ["netns", "delete", holding.name]);
    else if (holding.type === "group") endGroup(holding.path);
  }
  rmSync(home, { recursive: true, force: true });
}

function holdingsOf(home: string): Holding[] {
  const path = join(home, "ledger.ndjson");
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Holding);
}

/** Kills it, and waits until it has let go of what it held. */
function end(pid: number): void {
  const started = startOf(pid);
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    return;
  }
  for (let waits = 0; waits < 100 && startOf(pid) === started; waits++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
}

function thaw(group: string): void {
  const frozen = join(group, "freezer.state");
  if (existsSync(frozen)) writeFileSync(frozen, "THAWED");
}

function endGroup(path: string): void {
  // The kernel takes a moment to let the last process out
  for (let tries = 0; tries < 100 && existsSync(path); tries++) {
    try {
      rmdirSync(path);
    } catch {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}

/** Field 22 of /proc/<pid>/stat (proc(5)); empty for one that has gone, or is a zombie. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return "";
  }
}
