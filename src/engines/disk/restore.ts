import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Era } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { BackupReader, syncDirectory } from "./backup-file.ts";
import { type BackupRow, Contents } from "./contents.ts";
import { DATA_FILE, holdsData, LOCK_FILE, prepareDirectory, prepareFormat, RESTORING_DIRECTORY, refused } from "./directory.ts";
import { Environment } from "./environment.ts";
import { own } from "./owner.ts";
import { readJson, type Write, writeJson } from "./record.ts";
import { type Lost, Replaced } from "./replaced.ts";
import type { Stand } from "./stand.ts";
import type { About } from "./tables.ts";

/** One commit of what is restored. */
const COMMIT_BYTES = 4 * 1024 * 1024;

export interface RestoreOptions {
  /** Puts it in the place of a log that is there. */
  readonly force: boolean;
  /** A new epoch, later than this one. */
  readonly epochAfter: (previous: string) => string;
}

export interface Restored {
  readonly channels: number;
  readonly messages: number;
  /** When the backup was made. */
  readonly at: Date;
  /** What was lost with the log that was there; null if there was none. */
  readonly lost: Lost | null;
}

/**
 * Makes a log of a backup. All of it is read and checked before anything is touched; then it is built beside its place, and put there by a rename.
 *
 * Each channel gets a new epoch that begins behind its last message: what is published from now on is not what was published there after the backup. So a
 * reader that had read beyond is told `truncated` and goes on right behind the backup, and one that had not just goes on. The epochs of a log that is replaced
 * stay known, as having ended there: so its readers, too, are told no more than they must be.
 */
export async function restore(file: string, directory: string, options: RestoreOptions): Promise<Restored> {
  const reader = await BackupReader.open(file);
  try {
    const { channels, messages } = await checkAll(reader);
    prepareDirectory(directory);
    const owner = await own(directory);
    try {
      if (!options.force && holdsData(directory)) throw occupied(directory, reader.at);
      const lost = await replace(directory, reader, options);
      return { channels, messages, at: reader.at, lost };
    } finally {
      owner.release();
    }
  } finally {
    await reader.close();
  }
}

async function checkAll(reader: BackupReader): Promise<Contents> {
  const contents = new Contents();
  try {
    for await (const rows of reader.blocks()) for (const row of rows) contents.take(row);
    contents.end();
    return contents;
  } catch (error) {
    throw error instanceof ThroughlineError ? error : reader.damage((error as Error).message);
  }
}

async function replace(directory: string, reader: BackupReader, options: RestoreOptions): Promise<Lost | null> {
  const place = join(directory, RESTORING_DIRECTORY);
  rmSync(place, { recursive: true, force: true });
  const replaced = await Replaced.open(directory);
  try {
    const putFormat = await build(directory, place, reader, replaced, options);
    await putInPlace(directory, place, putFormat);
    return replaced.lost();
  } finally {
    await replaced.close();
  }
}

/** All that needs space. If it fails nothing is left of it. */
async function build(
  directory: string,
  place: string,
  reader: BackupReader,
  replaced: Replaced,
  options: RestoreOptions,
): Promise<() => void> {
  try {
    const target = new Environment(place);
    try {
      await copy(reader, target, replaced, options);
    } finally {
      await target.close();
    }
    return prepareFormat(directory);
  } catch (error) {
    rmSync(place, { recursive: true, force: true });
    if (error instanceof ThroughlineError) throw error;
    throw refused(
      directory,
      `cannot be written: ${(error as Error).message}. What was there before is still there`,
      "Make space, then restore again.",
    );
  }
}

async function copy(reader: BackupReader, target: Environment, replaced: Replaced, { epochAfter }: RestoreOptions): Promise<void> {
  const continued = (row: BackupRow): Buffer => {
    if (row.table === "about") {
      const about = readJson<About>(row.key, row.value, "The state of the log");
      return writeJson(row.key, { ...about, removedEpoch: later(about.removedEpoch, replaced.latestEpoch) });
    }
    if (row.table !== "channels") return row.value;
    const stand = readJson<Stand>(row.key, row.value, "The head of a channel");
    const eras: Era[] = [...stand.lineage, ...replaced.takeOver(row.key.toString(), stand)];
    const epoch = epochAfter(eras.map((era) => era.epoch).reduce(later));
    const lineage = [...eras, { epoch, start: stand.top + 1 }].slice(-LIMITS.lineageMax);
    // Rows of what was trimmed did not come along
    return writeJson(row.key, { ...stand, lineage, lowest: stand.first });
  };
  let writes: Write[] = [];
  let bytes = 0;
  for await (const rows of reader.blocks()) {
    for (const row of rows) {
      writes.push({ ...row, value: continued(row) });
      bytes += row.key.length + row.value.length;
    }
    if (bytes < COMMIT_BYTES) continue;
    await target.commit(writes);
    writes = [];
    bytes = 0;
  }
  await target.commit(writes);
}

/** While the place of the building is there no server starts: so whatever of this is cut, none begins with half of it. */
async function putInPlace(directory: string, place: string, putFormat: () => void): Promise<void> {
  // Whoever still reads the old log keeps its table of readers with it
  rmSync(join(directory, LOCK_FILE), { force: true });
  renameSync(join(place, DATA_FILE), join(directory, DATA_FILE));
  putFormat();
  await syncDirectory(directory);
  rmSync(place, { recursive: true });
  await syncDirectory(directory);
}

function later(a: string, b: string): string {
  return a > b ? a : b;
}

function occupied(directory: string, at: Date): ThroughlineError {
  return refused(
    directory,
    "holds a log, which was left as it is",
    `To put the backup in its place add --force: what was stored after ${at.toISOString()} is lost then. Or name another directory.`,
  );
}
