import { existsSync } from "node:fs";
import { ThroughlineError } from "../../protocol/error.ts";
import { BackupWriter } from "./backup-file.ts";
import { checkData } from "./check.ts";
import { type BackupRow, Contents } from "./contents.ts";
import { findLog, prepareDirectory, refused } from "./directory.ts";
import { isOwned } from "./owner.ts";
import { idKey, offsetKey, readJson } from "./record.ts";
import { Snapshot } from "./snapshot.ts";
import type { Stand } from "./stand.ts";
import { ABOUT_KEY, NAMES } from "./tables.ts";

export interface BackedUp {
  readonly channels: number;
  readonly messages: number;
  readonly bytes: number;
  /** Whatever was acknowledged before this is in it. */
  readonly at: Date;
}

/**
 * Copies what a directory holds at one moment to a file, in a process that need not own it: a server may go on writing. Rows are copied one by one, and not
 * LMDB's pages (its own copy is faster, and takes a damaged page along, or dies of it): so every row is checked on its way, what was trimmed stays behind, and
 * the file can be read by whatever comes after LMDB. Memory does not grow with the log.
 */
export async function backup(directory: string, file: string, signal: AbortSignal): Promise<BackedUp> {
  if (!existsSync(directory) || !findLog(directory)) throw refused(directory, "has no log", "Name the directory of the server: --data.");
  prepareDirectory(directory);
  await checkIdle(directory);
  const at = new Date();
  const snapshot = openSnapshot(directory);
  try {
    const writer = await BackupWriter.begin(file, at);
    try {
      const contents = new Contents();
      for (const row of rowsOf(snapshot)) {
        signal.throwIfAborted();
        contents.take(row);
        await writer.add(row);
      }
      contents.end();
      await writer.end();
      return { channels: contents.channels, messages: contents.messages, bytes: writer.bytes, at };
    } catch (error) {
      await writer.discard();
      if (signal.aborted) throw new ThroughlineError("aborted", "It was interrupted: no backup was made.");
      if (error instanceof ThroughlineError) throw error;
      throw unfit(directory, error);
    }
  } finally {
    await snapshot.close();
  }
}

/** A server that runs has looked at it when it started; and while it writes nobody else can. So what was found while one came counts for nothing. */
async function checkIdle(directory: string): Promise<void> {
  if (await isOwned(directory)) return;
  try {
    await checkData(directory);
  } catch (error) {
    if (!(await isOwned(directory))) throw error;
  }
}

function openSnapshot(directory: string): Snapshot {
  try {
    return new Snapshot(directory);
  } catch (error) {
    throw unfit(directory, error);
  }
}

/** In the order that `Contents` says. */
function* rowsOf(snapshot: Snapshot): Generator<BackupRow> {
  const about = snapshot.get("about", ABOUT_KEY);
  if (about !== undefined) yield { table: "about", key: ABOUT_KEY, value: about };
  for (const { key, value } of snapshot.rows("channels", ...NAMES)) {
    yield { table: "channels", key, value };
    const { id, first } = readJson<Stand>(key, value, `The head of channel ${JSON.stringify(key.toString())}`);
    for (const row of snapshot.rows("entries", offsetKey(id, first), idKey(id + 1))) yield { table: "entries", ...row };
    for (const table of ["keys", "ages"] as const) {
      for (const row of snapshot.rows(table, idKey(id), idKey(id + 1))) yield { table, ...row };
    }
  }
}

function unfit(directory: string, error: unknown): ThroughlineError {
  return refused(
    directory,
    `cannot be backed up: ${(error as Error).message}. No backup was made`,
    "Check the disk; restore an earlier backup, or remove what is damaged.",
  );
}
