import { Followers } from "../core/followers.ts";
import type { Head, Log, LogContext, Notice, Page, PageLimit, Told } from "../core/log.ts";
import { readPage } from "../core/page.ts";
import { epochOf, resume, topOf } from "../core/resume.ts";
import type { Cancel } from "../protocol/clock.ts";
import type { Entry } from "../protocol/entry.ts";
import { ORIGIN, type Position } from "../protocol/position.ts";

/** The head of a followed channel is looked at so often, give or take a quarter: a wake-up may be lost, also the last one. And while none is heard. */
const POLL_MS = 5_000;
const POLL_ALONE_MS = 1_000;
const TICK_MS = 500;
/** Signals under way: one more is dropped. */
export const NOTICES_PENDING_MAX = 1_000;
/** Nodes of which is known what they told last of a channel: of one more, the one that was heard longest ago is forgotten, and what comes late of it is taken for new. */
const TELLERS_MAX = 1_000;
/** What is read for one wake-up. Who is further behind is told to look for himself. */
const LOOK: PageLimit = { count: 256, bytes: 131_072 };

/** A channel that somebody on this node follows. */
export interface Followed {
  readonly channel: string;
  /** What the followers have been told, or have read, last; null until they have read. */
  known: Position | null;
  /** That is only where the log stood when this node looked first: nothing was told yet. */
  isPlaced: boolean;
  /** Somebody who read was shown another log than the followers were told of: the two came by different connections, which led to different brokers. */
  isAstray: boolean;
  isListening: boolean;
  isLooking: boolean;
  /** Something happened that a look must explain. */
  mustLook: boolean;
  pollAt: number;
  /** Of each node that told something of it, the number of what it told last; null before the first. */
  tellers: Map<string, number> | null;
}

export function newlyFollowed(channel: string): Followed {
  const nothing = { isPlaced: false, isAstray: false, isListening: false, isLooking: false, mustLook: false };
  return { channel, known: null, ...nothing, pollAt: 0, tellers: null };
}

export interface BrokerContext {
  readonly log: LogContext;
  /** Names the engine, and this one of it among the nodes. */
  readonly engine: string;
  readonly node: string;
  readonly read: Log["read"];
}

/** Whether the head of a channel is still what its followers know. Rejects if nobody can say. */
export type IsSame<One extends Followed> = (followed: One, known: Position) => Promise<boolean>;

/**
 * What a node knows of the channels that it follows in a broker. A wake-up says that there is something, the log says what: so one that is lost costs nothing but
 * time, and a look at the log is one per channel, however many clients there are, at the next wake-up or the next poll. How a broker wakes is its engine's part.
 */
export abstract class BrokerFollows<One extends Followed> {
  protected readonly channels = new Map<string, One>();
  protected readonly node: string;
  readonly #context: BrokerContext;
  readonly #followers: Followers;
  readonly #listeners = new Set<(notice: Notice) => void>();
  #cancelTick: Cancel = () => {};
  #isClosed = false;
  /** Counts the notices of this node. */
  #noticed = 0;

  constructor(context: BrokerContext) {
    this.#context = context;
    this.node = context.node;
    this.#followers = new Followers((error) => context.log.warn(`A follower of the ${context.engine} engine failed: ${String(error)}`));
  }

  /** Whether wake-ups are heard. */
  protected abstract isHearing(): boolean;
  /** Whether the log can be asked. */
  protected abstract canAsk(): boolean;
  /** For one poll of some channels. */
  protected abstract asker(): IsSame<One>;
  protected abstract make(channel: string): One;
  /** Somebody follows it now, who has not asked for anything yet. */
  protected abstract began(followed: One): void;
  protected abstract ended(followed: One): void;
  /** Listens to these, and polls them then. */
  protected abstract subscribe(some: readonly One[]): Promise<void>;

  /** Whether this node is writing to the channel: then it will itself tell what it writes, and what it finds before that. */
  protected isWriting(_channel: string): boolean {
    return false;
  }

  follow(channel: string, follower: (told: Told) => void): () => void {
    const unfollow = this.#followers.follow(channel, follower);
    if (!this.channels.has(channel)) this.#begin(channel);
    return () => {
      unfollow();
      if (!this.#followers.has(channel)) this.#end(channel);
    };
  }

  listen(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Followers read too. One that was answered from before the first look has not seen what that took for granted, nor one that was shown another log what was told of. */
  hasRead(channel: string, page: Page): void {
    const followed = this.channels.get(channel);
    if (followed === undefined || followed.known === null) return;
    if (isOther(followed.known, page.head)) followed.isAstray = true;
    const top = topOf(page.head);
    if (!followed.isPlaced || top.offset >= followed.known.offset) return;
    followed.known = top;
    this.look(followed);
  }

  /** What this node asked for may have been done, or not; or was done to another log than the one it knew. */
  doubt(channel: string): void {
    const followed = this.channels.get(channel);
    if (followed !== undefined) this.look(followed);
  }

  /** Wake-ups are heard again: those that came meanwhile were not. */
  up(): void {
    for (const followed of this.channels.values()) followed.isListening = false;
    void this.subscribe([...this.channels.values()]);
  }

  /** The log can be read again: what was told meanwhile could not be looked at. */
  readable(): void {
    void this.poll([...this.channels.values()]);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTick();
    this.#followers.clear();
    this.channels.clear();
    this.#listeners.clear();
  }

  protected isFollowed(followed: One): boolean {
    return this.channels.get(followed.channel) === followed;
  }

  protected pollLater(followed: One): void {
    const { clock, random } = this.#context.log;
    const everyMs = this.isHearing() && followed.isListening ? POLL_MS : POLL_ALONE_MS;
    followed.pollAt = clock.elapsed() + everyMs * (0.75 + random.fraction() / 2);
  }

  /** One small question for each; a look only where the answer is news. */
  protected async poll(some: readonly One[]): Promise<void> {
    if (!this.canAsk() || some.length === 0) return;
    const isSame = this.asker();
    await Promise.all(
      some.map(async (followed) => {
        const { known } = followed;
        if (known === null || followed.mustLook || followed.isLooking || followed.isAstray) return this.look(followed);
        try {
          if (!(await isSame(followed, known)) && followed.known === known) this.look(followed);
        } catch {
          // The next poll asks again
        }
      }),
    );
  }

  /** Reads what the followers do not know, and tells them. One at a time, and once more if anything happened meanwhile. */
  protected look(followed: One): void {
    followed.mustLook = true;
    if (!followed.isLooking) void this.#lookNow(followed);
  }

  /** The log stands at `known` now, whatever the followers were told. */
  protected tellChanged(followed: One, known: Position): void {
    followed.known = known;
    followed.isPlaced = false;
    followed.isAstray = false;
    this.#followers.tell(followed.channel, { type: "changed" });
  }

  /** Entries that stand one after the other: those that the followers do not know are told, if nothing is lacking before them. */
  protected tell(followed: One, epoch: string, all: readonly Entry[], isElsewhere = false): void {
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

  protected warn(sentence: string): void {
    this.#context.log.warn(sentence);
  }

  /** A notice on its way: who tells it, and the how-manyth of his it is, stand in front of it. */
  protected numbered(body: string): string {
    return `${this.node} ${++this.#noticed} ${body}`;
  }

  /** Such a one has come. On its way it may be doubled, or overtaken by a later one: what is not new is dropped, as any notice may be. */
  protected hearNotice(followed: One, text: string): void {
    const [teller = "", n = ""] = text.split(" ", 2);
    if (teller === this.node) return;
    followed.tellers ??= new Map();
    const { tellers } = followed;
    if (!(Number(n) > (tellers.get(teller) ?? 0))) return;
    tellers.delete(teller);
    tellers.set(teller, Number(n));
    if (tellers.size > TELLERS_MAX) tellers.delete(tellers.keys().next().value!);
    this.#deliver({ channel: followed.channel, body: text.slice(teller.length + n.length + 2) });
  }

  #deliver(notice: Notice): void {
    for (const listener of this.#listeners) {
      try {
        listener(notice);
      } catch (error) {
        this.#context.log.warn(`A listener of the ${this.#context.engine} engine failed: ${String(error)}`);
      }
    }
  }

  #begin(channel: string): void {
    const followed = this.make(channel);
    this.channels.set(channel, followed);
    this.pollLater(followed);
    if (this.channels.size === 1) this.#tick();
    // Asked before anything that the followers ask: on one line, answers come in the order of the questions
    this.look(followed);
    this.began(followed);
  }

  #end(channel: string): void {
    const followed = this.channels.get(channel);
    if (followed === undefined) return;
    this.channels.delete(channel);
    if (this.channels.size === 0) this.#cancelTick();
    this.ended(followed);
  }

  #tick(): void {
    const { clock } = this.#context.log;
    this.#cancelTick = clock.after(TICK_MS, () => {
      this.#tick();
      const now = clock.elapsed();
      const due = [...this.channels.values()].filter(({ pollAt }) => pollAt <= now);
      for (const followed of due) this.pollLater(followed);
      void this.poll(due);
    });
  }

  async #lookNow(followed: One): Promise<void> {
    followed.isLooking = true;
    try {
      while (followed.mustLook && this.isFollowed(followed) && !this.#isClosed) {
        followed.mustLook = false;
        await this.#readNews(followed);
      }
    } catch {
      // The next poll looks again, and readers say what is wrong
      followed.mustLook = true;
    }
    followed.isLooking = false;
  }

  async #readNews(followed: One): Promise<void> {
    const { channel, known } = followed;
    if (known === null) {
      const page = await this.#context.read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 });
      if (followed.known !== null) return;
      followed.known = topOf(page.head);
      followed.isPlaced = true;
      return;
    }
    const page = await readPage(this.#context, channel, known, LOOK);
    if (!this.isFollowed(followed)) return;
    if (this.isWriting(channel)) {
      // This page may have some of it already
      followed.pollAt = 0;
      return;
    }
    const top = topOf(page.head);
    if (followed.known !== known) {
      // Told meanwhile of more: is there still something that it does not know?
      followed.mustLook ||= followed.known?.epoch !== top.epoch || (followed.known?.offset ?? 0) < top.offset;
      return;
    }
    const { gap, entries } = resume(known, page);
    if (followed.isAstray || gap !== null || page.head === null || top.offset - known.offset > entries.length) {
      if (!followed.isAstray && top.epoch === known.epoch && top.offset === known.offset && gap === null) return;
      this.tellChanged(followed, top);
      return;
    }
    for (let from = 0; from < entries.length; ) {
      const epoch = epochOf(page.head, entries[from]!.offset);
      let to = from + 1;
      while (to < entries.length && epochOf(page.head, entries[to]!.offset) === epoch) to++;
      this.tell(followed, epoch, entries.slice(from, to));
      from = to;
    }
  }
}

/** Whether a log with this head is not the one in which a position came to be. One that ends before it may be the same, read earlier. */
function isOther(position: Position, head: Head | null): boolean {
  if (head === null || position.epoch === ORIGIN.epoch) return false;
  const { gap } = resume(position, { head, entries: [] });
  return gap?.reason === "epoch" || (gap?.reason === "truncated" && (gap.missing !== null || position.offset <= head.top));
}
