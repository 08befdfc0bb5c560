import { Followers } from "../../src/core/followers.ts";
import type { Appended, Draft, Log, LogContext, Page, PageLimit, Retention, Told } from "../../src/core/log.ts";
import { CommitError, type Row, type Store } from "../../src/engines/disk/environment.ts";
import { readPage } from "../../src/engines/disk/page.ts";
import { TABLES, type Table, type Write } from "../../src/engines/disk/record.ts";
import { Sweeper } from "../../src/engines/disk/sweeper.ts";
import { type Medium, Writer } from "../../src/engines/disk/writer.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import type { Chance } from "./sim-chance.ts";
import type { Owner, Time } from "./sim-time.ts";

type Rows = Record<Table, Map<string, Buffer>>;

/** What a commit changed, the other way round: so many of them can be taken back, as if they had never been synced. */
type Undo = readonly { readonly table: Table; readonly key: string; readonly before: Buffer | undefined }[];

const UNDO_MAX = 60;
const EIO = 5;
const ENOSPC = 28;

/** How a disk behaves until told otherwise. */
export interface Weather {
  /** A commit takes up to so long. */
  commitMsMax: number;
  /** How likely a commit fails, and whether its outcome then is uncertain. */
  fails: number;
  isUncertain: boolean;
}

const FINE: Weather = { commitMsMax: 2, fails: 0, isUncertain: false };

/** A disk of ordered tables, in memory: what is committed stays, whatever becomes of the process that wrote it. */
export class Platter {
  readonly weather: Weather = { ...FINE };
  #rows: Rows = emptyRows();
  #copy: Rows | null = null;
  readonly #undos: Undo[] = [];
  #sorted = new Map<Table, string[]>();
  readonly #time: Time;
  readonly #chance: Chance;
  /** Grows when the process dies: what it had begun is not its successor's. */
  #life = 0;
  #inFlight: readonly Write[] | null = null;

  constructor(time: Time, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
  }

  behave(weather: Partial<Weather>): void {
    Object.assign(this.weather, FINE, weather);
  }

  /** The process is gone. What was being written is there or not, as a whole. */
  crash(): void {
    this.#life++;
    if (this.#inFlight !== null && this.#chance.is(0.5)) this.#apply(this.#inFlight);
    this.#inFlight = null;
  }

  /** The newest commits are gone. */
  loseTail(count: number): void {
    this.#copy = null;
    for (let lost = 0; lost < count; lost++) {
      for (const { table, key, before } of this.#undos.pop() ?? []) this.#set(table, key, before);
    }
  }

  copy(): void {
    this.#copy = copyOf(this.#rows);
  }

  /** False if there is no copy. */
  restore(): boolean {
    if (this.#copy === null) return false;
    this.#rows = copyOf(this.#copy);
    this.#sorted.clear();
    this.#undos.length = 0;
    return true;
  }

  /** What a process has of it while it lives. */
  open(owner: Owner): Store {
    const life = this.#life;
    const isMine = (): boolean => life === this.#life;
    return {
      get: (table, key) => this.#rows[table].get(key.toString("latin1")),
      rows: (table, start, end, limit) =>
        this.#range(table, start, end, limit).map((key): Row => ({ key: Buffer.from(key, "latin1"), value: this.#rows[table].get(key)! })),
      keys: (table, start, end, limit) => this.#range(table, start, end, limit).map((key) => Buffer.from(key, "latin1")),
      commit: (writes) =>
        new Promise((resolve, reject) => {
          const { fails, isUncertain, commitMsMax } = this.weather;
          const willFail = this.#chance.is(fails);
          this.#inFlight = writes;
          const done = (): void => {
            if (!isMine()) return;
            this.#inFlight = null;
            if (!willFail || (isUncertain && this.#chance.is(0.5))) this.#apply(writes);
            if (willFail) reject(new CommitError("the disk failed, as told", isUncertain ? EIO : ENOSPC, isUncertain));
            else resolve();
          };
          this.#time.after(this.#chance.between(0, commitMsMax), done, owner);
        }),
      look: async () => {},
      close: async () => {},
    };
  }

  #apply(writes: readonly Write[]): void {
    const undo: Undo = writes.map(({ table, key }) => {
      const name = key.toString("latin1");
      return { table, key: name, before: this.#rows[table].get(name) };
    });
    for (const { table, key, value } of writes) this.#set(table, key.toString("latin1"), value ?? undefined);
    this.#undos.push([...undo].reverse());
    if (this.#undos.length > UNDO_MAX) this.#undos.shift();
  }

  #set(table: Table, key: string, value: Buffer | undefined): void {
    const rows = this.#rows[table];
    if (value === undefined ? rows.delete(key) : !rows.has(key)) this.#sorted.delete(table);
    if (value !== undefined) rows.set(key, value);
  }

  /** Sorted when it is asked for: few ask. */
  #range(table: Table, start: Buffer, end: Buffer, limit: number): string[] {
    let sorted = this.#sorted.get(table);
    if (sorted === undefined) {
      sorted = [...this.#rows[table].keys()].sort();
      this.#sorted.set(table, sorted);
    }
    const [low, high] = [start.toString("latin1"), end.toString("latin1")];
    return sorted.filter((key) => key >= low && key < high).slice(0, limit);
  }
}

function emptyRows(): Rows {
  return Object.fromEntries(TABLES.map((table) => [table, new Map<string, Buffer>()])) as Rows;
}

function copyOf(rows: Rows): Rows {
  return Object.fromEntries(TABLES.map((table) => [table, new Map(rows[table])])) as Rows;
}

interface Opened {
  readonly context: LogContext;
  readonly writer: Writer;
  readonly sweeper: Sweeper;
}

/** The disk engine but for its directory: the real writer, transactions, pages and sweeper over a platter. */
export class PlatterLog implements Log {
  readonly name = "disk";
  readonly level = "disk";
  readonly retention: Retention;
  readonly #platter: Platter;
  readonly #time: Time;
  readonly #owner: Owner;
  readonly #followers: Followers;
  #opened: Opened | null = null;

  constructor(platter: Platter, time: Time, owner: Owner, retention: Retention, onFault: (error: unknown) => void) {
    this.#platter = platter;
    this.#time = time;
    this.#owner = owner;
    this.retention = retention;
    this.#followers = new Followers(onFault);
  }

  async open(context: LogContext): Promise<void> {
    const clock = this.#time.clockOf(this.#owner);
    const medium: Medium = {
      open: () => this.#platter.open(this.#owner),
      elapsed: clock.elapsed,
      pause: (ms) => new Promise((resolve) => clock.after(ms, resolve)),
    };
    const own = { ...context, clock };
    const writer = new Writer("the platter", medium, own, this.#followers);
    this.#opened = { context: own, writer, sweeper: new Sweeper(writer, own, (channel) => own.retain(channel, this.retention)) };
  }

  /** The process ends, with all that it had in hand. */
  kill(): void {
    this.#owner.isAlive = false;
    this.#platter.crash();
  }

  async append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    const { context, writer } = this.#use("not_stored");
    const retention = context.retain(channel, this.retention);
    return writer.submit(1, (transaction) => transaction.append(channel, drafts, retention));
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    const { context, writer } = this.#use("restart");
    return readPage(await writer.store(), channel, after, limit, context.retain(channel, this.retention), context.clock.now());
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#followers.follow(channel, follower);
  }

  async remove(channel: string): Promise<void> {
    await this.#use("not_stored").writer.submit(1, (transaction) => transaction.remove(channel));
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    if (opened === null) return;
    this.#opened = null;
    opened.sweeper.stop();
    await opened.writer.close();
    this.#followers.clear();
  }

  get timers(): number {
    return this.#owner.timers;
  }

  #use(code: "not_stored" | "restart"): Opened {
    if (this.#opened !== null) return this.#opened;
    throw new ThroughlineError(code, "The log is not open.");
  }
}
