import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { DATA_FILE, refused } from "./directory.ts";
import { isRowIntact, TABLES, type Table } from "./record.ts";

/*
 * LMDB trusts its file: a page whose header went bad makes it read outside of the map, which ends the process with a signal and no word. So the tree is
 * walked here, before LMDB sees it, with every bound checked and every row's checksum compared. Layout: liblmdb mdb.c as lmdb 3.5 ships it, 64 bits, little
 * endian: MDB_page_header (24 bytes), MDB_node (8), MDB_db (48), MDB_meta. What is checked is the newer of the two meta pages, as LMDB will choose.
 */
const META_BYTES = 144;
const HEAD_BYTES = 24;
const NODE_BYTES = 8;
const TREE_BYTES = 48;
const MAGIC = 0xbeefc0de;
/** Of LMDB 0.9.90 and later. */
const DATA_VERSION = 2;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const META = 0x08;
const BIG_DATA = 0x01;
const SUB_TREE = 0x02;
const NO_ROOT = 0xffff_ffff_ffff_ffffn;
const DEPTH_MAX = 32;

/** Rows of these are compared here: one that is not found is taken for one that never was. A missing entry is an error when it is read. */
const COMPARED: ReadonlySet<string> = new Set<Table>(["channels", "keys", "removed", "about"]);

/** Checking ends here and what is left is trusted: branches come first, so that it is only leaves. */
const CHECK_MS_MAX = 3_000;
const PAGES_PER_TURN = 256;

/** A page, and the keys that may be below it: from `low` on, before `high`. A row elsewhere would never be found, and be taken for one that is not there. */
interface Place {
  readonly page: bigint;
  readonly low: Buffer | null;
  readonly high: Buffer | null;
}

interface Tree {
  /** Empty for LMDB's own two: the list of free pages, and the list of tables. */
  readonly table: string;
  /** Kinds of trees that LMDB knows (MDB_db.md_flags); ours are plain. */
  readonly flags: number;
  readonly root: bigint;
  readonly depth: number;
  /** How many there should be of each: a page that lost a pointer is sound in itself. */
  readonly branchCount: bigint;
  readonly leafCount: bigint;
  readonly rowCount: bigint;
  /** Rows seen. */
  rows: bigint;
}

/** Throws if the data file is not one that LMDB can be trusted with. */
export async function checkData(directory: string): Promise<void> {
  const path = join(directory, DATA_FILE);
  if (!existsSync(path)) return;
  const file = openSync(path, "r");
  try {
    if (fstatSync(file).size === 0) return; // created, and killed before its first page: LMDB begins it anew
    await new Check(file).run();
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    throw refused(
      directory,
      `has a damaged ${DATA_FILE}: ${error.message}. Nothing was changed`,
      "Check the disk, and restore the directory from a backup; readers are told what is missing.",
    );
  } finally {
    closeSync(file);
  }
}

class Damage extends Error {}

class Check {
  readonly #file: number;
  readonly #size: number;
  #pageBytes = 4096;
  #pageCount = 0n;
  readonly #leaves: { place: Place; tree: Tree }[] = [];
  readonly #tables: Tree[] = [];
  #checked = 0;

  constructor(file: number) {
    this.#file = file;
    this.#size = fstatSync(file).size;
  }

  async run(): Promise<void> {
    const startMs = performance.now();
    if (endianness() !== "LE") return;
    for (const tree of this.#readMeta()) await this.#walk(tree);
    this.#checkTables();
    for (const { place, tree } of this.#leaves) {
      if (performance.now() - startMs > CHECK_MS_MAX) return;
      await this.#checkLeaf(place, tree);
    }
    for (const { table, rows, rowCount } of this.#tables)
      if (rows !== rowCount) throw new Damage(`the table ${table} has ${rows} rows of ${rowCount}`);
  }

  /** A table that is missing from the list would be made anew, empty. All are made at the first opening, before any has a row. */
  #checkTables(): void {
    const isComplete = this.#tables.map(({ table }) => table).join() === [...TABLES].sort().join();
    const isNew = this.#tables.every(({ root, table }) => root === NO_ROOT && TABLES.includes(table as Table));
    if (!isComplete && !isNew) throw new Damage(`its list of tables is wrong: ${this.#tables.map(({ table }) => JSON.stringify(table))}`);
  }

  #readMeta(): Tree[] {
    const first = this.#metaAt(0);
    this.#pageBytes = first.readUInt32LE(HEAD_BYTES + 24);
    if (![4096, 8192, 16384, 32768, 65536].includes(this.#pageBytes)) throw new Damage(`its pages would have ${this.#pageBytes} bytes`);
    const second = this.#metaAt(this.#pageBytes);
    const meta = first.readBigUInt64LE(HEAD_BYTES + 128) >= second.readBigUInt64LE(HEAD_BYTES + 128) ? first : second;
    this.#pageCount = meta.readBigUInt64LE(HEAD_BYTES + 120) + 1n;
    // LMDB leaves the last pages unwritten where they are free again in the commit that took them; room.ts has made the file longer than that before
    if (this.#pageCount * BigInt(this.#pageBytes) > BigInt(this.#size))
      throw new Damage(`it was cut: ${this.#size} bytes, and its head says ${this.#pageCount} pages of ${this.#pageBytes}`);
    if (meta.readUInt32LE(HEAD_BYTES + 24) !== this.#pageBytes) throw new Damage("its two heads do not agree");
    return [this.#treeAt("", meta, HEAD_BYTES + 24), this.#treeAt("", meta, HEAD_BYTES + 72)];
  }

  #metaAt(position: number): Buffer {
    const head = this.#read(position, HEAD_BYTES + META_BYTES, "its head");
    if (!(head.readUInt16LE(18) & META) || head.readUInt32LE(HEAD_BYTES) !== MAGIC)
      throw new Damage("its head is not that of an LMDB file");
    const version = head.readUInt32LE(HEAD_BYTES + 4);
    if ((version & 0xffff) !== DATA_VERSION) throw new Damage(`its head says version ${version} of LMDB's format, not ${DATA_VERSION}`);
    return head;
  }

  #treeAt(table: string, bytes: Buffer, position: number): Tree {
    return {
      table,
      flags: bytes.readUInt16LE(position + 4),
      depth: bytes.readUInt16LE(position + 6),
      branchCount: bytes.readBigUInt64LE(position + 8),
      leafCount: bytes.readBigUInt64LE(position + 16),
      rowCount: bytes.readBigUInt64LE(position + 32),
      root: bytes.readBigUInt64LE(position + 40),
      rows: 0n,
    };
  }

  /** Goes down all branches, and puts the leaves aside. */
  async #walk(tree: Tree): Promise<void> {
    if (tree.table !== "" && tree.flags !== 0) throw new Damage(`the table ${tree.table} would be of the kind ${tree.flags}`);
    if (tree.root === NO_ROOT) return;
    if (tree.depth < 1 || tree.depth > DEPTH_MAX) throw new Damage(`a tree would be ${tree.depth} pages deep`);
    let level: Place[] = [{ page: tree.root, low: null, high: null }];
    let branches = tree.depth > 1 ? 1n : 0n;
    for (let depth = 1; depth < tree.depth; depth++) {
      const below: Place[] = [];
      for (const place of level) below.push(...(await this.#children(place)));
      level = below;
      branches += BigInt(depth === tree.depth - 1 ? 0 : below.length);
    }
    if (tree.branchCount !== branches || tree.leafCount !== BigInt(level.length))
      throw new Damage(`the tree of ${tree.table || "tables"} has lost pages`);
    // The table of tables is short, and says where the others are
    if (tree.table === "" && (await this.#isTableList(level))) for (const place of level) await this.#checkLeaf(place, tree);
    else for (const place of level) this.#leaves.push({ place, tree });
  }

  async #children({ page, low, high }: Place): Promise<Place[]> {
    const { bytes, nodes } = await this.#page(page, BRANCH);
    // The first node's key is not used, and empty
    const keys = nodes.map((node) => bytes.subarray(node + NODE_BYTES, node + NODE_BYTES + bytes.readUInt16LE(node + 6)));
    return nodes.map((node, index) => ({
      page: childOf(bytes, node),
      low: index === 0 ? low : (keys[index] as Buffer),
      high: keys[index + 1] ?? high,
    }));
  }

  async #isTableList([first]: readonly Place[]): Promise<boolean> {
    if (first === undefined) return false;
    const { bytes, nodes } = await this.#page(first.page, LEAF);
    return nodes[0] !== undefined && (bytes.readUInt16LE(nodes[0] + 4) & SUB_TREE) !== 0;
  }

  async #checkLeaf({ page, low, high }: Place, tree: Tree): Promise<void> {
    let before = low;
    let isFirst = true;
    const isCompared = COMPARED.has(tree.table);
    const { bytes, nodes } = await this.#page(page, LEAF);
    tree.rows += BigInt(nodes.length);
    for (const node of nodes) {
      const flags = bytes.readUInt16LE(node + 4);
      if (flags !== 0 && flags !== BIG_DATA && (flags !== SUB_TREE || tree.table !== ""))
        throw new Damage(`page ${page} holds a row of the kind ${flags}`);
      const keyStart = node + NODE_BYTES;
      const dataStart = keyStart + bytes.readUInt16LE(node + 6);
      const dataBytes = bytes.readUInt32LE(node);
      if (isCompared) {
        const key = bytes.subarray(keyStart, dataStart);
        const order = before === null ? 1 : Buffer.compare(key, before);
        if (order < 0 || (order === 0 && !isFirst) || (high !== null && Buffer.compare(key, high) >= 0)) {
          throw new Damage(`a row of the table ${tree.table} in page ${page} is out of its place`);
        }
        before = key;
        isFirst = false;
      }
      if (flags & BIG_DATA) {
        this.#checkBig(bytes, dataStart, dataBytes);
        continue;
      }
      if (dataStart + dataBytes > bytes.length) throw new Damage(`page ${page} holds a value that ends behind it`);
      if (flags & SUB_TREE) {
        if (dataBytes !== TREE_BYTES) throw new Damage(`page ${page} holds a table of another kind`);
        const name = bytes.toString("latin1", keyStart, dataStart).replace(/\0$/, ""); // lmdb ends names with a zero
        const table = this.#treeAt(name, bytes, dataStart);
        this.#tables.push(table);
        await this.#walk(table);
      } else if (isCompared && !isRowIntact(bytes.subarray(keyStart, dataStart), bytes.subarray(dataStart, dataStart + dataBytes))) {
        throw new Damage(`a row of the table ${tree.table} in page ${page} has a wrong checksum`);
      }
    }
  }

  /** A value on pages of its own. Its checksum is compared when it is read: here it only must lie within the file. */
  #checkBig(bytes: Buffer, position: number, dataBytes: number): void {
    if (position + 24 > bytes.length) throw new Damage("a large value's place lies behind its page");
    const page = bytes.readBigUInt64LE(position);
    const count = bytes.readBigUInt64LE(position + 16);
    if (page < 2n || count < 1n || page + count > this.#pageCount || BigInt(dataBytes) + 24n > count * BigInt(this.#pageBytes)) {
      throw new Damage(`a large value would lie on pages ${page} to ${page + count - 1n} of ${this.#pageCount}`);
    }
    const end = Number(page) * this.#pageBytes + HEAD_BYTES + dataBytes;
    if (end > this.#size) throw new Damage(`it was cut: ${this.#size} bytes, and a value ends at ${end}`);
    const head = this.#read(Number(page) * this.#pageBytes, HEAD_BYTES, `page ${page}`);
    if (head.readBigUInt64LE(0) !== page || head.readUInt16LE(18) !== OVERFLOW || BigInt(head.readUInt32LE(20)) !== count) {
      throw new Damage(`page ${page} is not what its tree says`);
    }
  }

  /** A page and where its nodes are, each within its bounds. */
  async #page(page: bigint, kind: number): Promise<{ readonly bytes: Buffer; readonly nodes: readonly number[] }> {
    if (++this.#checked % PAGES_PER_TURN === 0) await nextTurn();
    if (page < 2n || page >= this.#pageCount) throw new Damage(`it refers to page ${page} of ${this.#pageCount}`);
    const bytes = this.#read(Number(page) * this.#pageBytes, this.#pageBytes, `page ${page}`);
    const lower = bytes.readUInt16LE(20);
    const upper = bytes.readUInt16LE(22);
    const isOfKind = bytes.readBigUInt64LE(0) === page && bytes.readUInt16LE(18) === kind;
    if (!isOfKind || lower % 2 === 1 || lower > upper || HEAD_BYTES + upper > bytes.length)
      throw new Damage(`page ${page} has a head that cannot be`);
    const nodes: number[] = [];
    for (let pointer = HEAD_BYTES; pointer < HEAD_BYTES + lower; pointer += 2) {
      const node = HEAD_BYTES + bytes.readUInt16LE(pointer);
      const isInside = node >= HEAD_BYTES + upper && node + NODE_BYTES <= bytes.length;
      if (!isInside || node + NODE_BYTES + bytes.readUInt16LE(node + 6) > bytes.length)
        throw new Damage(`page ${page} holds a row that lies outside of it`);
      nodes.push(node);
    }
    return { bytes, nodes };
  }

  #read(position: number, length: number, what: string): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    if (readSync(this.#file, bytes, 0, length, position) < length)
      throw new Damage(`it was cut: ${this.#size} bytes, and ${what} is missing`);
    return bytes;
  }
}

/** The page below a branch's node: 48 bits in three parts. */
function childOf(bytes: Buffer, node: number): bigint {
  return BigInt(bytes.readUInt32LE(node)) | (BigInt(bytes.readUInt16LE(node + 4)) << 32n);
}
