import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ThroughlineError } from "../../protocol/error.ts";

/** Goes up when what stands on the disk, or in a backup, changes so that an older version would misread it. */
export const FORMAT_VERSION = 1;
const FORMAT_FILE = "format.json";
/** Where a restore builds a log before it takes its place. */
export const RESTORING_DIRECTORY = "restoring";
export const DATA_FILE = "data.mdb";
/** Of LMDB: who reads, and up to which commit. */
export const LOCK_FILE = "lock.mdb";
/** What an empty log takes on the disk, and a little. */
const FREE_BYTES_MIN = 512 * 1024;

/** Makes the directory, or checks that it is ours to read and write. Throws with what to do. */
export function prepareDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
    if (!statSync(directory).isDirectory()) throw Object.assign(new Error("it is not a directory"), { code: "ENOTDIR" });
  } catch (error) {
    throw refused(
      directory,
      `cannot be made: ${(error as Error).message}`,
      "Name a directory, not a file, in a place where this user may write.",
    );
  }
  for (const path of [directory, join(directory, DATA_FILE), join(directory, LOCK_FILE)]) {
    if (!existsSync(path)) continue;
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
    } catch (error) {
      const user = process.getuid?.() ?? "this user";
      const owner = statSync(path).uid;
      throw refused(
        directory,
        `cannot be written by user ${user}: ${path} belongs to user ${owner} (${(error as Error).message})`,
        "Give it to the user that runs the server (chown -R), or mount it writable.",
      );
    }
  }
}

/** Whether there is a log. Throws if it is not one that this version can read; changes nothing. */
export function findLog(directory: string): boolean {
  if (existsSync(join(directory, RESTORING_DIRECTORY))) {
    throw refused(
      directory,
      "is being restored, or that was cut in the middle",
      `Restore it again; or, to go on with what was there before, delete ${RESTORING_DIRECTORY} in it.`,
    );
  }
  const path = join(directory, FORMAT_FILE);
  if (!existsSync(path)) {
    if (!existsSync(join(directory, DATA_FILE))) return false;
    throw refused(
      directory,
      `has a ${DATA_FILE} but no ${FORMAT_FILE}, so it was not made by Throughline, or was copied in part`,
      "Choose an empty directory, or copy all of it.",
    );
  }
  const found = readFormat(directory, path);
  if (found > FORMAT_VERSION) {
    throw refused(
      directory,
      `was written by a newer Throughline (format ${found}; this one reads up to ${FORMAT_VERSION}). Nothing was changed`,
      "Start that newer version, or restore a backup made with this one.",
    );
  }
  return holdsData(directory);
}

/** Of a process that was killed before its first page there is an empty file, or none. */
export function holdsData(directory: string): boolean {
  return (statSync(join(directory, DATA_FILE), { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** The same as `findLog`, and if the directory is empty writes the version of the format. */
export function checkFormat(directory: string): void {
  if (findLog(directory)) return;
  if (existsSync(join(directory, FORMAT_FILE))) return;
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize < FREE_BYTES_MIN) throw refused(directory, `has less than ${FREE_BYTES_MIN} bytes free`, "Make space first.");
  prepareFormat(directory)();
}

/** Writes the version of the format, synced, beside its place. What is returned puts it there, which takes no space. */
export function prepareFormat(directory: string): () => void {
  const path = join(directory, FORMAT_FILE);
  const file = openSync(`${path}.new`, "w");
  try {
    writeFileSync(file, `${JSON.stringify({ name: "throughline", formatVersion: FORMAT_VERSION })}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return () => renameSync(`${path}.new`, path);
}

function readFormat(directory: string, path: string): number {
  try {
    const { formatVersion } = JSON.parse(readFileSync(path, "utf8")) as { formatVersion?: unknown };
    if (typeof formatVersion === "number" && Number.isInteger(formatVersion) && formatVersion > 0) return formatVersion;
  } catch (error) {
    throw refused(directory, `has a ${FORMAT_FILE} that cannot be read: ${(error as Error).message}`, "Restore it from a backup.");
  }
  throw refused(directory, `has a ${FORMAT_FILE} without a formatVersion`, "Restore it from a backup.");
}

export function refused(directory: string, what: string, next: string): ThroughlineError {
  return new ThroughlineError("internal", `The directory ${directory} ${what}. ${next}`);
}
