import { Followers } from "../../core/followers.ts";
import type { LogContext, Notice, Page, PageLimit, Told } from "../../core/log.ts";
import { readPage } from "../../core/page.ts";
import { epochOf, resume, topOf } from "../../core/resume.ts";
import type { Cancel } from "../../protocol/clock.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ORIGIN, type Position } from "../../protocol/position.ts";
import type { Line } from "./line.ts";
import { listOf, textOf } from "./link.ts";
import type { Places } from "./places.ts";
import { readLineage } from "./record.ts";

/** The head of a followed channel is looked at so often, give or take a quarter: Pub/Sub may lose a wake-up, also the last one. And while Pub/Sub is away. */
const POLL_MS = 5_000;
const POLL_ALONE_MS = 1_000;
const TICK_MS = 500;
/** Channels in one SUBSCRIBE, and signals under way: one more is dropped. */
const SUBSCRIBE_COUNT_MAX = 500;
const NOTICES_PENDING_MAX = 1_000;
/** What is read for one wake-up. Who is further behind is told to look for himself. */
const LOOK: PageLimit = { count: 256, bytes: 131_072 };

interface Followed {
  readonly channel: string;
  /** What the followers have been told, or have read, last; null until they have read. */
  known: Position | null;
  /** That is only where the log stood when this node looked first: nothing was told yet. */
  isPlaced: boolean;
  isListening: boolean;
  isLooking: boolean;
  /** Something happened that a look must explain. */
  mustLook: boolean;
  pollAt: number;
}

export interface FollowsContext {
  readonly log: LogContext;
  readonly places: Places;
  readonly node: string;
  readonly reader: Line;
  /** Opened when the first channel is followed. */
  readonly subscriber: Line;
  readonly read: (channel: string, after: number, limit: PageLimit) => Promise<Page>;
}

/**
 * What this node knows of the channels that it follows. Pub/Sub says that something was stored, and by whom; the log says what. So a wake-up that is lost costs
 * nothing but time: one look at the log per channel, however many clients there are, at the next wake-up or the next poll.
 */
export class Follows {
  readonly #context: FollowsContext;
  readonly #followers: Followers;
  readonly #channels = new Map<string, Followed>();
  readonly #listeners = new Set<(notice: Notice) => void>();
  #isBegun = false;
  #cancelTick: Cancel = () => {};
  #isClosed = false;

  constructor(context: FollowsContext) {
    this.#context = context;
    this.#followers = new Followers((error) => context.log.warn(`A follower of the redis engine failed: ${String(error)}`));
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    const unfollow = this.#followers.follow(channel, follower);
    if (!this.#channels.has(channel)) this.#begin(channel);
    return () => {
      unfollow();
      if (!this.#followers.has(channel)) this.#end(channel);
    };
  }

  listen(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What the followers of a channel know, if it has any and they know something. */
  known(channel: string): Position | null {
    return this.#channels.get(channel)?.known ?? null;
  }

  /** Followers read too. One that was answered from before the first look has not seen what that took for granted. */
  hasRead(channel: string, page: Page): void {
    const followed = this.#channels.get(channel);
    if (followed === undefined || !followed.isPlaced || followed.known === null) return;
    const top = topOf(page.head);
    if (top.offset >= followed.known.offset) return;
    followed.known = top;
    this.#look(followed);
  }

  /** This node has stored entries under an epoch that begins at `start`, after some that it had missed. */
  appended(channel: string, epoch: string, start: number, missed: readonly Entry[], entries: readonly Entry[]): void {
    const followed = this.#channels.get(channel);
    if (followed === undefined) return;
    if (missed.length > 0) this.#tell(followed, followed.known?.epoch ?? epoch, missed);
    if (entries.length === 0) return;
    // the first look was answered before this append, though it came after it
    const { known } = followed;
    if (followed.isPlaced && known !== null && entries[0]!.offset <= known.offset) {
      followed.known = null;
      this.#look(followed);
    }
    const isElsewhere = followed.known !== null && known !== null && epoch !== known.epoch && start !== known.offset + 1;
    this.#tell(followed, epoch, entries, isElsewhere);
  }

  removed(channel: string): void {
    const followed = this.#channels.get(channel);
    if (followed === undefined) return;
    followed.known = ORIGIN;
    this.#followers.tell(channel, { type: "changed" });
  }

  /** What this node asked for may have been done, or not. */
  doubt(channel: string): void {
    const followed = this.#channels.get(channel);
    if (followed !== undefined) this.#look(followed);
  }

  /** Somebody published where a channel's followers listen. */
  heard(name: string, message: Buffer): void {
    const channel = this.#context.places.channelOf(name);
    const followed = this.#channels.get(channel);
    if (followed === undefined) return;
    const [type, ...words] = message.toString("latin1", 0, 128).split(" ");
    if (type === "s") {
      const sender = words[0] ?? "";
      if (sender !== this.#context.node) this.#deliver({ channel, body: message.toString("utf8", 3 + sender.length) });
      return;
    }
    if (words.at(-1) === this.#context.node) return;
    const [epoch, top] = words;
    const { known } = followed;
    if (type === "w" && known !== null && epoch === known.epoch && Number(top) <= known.offset) return;
    this.#look(followed);
  }

  /** Tells other nodes that follow the channel, unless too much is under way already. */
  notify(line: Line, publish: string, { channel, body }: Notice): void {
    if (!line.isUp || line.waiting >= NOTICES_PENDING_MAX) return;
    const { wake } = this.#context.places.of(channel);
    line.send(wake, [publish, wake, `s ${this.#context.node} ${body}`]).catch(() => {
      // a signal may be dropped
    });
  }

  /** Pub/Sub is there again: whatever was published meanwhile was not heard. */
  up(): void {
    for (const followed of this.#channels.values()) followed.isListening = false;
    void this.#subscribe([...this.#channels.values()]);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTick();
    this.#followers.clear();
    this.#channels.clear();
    this.#listeners.clear();
  }

  #begin(channel: string): void {
    const followed: Followed = { channel, known: null, isPlaced: false, isListening: false, isLooking: false, mustLook: false, pollAt: 0 };
    this.#channels.set(channel, followed);
    this.#pollLater(followed);
    if (this.#channels.size === 1) this.#tick();
    // asked before anything that the followers ask: on one line, answers come in the order of the questions
    this.#look(followed);
    const { subscriber } = this.#context;
    if (!this.#isBegun) subscriber.begin();
    else if (subscriber.isUp) void this.#subscribe([followed]);
    this.#isBegun = true;
  }

  #end(channel: string): void {
    if (!this.#channels.delete(channel)) return;
    if (this.#channels.size === 0) this.#cancelTick();
    const { subscriber, places } = this.#context;
    if (subscriber.isUp) subscriber.unsubscribe([places.of(channel).wake]).catch(() => {});
  }

  async #subscribe(all: readonly Followed[]): Promise<void> {
    const { subscriber, places } = this.#context;
    for (let from = 0; from < all.length; from += SUBSCRIBE_COUNT_MAX) {
      const some = all.slice(from, from + SUBSCRIBE_COUNT_MAX).filter((followed) => this.#isFollowed(followed));
      if (some.length === 0) continue;
      try {
        await subscriber.subscribe(some.map(({ channel }) => places.of(channel).wake));
      } catch {
        // the line was lost: `up` comes again. What refuses it leaves the poll
        return;
      }
      for (const followed of some) followed.isListening = true;
      await this.#poll(some);
    }
  }

  #isFollowed(followed: Followed): boolean {
    return this.#channels.get(followed.channel) === followed;
  }

  #tick(): void {
    const { clock } = this.#context.log;
    this.#cancelTick = clock.after(TICK_MS, () => {
      this.#tick();
      const now = clock.elapsed();
      const due = [...this.#channels.values()].filter(({ pollAt }) => pollAt <= now);
      for (const followed of due) this.#pollLater(followed);
      void this.#poll(due);
    });
  }

  #pollLater(followed: Followed): void {
    const { clock, random } = this.#context.log;
    const everyMs = this.#context.subscriber.isUp && followed.isListening ? POLL_MS : POLL_ALONE_MS;
    followed.pollAt = clock.elapsed() + everyMs * (0.75 + random.fraction() / 2);
  }

  /** One small question for each; a look only where the answer is news. */
  async #poll(some: readonly Followed[]): Promise<void> {
    const { reader, places } = this.#context;
    if (!reader.isUp) return;
    await Promise.all(
      some.map(async (followed) => {
        const { known } = followed;
        if (known === null || followed.mustLook || followed.isLooking) return this.#look(followed);
        const { meta } = places.of(followed.channel);
        try {
          const [lineage, top, topTag] = listOf(await reader.send(meta, ["HMGET", meta, "lineage", "top", "topTag"]));
          const epoch = lineage === null ? ORIGIN.epoch : readLineage(textOf(lineage)).at(-1)?.epoch;
          const isSame =
            epoch === known.epoch && (lineage === null || (Number(textOf(top)) === known.offset && textOf(topTag) === known.tag));
          if (!isSame && followed.known === known) this.#look(followed);
        } catch {
          // the next poll asks again
        }
      }),
    );
  }

  /** Reads what the followers do not know, and tells them. One at a time, and once more if anything happened meanwhile. */
  #look(followed: Followed): void {
    followed.mustLook = true;
    if (!followed.isLooking) void this.#lookNow(followed);
  }

  async #lookNow(followed: Followed): Promise<void> {
    followed.isLooking = true;
    try {
      while (followed.mustLook && this.#isFollowed(followed) && !this.#isClosed) {
        followed.mustLook = false;
        await this.#readNews(followed);
      }
    } catch {
      // the next poll looks again, and readers say what is wrong
      followed.mustLook = true;
    }
    followed.isLooking = false;
  }

  async #readNews(followed: Followed): Promise<void> {
    const { channel, known } = followed;
    if (known === null) {
      const page = await this.#context.read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 });
      if (followed.known !== null) return;
      followed.known = topOf(page.head);
      followed.isPlaced = true;
      return;
    }
    const page = await readPage({ read: this.#context.read }, channel, known, LOOK);
    if (!this.#isFollowed(followed)) return;
    const top = topOf(page.head);
    if (followed.known !== known) {
      // told meanwhile of more: is there still something that it does not know?
      followed.mustLook ||= followed.known?.epoch !== top.epoch || (followed.known?.offset ?? 0) < top.offset;
      return;
    }
    const { gap, entries } = resume(known, page);
    if (gap !== null || page.head === null || top.offset - known.offset > entries.length) {
      if (top.epoch === known.epoch && top.offset === known.offset && gap === null) return;
      followed.known = top;
      followed.isPlaced = false;
      this.#followers.tell(channel, { type: "changed" });
      return;
    }
    for (let from = 0; from < entries.length; ) {
      const epoch = epochOf(page.head, entries[from]!.offset);
      let to = from + 1;
      while (to < entries.length && epochOf(page.head, entries[to]!.offset) === epoch) to++;
      this.#tell(followed, epoch, entries.slice(from, to));
      from = to;
    }
  }

  /** Entries that stand one after the other: those that the followers do not know are told, if nothing is lacking before them. */
  #tell(followed: Followed, epoch: string, all: readonly Entry[], isElsewhere = false): void {
    const { channel, known } = followed;
    const last = all.at(-1)!;
    const isNew = known === null || epoch !== known.epoch;
    const entries = isNew ? all : all.filter(({ offset }) => offset > known.offset);
    if (entries.length === 0) return;
    const continues = !isElsewhere && (known === null || entries[0]!.offset === known.offset + 1);
    followed.known = { epoch, offset: last.offset, tag: last.tag };
    followed.isPlaced = false;
    this.#followers.tell(channel, continues ? { type: "appended", epoch, entries } : { type: "changed" });
  }

  #deliver(notice: Notice): void {
    for (const listener of this.#listeners) {
      try {
        listener(notice);
      } catch (error) {
        this.#context.log.warn(`A listener of the redis engine failed: ${String(error)}`);
      }
    }
  }
}
