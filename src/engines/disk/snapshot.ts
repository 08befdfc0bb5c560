import { type Database, open, type RootDatabase, type Transaction } from "lmdb";
import type { Row } from "./environment.ts";
import { TABLES, type Table } from "./record.ts";

/**
 * What a directory holds at one moment, read by a process that does not own it. The owner goes on writing meanwhile; but no page of that moment is used
 * again until this is closed, so its file grows by what is written in that time.
 */
export class Snapshot {
  readonly #root: RootDatabase<Buffer, Buffer>;
  readonly #tables: Record<Table, Database<Buffer, Buffer>>;
  readonly #transaction: Transaction;

  constructor(directory: string) {
    const binary = { encoding: "binary", keyEncoding: "binary" } as const;
    this.#root = open<Buffer, Buffer>({ path: directory, noSubdir: false, maxDbs: TABLES.length, readOnly: true, ...binary });
    try {
      this.#tables = Object.fromEntries(TABLES.map((name) => [name, this.#root.openDB({ name, ...binary })])) as Record<
        Table,
        Database<Buffer, Buffer>
      >;
      // biome-ignore lint/correctness/useHookAtTopLevel: this is LMDB's, and no hook
      this.#transaction = this.#root.useReadTransaction();
    } catch (error) {
      void this.#root.close();
      throw error;
    }
  }

  get(table: Table, key: Buffer): Buffer | undefined {
    const [row] = this.rows(table, key, Buffer.concat([key, Buffer.from([0])]));
    return row?.value;
  }

  /** From `start` on, before `end`, in the order of their keys. Whoever waits between two of them still reads of that one moment. */
  *rows(table: Table, start: Buffer, end: Buffer): Generator<Row> {
    for (const { key, value } of this.#tables[table].getRange({ start, end, transaction: this.#transaction })) {
      yield { key: Buffer.from(key), value: Buffer.from(value) };
    }
  }

  async close(): Promise<void> {
    this.#transaction.done();
    await this.#root.close();
  }
}
