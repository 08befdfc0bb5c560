import { randomBytes } from "node:crypto";
import { type FileHandle, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import { ThroughlineError } from "../../protocol/error.ts";
import type { BackupRow } from "./contents.ts";
import { FORMAT_VERSION } from "./directory.ts";
import { TABLES } from "./record.ts";

/*
 * A backup is one line of JSON, then blocks of rows, then a block of none. The checksum of a block's head follows from all heads before it, and from the line:
 * so what was cut, altered, left out or put elsewhere is seen before anything of it is believed.
 *
 *   line    {"name":"throughline backup","formatVersion":1,"at":"2026-01-31T06:00:00.000Z"}
 *   block   bytes 4 | crc of the rows 4 | crc of these 8, begun with that of the head before 4 | rows
 *   row     table 1 | key bytes 2 | value bytes 4 | key | value
 *
 * Rows are those of record.ts, each with its own checksum over key and value, in the order that contents.ts says.
 */
const NAME = "throughline backup";
const LINE_BYTES_MAX = 1_000;
const BLOCK_HEAD_BYTES = 12;
const ROW_HEAD_BYTES = 7;
/** A block is full at this; a row that is larger has one of its own. */
const BLOCK_BYTES = 256 * 1024;
/** What a backup that was killed has left of its file is taken away by the next one when nobody has written to it for so long. */
const ABANDONED_MS = 60 * 60 * 1_000;

/** Writes a backup beside its place, and puts it there when it is whole and synced. */
export class BackupWriter {
  readonly #path: string;
  readonly #own: string;
  readonly #file: FileHandle;
  #rows: Buffer[] = [];
  #rowsBytes = 0;
  #checksum = 0;
  bytes = 0;

  private constructor(path: string, own: string, file: FileHandle) {
    this.#path = path;
    this.#own = own;
    this.#file = file;
  }

  static async begin(path: string, at: Date): Promise<BackupWriter> {
    await refuseOther(path);
    const own = `${path}.${randomBytes(4).toString("hex")}.new`;
    const file = await open(own, "wx", 0o600).catch(unwritable(path)); // messages are nobody else's business
    const writer = new BackupWriter(path, own, file);
    const line = Buffer.from(`${JSON.stringify({ name: NAME, formatVersion: FORMAT_VERSION, at: at.toISOString() })}\n`);
    writer.#checksum = crc32(line);
    try {
      await clearAbandoned(path).catch(unwritable(path));
      await writer.#write(line);
      return writer;
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }

  async add({ table, key, value }: BackupRow): Promise<void> {
    const head = Buffer.allocUnsafe(ROW_HEAD_BYTES);
    head[0] = TABLES.indexOf(table);
    head.writeUInt16LE(key.length, 1);
    head.writeUInt32LE(value.length, 3);
    this.#rows.push(head, key, value);
    this.#rowsBytes += ROW_HEAD_BYTES + key.length + value.length;
    if (this.#rowsBytes >= BLOCK_BYTES) await this.#block();
  }

  /** The backup is whole, on the disk, and in its place. */
  async end(): Promise<void> {
    if (this.#rowsBytes > 0) await this.#block();
    await this.#block();
    await this.#putInPlace().catch(unwritable(this.#path));
  }

  /** Nothing is left of it, and what was in its place before is still there. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await unlink(this.#own).catch(() => {});
  }

  async #block(): Promise<void> {
    const rows = Buffer.concat(this.#rows);
    const head = Buffer.allocUnsafe(BLOCK_HEAD_BYTES);
    head.writeUInt32LE(rows.length, 0);
    head.writeUInt32LE(crc32(rows), 4);
    this.#checksum = crc32(head.subarray(0, 8), this.#checksum);
    head.writeUInt32LE(this.#checksum, 8);
    this.#rows = [];
    this.#rowsBytes = 0;
    await this.#write(Buffer.concat([head, rows]));
  }

  async #write(bytes: Buffer): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done).catch(unwritable(this.#path));
      done += bytesWritten;
    }
    this.bytes += bytes.length;
  }

  async #putInPlace(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
    await rename(this.#own, this.#path);
    await syncDirectory(dirname(this.#path));
  }
}

/** A backup that is read. Whatever is wrong with it is thrown, with what to do. */
export class BackupReader {
  readonly at: Date;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #lineBytes: number;
  readonly #lineChecksum: number;
  readonly #size: number;

  private constructor(path: string, file: FileHandle, line: Buffer, size: number, at: Date) {
    this.#path = path;
    this.#file = file;
    this.#lineBytes = line.length;
    this.#lineChecksum = crc32(line);
    this.#size = size;
    this.at = at;
  }

  static async open(path: string): Promise<BackupReader> {
    const file = await open(path, "r").catch((error: Error) => {
      throw new ThroughlineError("internal", `The backup ${path} cannot be read: ${error.message}.`, { cause: error });
    });
    try {
      const { size } = await file.stat();
      const line = await readLine(file);
      const head = line === null ? null : parseLine(line);
      if (line === null || head === null) throw refusal(path, "is not a backup of Throughline, or its beginning is damaged");
      if (head.formatVersion > FORMAT_VERSION) {
        throw new ThroughlineError(
          "internal",
          `${path} was made by a newer Throughline (format ${head.formatVersion}; this one reads up to ${FORMAT_VERSION}). Nothing was changed. Restore it with that newer version.`,
        );
      }
      return new BackupReader(path, file, line, size, head.at);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** All rows from the first on, those of a block at a time. */
  async *blocks(): AsyncGenerator<BackupRow[]> {
    let position = this.#lineBytes;
    let checksum = this.#lineChecksum;
    const head = Buffer.allocUnsafe(BLOCK_HEAD_BYTES);
    for (;;) {
      if (!(await this.#fill(head, position))) throw this.damage("it was cut: its end is missing");
      checksum = crc32(head.subarray(0, 8), checksum);
      if (head.readUInt32LE(8) !== checksum) throw this.damage(`the block at byte ${position} has a head that cannot be`);
      position += BLOCK_HEAD_BYTES;
      const length = head.readUInt32LE(0);
      if (length === 0) break;
      if (position + length > this.#size) throw this.damage("it was cut: its end is missing");
      // Afresh for each block: its rows are views of it
      const rows = Buffer.allocUnsafeSlow(length);
      const isRead = await this.#fill(rows, position);
      if (!isRead || head.readUInt32LE(4) !== crc32(rows)) throw this.damage(`the block at byte ${position} has a wrong checksum`);
      position += length;
      yield this.#rowsOf(rows);
    }
    if (position !== this.#size) throw this.damage("it goes on behind its end");
  }

  /** The error that says what is wrong with this backup. */
  damage(what: string): ThroughlineError {
    return refusal(this.#path, `is damaged: ${what}`);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #fill(bytes: Buffer, position: number): Promise<boolean> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, bytes.length - done, position + done);
      if (bytesRead === 0) return false;
      done += bytesRead;
    }
    return true;
  }

  #rowsOf(bytes: Buffer): BackupRow[] {
    const rows: BackupRow[] = [];
    for (let position = 0; position < bytes.length; ) {
      const table = TABLES[bytes[position] as number];
      if (table === undefined || position + ROW_HEAD_BYTES > bytes.length) throw this.damage("it holds a row of no table");
      const keyStart = position + ROW_HEAD_BYTES;
      const valueStart = keyStart + bytes.readUInt16LE(position + 1);
      position = valueStart + bytes.readUInt32LE(position + 3);
      if (position > bytes.length) throw this.damage("it holds a row that ends behind its block");
      rows.push({ table, key: bytes.subarray(keyStart, valueStart), value: bytes.subarray(valueStart, position) });
    }
    return rows;
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function unwritable(path: string): (error: Error) => never {
  return (error) => {
    throw new ThroughlineError(
      "internal",
      `The backup ${path} cannot be written: ${error.message}. None was made, and one that was there before is still there. Make space, or name another place.`,
      { cause: error },
    );
  };
}

function refusal(path: string, what: string): ThroughlineError {
  return new ThroughlineError("internal", `${path} ${what}. Nothing was changed. Use another backup.`);
}

/** The first line with its end; null if there is none that is short. */
async function readLine(file: FileHandle): Promise<Buffer | null> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(LINE_BYTES_MAX), 0, LINE_BYTES_MAX, 0);
  const end = buffer.subarray(0, bytesRead).indexOf("\n");
  return end < 0 ? null : buffer.subarray(0, end + 1);
}

function parseLine(line: Buffer): { formatVersion: number; at: Date } | null {
  try {
    const { name, formatVersion, at } = JSON.parse(line.toString()) as Record<string, unknown>;
    const time = new Date(String(at));
    const isOurs = name === NAME && Number.isInteger(formatVersion) && (formatVersion as number) > 0;
    return isOurs && !Number.isNaN(time.getTime()) ? { formatVersion: formatVersion as number, at: time } : null;
  } catch {
    return null;
  }
}

/** A backup takes the place of a backup, and of nothing else: a slip of the hand must not cost a log. */
async function refuseOther(path: string): Promise<void> {
  const present = await stat(path).catch(() => null);
  if (present === null) return;
  if (present.isFile()) {
    const file = await open(path, "r").catch((error: Error) => {
      throw new ThroughlineError(
        "internal",
        `${path} is there and cannot be read (${error.message}), so it was left as it is. Name another file.`,
      );
    });
    const line = await readLine(file).finally(() => file.close());
    if (present.size === 0 || line?.includes(`"${NAME}"`)) return;
  }
  throw new ThroughlineError("internal", `${path} is there and no backup, so it was left as it is. Name another file.`);
}

async function clearAbandoned(path: string): Promise<void> {
  const [directory, name] = [dirname(path), basename(path)];
  for (const other of await readdir(directory)) {
    if (!other.startsWith(`${name}.`) || !/^\.[0-9a-f]{8}\.new$/.test(other.slice(name.length))) continue;
    const { mtimeMs = Number.POSITIVE_INFINITY } = (await stat(join(directory, other)).catch(() => null)) ?? {};
    if (Date.now() - mtimeMs > ABANDONED_MS) await unlink(join(directory, other)).catch(() => {});
  }
}
