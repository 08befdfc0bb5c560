import { readdirSync, readFileSync, readlinkSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ThroughlineError } from "../../protocol/error.ts";
import { refused } from "./directory.ts";

/** How often an owner shows that it lives, and how long another waits for that sign where it cannot see the owner's process. */
const HEARTBEAT_MS = 2_000;
const WATCH_MS = 5_000;
const ATTEMPTS_MAX = 20;
const FILE = /^owner-(\d{12})$/;

/** Who owns, or owned, a directory. */
interface Holder {
  readonly pid: number;
  /** When the process started, in the kernel's count: a process id alone may have gone to another process. */
  readonly started: string;
  /** Where process ids mean the same: one boot of one machine (or container). */
  readonly space: string;
  readonly host: string;
  readonly released?: true;
}

/** Somebody else owns the directory now. */
export class InUse extends ThroughlineError {}

export interface Owner {
  release(): void;
}

/**
 * Takes a directory for this process, or throws: two writers would give one offset to two messages.
 *
 * The file `owner-<generation>` names the owner. A new owner makes the next generation, which only one process can (O_EXCL), after it has seen that
 * the one before has released it or is dead; so nothing needs to be cleaned up after kill -9. The newest file always stays, that generations never go back.
 * Containers that share a volume cannot see each other's processes: there a heartbeat (the file's mtime) tells, and taking over a dead owner takes 5 seconds.
 */
export async function own(directory: string): Promise<Owner> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const newest = generations(directory).at(-1) ?? 0;
    if (newest > 0) await refuseIfHeld(directory, newest);
    const mine = newest + 1;
    const path = fileOf(directory, mine);
    const holder = { pid: process.pid, started: startOf(process.pid), space: SPACE, host: hostname() };
    try {
      writeFileSync(path, JSON.stringify(holder), { flag: "wx" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      remove(path);
      throw refused(directory, `cannot be written: ${(error as Error).message}`, "Make space, or mend the disk.");
    }
    // One that listed the files long ago may have made a generation that was there and gone: the newest wins
    if (generations(directory).at(-1) !== mine) {
      remove(path);
      continue;
    }
    for (const older of generations(directory)) if (older < mine) remove(fileOf(directory, older));
    return hold(path, holder);
  }
  throw new ThroughlineError(
    "internal",
    `${directory} could not be taken: others keep opening and closing it. See which processes use it.`,
  );
}

function hold(path: string, holder: Holder): Owner {
  let isBeating = false;
  const heart = setInterval(async () => {
    // On a disk that hangs a beat takes as long as it hangs: not on the event loop, and one at a time
    if (isBeating) return;
    isBeating = true;
    const now = new Date();
    // A disk that fails now is told of by the next commit
    await utimes(path, now, now).catch(() => {});
    isBeating = false;
  }, HEARTBEAT_MS);
  heart.unref();
  return {
    release() {
      clearInterval(heart);
      try {
        writeFileSync(path, JSON.stringify({ ...holder, released: true }));
      } catch {
        // A full disk: then the next owner sees that this process is gone
      }
    },
  };
}

/** Whether some process owns the directory now. */
export async function isOwned(directory: string): Promise<boolean> {
  const newest = generations(directory).at(-1) ?? 0;
  return newest > 0 && (await holderOf(directory, newest)) !== null;
}

/** Whether whoever owns it has process ids that mean nothing here: that of another container, say. */
export async function isOwnedElsewhere(directory: string): Promise<boolean> {
  const newest = generations(directory).at(-1) ?? 0;
  const holder = newest > 0 ? await readHolder(fileOf(directory, newest)) : null;
  return holder !== null && holder.space !== SPACE;
}

async function refuseIfHeld(directory: string, generation: number): Promise<void> {
  const holder = await holderOf(directory, generation);
  if (holder === null) return;
  const who = holder.pid === process.pid && holder.space === SPACE ? "this process" : `process ${holder.pid} on ${holder.host}`;
  throw new InUse(
    "internal",
    `${directory} is in use by ${who}, and only one process may write to it. Stop that one, or give this one a directory of its own.`,
  );
}

/** Who holds it as this generation; null if nobody does any more. */
async function holderOf(directory: string, generation: number): Promise<Holder | null> {
  const path = fileOf(directory, generation);
  const holder = await readHolder(path);
  if (holder === null || holder.released === true) return null;
  const isHeld = holder.space === SPACE ? isRunning(holder) : await showsLife(path);
  return isHeld ? holder : null;
}

/** Null where the file has gone, or its maker died before it had written its name. */
async function readHolder(path: string): Promise<Holder | null> {
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      return JSON.parse(readFileSync(path, "utf8")) as Holder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      await sleep(20); // it is being written this moment
    }
  }
  return null;
}

function isRunning({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return startOf(pid) === started;
}

async function showsLife(path: string): Promise<boolean> {
  const before = mtimeOf(path);
  for (let waitedMs = 0; waitedMs < WATCH_MS; waitedMs += 250) {
    await sleep(250);
    if (mtimeOf(path) !== before) return true;
  }
  return false;
}

function mtimeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function generations(directory: string): number[] {
  const names = readdirSync(directory).map((name) => FILE.exec(name)?.[1]);
  return names
    .filter((name) => name !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

function fileOf(directory: string, generation: number): string {
  return join(directory, `owner-${String(generation).padStart(12, "0")}`);
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Another owner was quicker
  }
}

/**
 * Field 22 of /proc/<pid>/stat (proc(5)), counted behind the name, which may hold spaces. A zombie (killed, its parent has not looked yet) holds nothing
 * and counts as gone. Empty where there is no /proc: then the id alone must do.
 */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? "gone" : (fields[19] ?? "");
  } catch {
    return "";
  }
}

const SPACE = spaceOfProcessIds();

function spaceOfProcessIds(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}
