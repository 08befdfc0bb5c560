import { statSync } from "node:fs";
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { DATA_FILE, LOCK_FILE } from "./directory.ts";
import type { Store } from "./environment.ts";
import { TABLES, type Table } from "./record.ts";

/** The tables of a directory as they are now, for a process that does not own it. The owner goes on writing. */
export class Reading {
  readonly #directory: string;
  readonly #files: string;
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables: Record<Table, Database<Buffer, Buffer>>;

  constructor(directory: string) {
    this.#directory = directory;
    this.#files = filesOf(directory);
    const binary = { encoding: "binary", keyEncoding: "binary" } as const;
    this.#root = open<Buffer, Buffer>({ path: directory, noSubdir: false, maxDbs: TABLES.length, readOnly: true, ...binary });
    try {
      // A process that was killed while it read has left its mark, and the pages of that moment would be kept for it
      this.#root.readerCheck();
      this.#tables = Object.fromEntries(TABLES.map((name) => [name, this.#root.openDB({ name, ...binary })])) as Record<
        Table,
        Database<Buffer, Buffer>
      >;
    } catch (error) {
      void this.#root.close();
      throw error;
    }
  }

  /** Whether other files have taken the place of these: a backup was restored, or LMDB's table of readers deleted, without which nobody sees what the other does. */
  isReplaced(): boolean {
    return filesOf(this.#directory) !== this.#files;
  }

  /**
   * All that `look` reads is of one moment, which is now: lmdb by itself would go on with the moment of an earlier read in the same turn of the event loop, from before what
   * this process was told since. And no longer than now: the pages of a moment that is looked at cannot be used again.
   */
  now<Seen>(look: (store: Pick<Store, "get">) => Seen): Seen {
    this.#root.resetReadTxn();
    try {
      return look(this);
    } finally {
      this.#root.resetReadTxn();
    }
  }

  /** To be used before the next is asked for, which may take its place. */
  get(table: Table, key: Buffer): Buffer | undefined {
    const value = this.#tables[table].getBinaryFast(key);
    return value && Buffer.from(value.buffer, value.byteOffset, value.length);
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}

function filesOf(directory: string): string {
  return [DATA_FILE, LOCK_FILE].map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.ino).join();
}
