import { closeSync, fstatSync, openSync, readSync, write, writeSync } from "node:fs";
import type { Write } from "./record.ts";

/** Where these stand in a meta page (MDB_meta, behind a head of 24 bytes). */
const META_LAST_PAGE = 24 + 120;
const META_TRANSACTION = 24 + 128;
const META_PAGE_BYTES = 24 + 24;
/** The file grows by this at least. */
const GROWTH_BYTES = 256 * 1024;
/** What a disk has room for that counts as able to store: the largest message that is taken as it comes, and what goes with it. A little is left on most that are full. */
const SPARE_BYTES = 2 * 1024 * 1024;
/** Pages that a commit may take beyond its rows: branches, the list of free pages. */
const PAGES_BESIDES = 64;
const ZEROS = Buffer.alloc(GROWTH_BYTES);

/**
 * Looks whether the disk takes a commit, before LMDB begins it: the data file is made longer, with zeros, where the commit might need it. A full disk (or
 * quota, or file size limit), or a file system that has become read-only, then shows here, as a plain error with its name, and not inside of LMDB. There it
 * would be worse than an error: lmdb 3.5.6 formats its message "Attempting to write page at position …" into 100 bytes, which is too few where its numbers
 * are long, and glibc may end the process ("corrupted size vs. prev_size", found by injecting errors with strace). What is left: a disk that begins to
 * refuse between this look and LMDB's write, a millisecond later, and file systems that copy on write, which may run out of space inside of LMDB. A process
 * that ends so has lost nothing that it acknowledged.
 */
export class Room {
  readonly #file: number;
  readonly #pageBytes: number;

  constructor(path: string) {
    this.#file = openSync(path, "r+");
    this.#pageBytes = this.#numberAt(META_PAGE_BYTES, 4);
  }

  /**
   * Throws the operating system's error if there is no room for these writes, or the file system has become read-only (as ext4 does after an error). While a commit is under way
   * it must not be called.
   */
  takeFor(writes: readonly Write[]): void {
    // Of no bytes: the file system says whether it takes any (0.5 us). access(2) does not know that of an ext4 that has given up (Linux 6.18)
    writeSync(this.#file, ZEROS, 0, 0, 0);
    this.#growTo(this.#lastPageEnd() + this.#bytesOf(writes));
  }

  /** The same of what may be published next. */
  takeSpare(): void {
    this.#growTo(this.#lastPageEnd() + SPARE_BYTES);
  }

  /** Whether the file system takes any write, asked where it may take its time: not on the event loop. */
  probe(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      write(this.#file, ZEROS, 0, 0, 0, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    closeSync(this.#file);
  }

  #growTo(end: number): void {
    // As it is now: a commit that took more than was foreseen has made the file longer itself, and what stands there is not to be written over
    let { size } = fstatSync(this.#file);
    // In steps: what was written stays taken, also if the next step fails
    while (size < end) size += writeSync(this.#file, ZEROS, 0, ZEROS.length, size);
  }

  /**
   * Rows of one log come in order and fill pages, beginning on pages of its own: its entries at both ends, its keys' ages. Other rows may each touch a page of
   * their own. A value larger than half a page has pages of its own.
   */
  #bytesOf(writes: readonly Write[]): number {
    let bytes = PAGES_BESIDES * this.#pageBytes;
    let log = -1;
    for (const { table, key, value } of writes) {
      if (value !== null) bytes += value.length < this.#pageBytes / 2 ? 2 * (value.length + 32) : value.length + 2 * this.#pageBytes;
      if (table !== "entries" && table !== "ages") bytes += this.#pageBytes;
      else if (log !== key.readUIntBE(0, 6)) {
        log = key.readUIntBE(0, 6);
        bytes += 3 * this.#pageBytes;
      }
    }
    return bytes;
  }

  /** From the newer of the two meta pages, as LMDB chooses. */
  #lastPageEnd(): number {
    const [first, second] = [0, this.#pageBytes] as const;
    const newer = this.#numberAt(first + META_TRANSACTION, 6) >= this.#numberAt(second + META_TRANSACTION, 6) ? first : second;
    return (this.#numberAt(newer + META_LAST_PAGE, 6) + 1) * this.#pageBytes;
  }

  #numberAt(position: number, length: number): number {
    const bytes = Buffer.alloc(length);
    readSync(this.#file, bytes, 0, length, position);
    return bytes.readUIntLE(0, length);
  }
}
