import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { DATA_FILE } from "./directory.ts";
import { TABLES, type Table, type Write } from "./record.ts";
import { Room } from "./room.ts";

/** So often a look at who has read and died: a backup that was killed would keep the pages of its moment from being used again, and the file would grow for ever. */
const COMMITS_PER_READER_CHECK = 500;

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** Tables of bytes, of which a commit changes all that it names or none: what the decisions of this engine rest on. `Environment` is the one on a disk. */
export interface Store {
  /** The value, to be used before the next is asked for, which may take its place; undefined if there is none. What is read in one turn of the event loop, without an await, is of one moment. */
  get(table: Table, key: Buffer): Buffer | undefined;
  /** Up to `limit` rows from `start` on, before `end`, in the order of their keys. */
  rows(table: Table, start: Buffer, end: Buffer, limit: number): Row[];
  /** The same without the values, which may be large. */
  keys(table: Table, start: Buffer, end: Buffer, limit: number): Buffer[];
  /** Makes all writes, or none. Resolves once they are synced to the disk. Rejects with a `CommitError`. One at a time. */
  commit(writes: readonly Write[]): Promise<void>;
  /** Whether the disk would take a message now. Rejects with what it says. Writes nothing that anybody reads. */
  look(): Promise<void>;
  close(): Promise<void>;
}

/** A commit that failed. Nothing of it stands unless `uncertain`. */
export class CommitError extends Error {
  override readonly name = "CommitError";
  readonly code: number | undefined;
  /** The last page, which makes a commit stand, was being written when it failed: it may be on the disk or not. */
  readonly uncertain: boolean;

  constructor(message: string, code: number | undefined, uncertain: boolean) {
    super(message);
    this.code = code;
    this.uncertain = uncertain;
  }
}

/**
 * The LMDB environment of a directory: tables of bytes, snapshots for reading, one transaction at a time for writing.
 *
 * How a commit works, and so what a failure means (liblmdb, mdb_txn_commit): pages are written to free places, then fdatasync, and only then the
 * meta page that makes them the tree, through a descriptor opened O_DSYNC. A disk that is full or fails before that leaves the tree as it was: nothing
 * stands, and the same places are written afresh by the next commit, so no fsync is tried twice on pages that the kernel has given up. If the meta
 * page itself fails, LMDB marks the environment as dead (MDB_PANIC), which `commit` finds by reading: then the outcome is uncertain until it is opened anew.
 */
export class Environment implements Store {
  readonly #room: Room;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables: Record<Table, Database<Buffer, Buffer>>;
  #commits = 0;
  #committing: Promise<void> | null = null;
  #isClosed = false;

  constructor(directory: string) {
    const binary = { encoding: "binary", keyEncoding: "binary" } as const;
    this.#root = open<Buffer, Buffer>({
      path: directory,
      noSubdir: false,
      maxDbs: TABLES.length,
      // With it (lmdb's default) a commit is answered before it is synced
      overlappingSync: false,
      // With it lmdb makes a promise of its own for each turn, which nobody can catch: a full disk would end the process as an unhandled rejection
      eventTurnBatching: false,
      ...binary,
    });
    try {
      this.#tables = Object.fromEntries(TABLES.map((name) => [name, this.#root.openDB({ name, ...binary })])) as Record<
        Table,
        Database<Buffer, Buffer>
      >;
      this.#room = new Room(join(directory, DATA_FILE));
    } catch (error) {
      void this.#root.close();
      throw error;
    }
  }

  get(table: Table, key: Buffer): Buffer | undefined {
    // A view of the one buffer that lmdb reads into: a copy of each message is garbage outside of V8's heap. Beside a reader that caught up with 100 MB memory
    // peaked 20 MB higher than without it; 8 MB since there are no copies, and turns (core/turns.ts)
    const value = this.#tables[table].getBinaryFast(key);
    return value && Buffer.from(value.buffer, value.byteOffset, value.length);
  }

  rows(table: Table, start: Buffer, end: Buffer, limit: number): Row[] {
    const rows: Row[] = [];
    for (const { key, value } of this.#tables[table].getRange({ start, end, limit, snapshot: true })) {
      rows.push({ key: Buffer.from(key), value: Buffer.from(value) });
    }
    return rows;
  }

  keys(table: Table, start: Buffer, end: Buffer, limit: number): Buffer[] {
    return [...this.#tables[table].getKeys({ start, end, limit })].map((key) => Buffer.from(key));
  }

  async commit(writes: readonly Write[]): Promise<void> {
    this.#committing = this.#commit(writes);
    try {
      await this.#committing;
    } finally {
      this.#committing = null;
    }
  }

  async look(): Promise<void> {
    await this.#room.probe();
    while (this.#committing !== null) await this.#committing.catch(() => {});
    if (!this.#isClosed) this.#room.takeSpare();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#room.close();
    await this.#root.close();
  }

  async #commit(writes: readonly Write[]): Promise<void> {
    if (++this.#commits % COMMITS_PER_READER_CHECK === 0) this.#root.readerCheck();
    try {
      this.#room.takeFor(writes);
    } catch (error) {
      const { message, errno } = error as NodeJS.ErrnoException;
      throw new CommitError(message, errno === undefined ? undefined : Math.abs(errno), false);
    }
    try {
      await this.#root.batch(() => {
        for (const { table, key, value } of writes) {
          if (value === null) this.#tables[table].remove(key);
          else this.#tables[table].put(key, value);
        }
      });
    } catch (error) {
      const cause = await causeOf(error);
      throw new CommitError(cause.message, cause.code, !this.#isAlive());
    }
  }

  #isAlive(): boolean {
    try {
      this.#root.resetReadTxn();
      this.get("about", Buffer.from("commit"));
      return true;
    } catch {
      return false;
    }
  }
}

/** lmdb rejects with "see commitError", a second promise that rejects with the reason: to leave that one alone would end the process. */
async function causeOf(error: unknown): Promise<{ message: string; code: number | undefined }> {
  const { commitError } = error as { commitError?: Promise<unknown> };
  const cause = (await commitError?.catch((reason: unknown) => reason)) ?? error;
  const { message = String(cause), code } = cause as { message?: string; code?: unknown };
  return { message, code: typeof code === "number" ? code : undefined };
}
