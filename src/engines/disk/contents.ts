import { idKey, isWhole, offsetKey, offsetOf, readJson, type Table } from "./record.ts";
import type { Stand } from "./stand.ts";
import { ABOUT_KEY } from "./tables.ts";

/** One row of a backup. */
export interface BackupRow {
  readonly table: Table;
  readonly key: Buffer;
  readonly value: Buffer;
}

/**
 * What a backup holds, in this order, whoever writes or reads it: the row of `about`; then of each channel its row of `channels`, all of its entries, its
 * keys and their ages. Each row is checked as it passes, and that none is missing: what is not whole is thrown as an `Error` that names it.
 */
export class Contents {
  channels = 0;
  messages = 0;
  keys = 0;
  /** The channel whose rows pass. */
  #channel = "";
  #stand: Stand | null = null;
  #next = 1;
  #hasAbout = false;

  take({ table, key, value }: BackupRow): void {
    if (!isWhole(table, key, value)) throw new Error(`${this.#nameOf(table, key)} has a wrong checksum`);
    if (table === "about") {
      if (this.#hasAbout || !key.equals(ABOUT_KEY)) throw new Error("a row stands where none should be");
      this.#hasAbout = true;
      return;
    }
    if (!this.#hasAbout) throw new Error("the state of the log is missing");
    if (table === "channels") this.#begin(key, value);
    else this.#continue(table, key);
  }

  /** After the last row. */
  end(): void {
    if (!this.#hasAbout) throw new Error("it holds nothing");
    this.#endChannel();
  }

  #begin(key: Buffer, value: Buffer): void {
    this.#endChannel();
    this.#channel = key.toString();
    this.#stand = readJson<Stand>(key, value, `The head of channel ${this.#channel}`);
    this.#next = this.#stand.first;
    this.channels++;
  }

  #continue(table: Table, key: Buffer): void {
    const stand = this.#stand;
    if (stand === null || table === "removed" || !key.subarray(0, 6).equals(idKey(stand.id))) {
      throw new Error("a row stands where none should be");
    }
    if (table === "keys") this.keys++;
    if (table !== "entries") return;
    if (!key.equals(offsetKey(stand.id, this.#next))) throw new Error(`${this.#messageAt(this.#next)} is missing`);
    this.#next++;
    this.messages++;
  }

  #endChannel(): void {
    if (this.#stand !== null && this.#next <= this.#stand.top) throw new Error(`${this.#messageAt(this.#next)} is missing`);
  }

  #nameOf(table: Table, key: Buffer): string {
    switch (table) {
      case "entries":
        return key.length === 14 ? this.#messageAt(offsetOf(key)) : "a message";
      case "channels":
        return `the head of channel ${JSON.stringify(key.toString())}`;
      case "keys":
      case "ages":
        return `a key of channel ${JSON.stringify(this.#channel)}`;
      case "removed":
      case "about":
        return "the state of the log";
    }
  }

  #messageAt(offset: number): string {
    return `message ${offset} of channel ${JSON.stringify(this.#channel)}`;
  }
}
