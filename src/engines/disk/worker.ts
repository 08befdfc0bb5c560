import { resolve } from "node:path";
import type { Appended, Draft, Log, LogContext, Notice, Page, PageLimit, Retention, Told } from "../../core/log.ts";
import type { Cancel } from "../../protocol/clock.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { Asking } from "./asking.ts";
import { checkName, DISK_RETENTION, DRAFT_BYTES } from "./disk.ts";
import { split } from "./dispatch.ts";
import { isOwnedElsewhere } from "./owner.ts";
import { readPage } from "./page.ts";
import { Reading } from "./reading.ts";
import { Watch } from "./watch.ts";

/** Nobody who writes was found: it may have died a moment ago, and another be on its way. */
export class NoOwner extends ThroughlineError {}

/** How long a worker waits at its start for an owner to be there. */
const OPEN_MS_MAX = 5_000;
/** All channels that are followed are looked at within this, a part of them at each tick: a wake-up may be lost. */
const POLL_MS = 2_000;
const TICK_MS = 250;

/**
 * The disk engine of a process that does not own the directory, but writes by way of the one on this machine that does (`diskOwner`), and reads by itself.
 * Retention and limits are to be the same as there.
 *
 * @example throughline({ engine: diskWorker("/var/lib/throughline") })
 */
export function diskWorker(directory: string, options: { readonly retain?: Partial<Retention> } = {}): Log {
  return new DiskWorker(resolve(directory), { ...DISK_RETENTION, ...options.retain });
}

interface Opened {
  readonly context: LogContext;
  readonly asking: Asking;
  readonly watch: Watch;
  reading: Reading;
}

class DiskWorker implements Log {
  readonly name = "disk";
  readonly level = "disk";
  readonly retention: Retention;
  readonly #directory: string;
  readonly #listeners = new Set<(notice: Notice) => void>();
  #opened: Opened | null = null;
  #cancelTick: Cancel = () => {};

  constructor(directory: string, retention: Retention) {
    this.#directory = directory;
    this.retention = retention;
  }

  async open(context: LogContext): Promise<void> {
    const asking = await this.#findOwner(context);
    try {
      // LMDB knows who reads by the process id: two of the same would be one to it, and none of them could read
      if (await isOwnedElsewhere(this.#directory)) {
        throw new Error(
          "the process that writes it runs where process ids are others than here. Run all of them in one container, or one pod that shares them",
        );
      }
      const watch = new Watch({
        read: (channel, after, limit) => this.#read(channel, after, limit),
        began: (channel) => asking.follow(channel),
        ended: (channel) => asking.unfollow(channel),
        warn: context.warn,
      });
      this.#opened = { context, asking, watch, reading: new Reading(this.#directory) };
    } catch (error) {
      await asking.close();
      throw new ThroughlineError("internal", `The log in ${this.#directory} cannot be read: ${(error as Error).message}.`, {
        cause: error,
      });
    }
    this.#tick();
  }

  async append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    const { asking, watch } = this.#use("not_stored");
    checkName(channel);
    const { words, data } = split(drafts);
    let bytes = 0;
    for (const draft of drafts) bytes += draft.size + DRAFT_BYTES;
    const answer = await asking.ask({ type: "append", channel, drafts: words }, data, bytes);
    // Followers before answers: nothing is acknowledged that they have not been told
    watch.look(channel);
    return answer as readonly Appended[];
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    this.#use("restart");
    checkName(channel);
    return this.#read(channel, after, limit);
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#use("restart").watch.follow(channel, follower);
  }

  async remove(channel: string): Promise<void> {
    const { asking, watch } = this.#use("not_stored");
    checkName(channel);
    await asking.ask({ type: "remove", channel });
    watch.look(channel);
  }

  notify(notice: Notice): void {
    this.#opened?.asking.notify(notice);
  }

  /** Hears of the channels that are followed here. */
  listen(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async ready(): Promise<string | null> {
    const { asking } = this.#use("restart");
    if (!asking.isUp) return "The process that writes the log is not there.";
    return (await asking.ask({ type: "ready" })) as string | null;
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    if (opened === null) return;
    this.#cancelTick();
    await opened.asking.close();
    this.#opened = null;
    opened.watch.clear();
    this.#listeners.clear();
    await opened.reading.close();
  }

  #read(channel: string, after: number, limit: PageLimit): Page {
    const { context, reading } = this.#use("restart");
    const retention = context.retain(channel, this.retention);
    return reading.now((store) => readPage(store, channel, after, limit, retention, context.clock.now()));
  }

  #findOwner(context: LogContext): Promise<Asking> {
    return new Promise((found, failed) => {
      let error: ThroughlineError = new NoOwner(
        "internal",
        `No process owns ${this.#directory} and writes for this one. Start that first: throughline({ engine: diskOwner(directory) }).`,
      );
      const late = setTimeout(() => {
        void asking.close();
        failed(error);
      }, OPEN_MS_MAX);
      const { clock, random } = context;
      const asking: Asking = new Asking({
        ...{ directory: this.#directory, clock, random },
        onUp: () => {
          clearTimeout(late);
          if (this.#opened !== null) this.#cameBack(this.#opened);
          found(asking);
        },
        onStranger: () => {
          const sentence = `The process that writes the log in ${this.#directory} is another version of Throughline. Start all of them from one version.`;
          error = new ThroughlineError("internal", sentence);
          if (this.#opened !== null) context.warn(sentence);
        },
        onDown: () => {
          if (this.#opened !== null)
            context.warn("The process that writes the log has gone. Publishing is refused until it is back; readers keep their pipes.");
        },
        onTold: (channel, epoch, entries) => this.#opened?.watch.told(channel, epoch, entries),
        onWake: (channel) => this.#opened?.watch.look(channel),
        onNotice: (notice) => this.#hear(notice),
      });
    });
  }

  /** Wake-ups that came meanwhile were not heard. */
  #cameBack(opened: Opened): void {
    if (opened.reading.isReplaced()) {
      // Before the next is opened: where the data is the same lmdb would take both for one
      void opened.reading.close();
      opened.reading = new Reading(this.#directory);
    }
    // Which has the owner wake it for each of them
    for (const channel of opened.watch.channels) opened.asking.follow(channel);
    opened.context.warn("The process that writes the log is back.");
  }

  #hear(notice: Notice): void {
    if (this.#opened?.watch.has(notice.channel) !== true) return;
    for (const listener of this.#listeners) {
      try {
        listener(notice);
      } catch (error) {
        this.#opened.context.warn(`A listener of the disk engine failed: ${String(error)}`);
      }
    }
  }

  #tick(): void {
    this.#cancelTick = this.#use("restart").context.clock.after(TICK_MS, () => {
      this.#tick();
      const { watch } = this.#use("restart");
      watch.lookAtSome(Math.ceil((watch.channels.length * TICK_MS) / POLL_MS));
    });
  }

  #use(code: "not_stored" | "restart"): Opened {
    if (this.#opened !== null) return this.#opened;
    throw new ThroughlineError(code, `The log in ${this.#directory} is not open: nothing was stored or read. Open it first.`);
  }
}
