import { resolve } from "node:path";
import type { Appended, Draft, Log, LogContext, Notice, Page, PageLimit, Retention, Told } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { Desk } from "./desk.ts";
import { DISK_RETENTION, DiskEngine } from "./disk.ts";

/**
 * The disk engine of a process that owns a directory and lets other processes of this machine use it, each by `diskWorker(directory)` with the same options:
 * they read by themselves, and this one alone writes. Nobody but this user can reach it.
 *
 * @example await throughline({ engine: diskOwner("/var/lib/throughline") }).open()
 */
export function diskOwner(directory: string, options: { readonly retain?: Partial<Retention> } = {}): Log {
  return new SharedDisk(resolve(directory), { ...DISK_RETENTION, ...options.retain });
}

class SharedDisk implements Log {
  readonly name = "disk";
  readonly level = "disk";
  readonly retention: Retention;
  readonly #directory: string;
  readonly #log: DiskEngine;
  #desk: Desk | null = null;

  constructor(directory: string, retention: Retention) {
    this.#directory = directory;
    this.#log = new DiskEngine(directory, retention);
    this.retention = retention;
  }

  async open(context: LogContext): Promise<void> {
    await this.#log.open(context);
    try {
      const retentionOf = (channel: string) => context.retain(channel, this.retention);
      this.#desk = await Desk.open({ directory: this.#directory, log: this.#log, retentionOf, warn: context.warn });
    } catch (error) {
      await this.#log.close();
      throw new ThroughlineError("internal", `Workers cannot be heard in ${this.#directory}: ${(error as Error).message}.`, {
        cause: error,
      });
    }
  }

  append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    return this.#log.append(channel, drafts);
  }

  read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    return this.#log.read(channel, after, limit);
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    return this.#log.follow(channel, follower);
  }

  remove(channel: string): Promise<void> {
    return this.#log.remove(channel);
  }

  notify(notice: Notice): void {
    this.#desk?.spread(notice);
  }

  listen(listener: (notice: Notice) => void): () => void {
    return this.#desk?.listen(listener) ?? (() => {});
  }

  ready(): Promise<string | null> {
    return this.#log.ready();
  }

  /** Stores what is in flight and answers it, then lets go. */
  async close(): Promise<void> {
    const desk = this.#desk;
    this.#desk = null;
    desk?.stop();
    await this.#log.close();
    await desk?.close();
  }
}
