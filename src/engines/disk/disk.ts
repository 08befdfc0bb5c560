import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Followers } from "../../core/followers.ts";
import type { Appended, Draft, Log, LogContext, Page, PageLimit, Retention, Told } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { checkData } from "./check.ts";
import { checkFormat, findLog, prepareDirectory } from "./directory.ts";
import { Environment } from "./environment.ts";
import { type Owner, own } from "./owner.ts";
import { readPage } from "./page.ts";
import { Sweeper } from "./sweeper.ts";
import { type Medium, Writer } from "./writer.ts";

/** What disk keeps of a channel where the application names nothing else. */
export const DISK_RETENTION: Retention = { countMax: 1_000_000, bytesMax: 256 * 1024 * 1024, secondsMax: 7 * 24 * 60 * 60 };

/** LMDB takes keys of 1,978 bytes; a channel's name is its key. */
const NAME_BYTES_MAX = 1_900;

/** What one draft costs beyond its data: heads, keys, the tree. For the bounds of the queue. */
export const DRAFT_BYTES = 200;

/**
 * Channels that survive a crash and a power cut, in a directory of this machine: an ack says `disk`, and comes after fdatasync. One process owns the directory.
 *
 * @example throughline({ engine: disk("/var/lib/throughline") })
 */
export function disk(directory: string, options: { readonly retain?: Partial<Retention> } = {}): Log {
  return new DiskEngine(resolve(directory), { ...DISK_RETENTION, ...options.retain });
}

interface Opened {
  readonly context: LogContext;
  readonly owner: Owner;
  readonly writer: Writer;
  readonly sweeper: Sweeper;
}

export class DiskEngine implements Log {
  readonly name = "disk";
  readonly level = "disk";
  readonly retention: Retention;
  readonly #directory: string;
  readonly #followers = new Followers((error) => this.#opened?.context.warn(`A follower of the disk engine failed: ${String(error)}`));
  #opened: Opened | null = null;

  constructor(directory: string, retention: Retention) {
    this.#directory = directory;
    this.retention = retention;
  }

  async open(context: LogContext): Promise<void> {
    prepareDirectory(this.#directory);
    findLog(this.#directory); // before it is taken: what this version may not read keeps no trace of it
    const owner = await own(this.#directory);
    try {
      checkFormat(this.#directory);
      await checkData(this.#directory);
      const writer = new Writer(this.#directory, mediumOf(this.#directory), context, this.#followers);
      const sweeper = new Sweeper(writer, context, (channel) => context.retain(channel, this.retention));
      this.#opened = { context, owner, writer, sweeper };
    } catch (error) {
      owner.release();
      if (error instanceof ThroughlineError) throw error;
      throw new ThroughlineError(
        "internal",
        `The log in ${this.#directory} cannot be opened: ${(error as Error).message}. Check the disk, or restore the directory from a backup.`,
        { cause: error },
      );
    }
  }

  async append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    const { context, writer } = this.#use("not_stored");
    checkName(channel);
    const retention = context.retain(channel, this.retention);
    let bytes = 0;
    for (const draft of drafts) bytes += draft.size + DRAFT_BYTES;
    return writer.submit(bytes, (transaction) => transaction.append(channel, drafts, retention));
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    const { context, writer } = this.#use("restart");
    checkName(channel);
    const store = await writer.store();
    return readPage(store, channel, after, limit, context.retain(channel, this.retention), context.clock.now());
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#followers.follow(channel, follower);
  }

  async remove(channel: string): Promise<void> {
    const { writer } = this.#use("not_stored");
    checkName(channel);
    await writer.submit(DRAFT_BYTES, (transaction) => transaction.remove(channel));
  }

  async ready(): Promise<string | null> {
    return this.#use("restart").writer.ready();
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    if (opened === null) return;
    this.#opened = null;
    opened.sweeper.stop();
    await opened.writer.close();
    this.#followers.clear();
    opened.owner.release();
  }

  #use(code: "not_stored" | "restart"): Opened {
    if (this.#opened !== null) return this.#opened;
    throw new ThroughlineError(code, `The log in ${this.#directory} is not open: nothing was stored or read. Open it first.`);
  }
}

function mediumOf(directory: string): Medium {
  return {
    open: () => new Environment(directory),
    elapsed: () => performance.now(),
    pause: async (ms) => void (ms === 0 ? await new Promise(setImmediate) : await sleep(ms)),
  };
}

export function checkName(channel: string): void {
  if (channel !== "" && Buffer.byteLength(channel) <= NAME_BYTES_MAX) return;
  throw new ThroughlineError("bad_channel", `The disk engine takes channel names of 1 to ${NAME_BYTES_MAX} bytes.`);
}
