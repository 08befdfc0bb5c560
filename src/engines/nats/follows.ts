import { Followers } from "../../core/followers.ts";
import type { LogContext, Notice, Page, PageLimit, Told } from "../../core/log.ts";
import { readPage } from "../../core/page.ts";
import { epochOf, resume, topOf } from "../../core/resume.ts";
import type { Cancel } from "../../protocol/clock.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ORIGIN, type Position } from "../../protocol/position.ts";
import type { Channels } from "./channels.ts";
import type { NatsMessage } from "./connection.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";
import type { Places } from "./places.ts";
import type { Reader } from "./reader.ts";
import { bufferOf, decodeSheet, type Sheet } from "./record.ts";
import { headOf, standingAfter } from "./standing.ts";

/** The head of a followed channel is looked at so often, give or take a quarter: what NATS tells may be lost, also the last of it. And while nothing is heard. */
const POLL_MS = 5_000;
const POLL_ALONE_MS = 1_000;
const TICK_MS = 500;
/** Signals under way: one more is dropped. */
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
  /** Where its whole stream ended when it was looked at last: as long as it ends there, there is nothing to look at. */
  end: string;
  unsubscribe: () => void;
}

export interface FollowsContext {
  readonly log: LogContext;
  readonly places: Places;
  readonly node: string;
  readonly js: JetStream;
  readonly reader: Reader;
  readonly channels: Channels;
  /** Opened when the first channel is followed. */
  readonly hearing: Line;
}

/**
 * What this node knows of the channels that it follows. NATS tells what it has stored, the message itself; each bears the tag of the one before it, so that what was missed is seen at once
 * and read from the log: once per channel, however many clients there are, at the next message or the next poll.
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
    this.#followers = new Followers((error) => context.log.warn(`A follower of the nats engine failed: ${String(error)}`));
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

  /** Followers read too. One that was answered from before the first look has not seen what that took for granted. */
  hasRead(channel: string, page: Page): void {
    const followed = this.#channels.get(channel);
    if (followed === undefined || !followed.isPlaced || followed.known === null) return;
    const top = topOf(page.head);
    if (top.offset >= followed.known.offset) return;
    followed.known = top;
    this.#look(followed);
  }

  /** A sheet is stored: by this node, in the turn in which its publish is answered, or by another. */
  saw(channel: string, sheet: Sheet, isOwn: boolean): void {
    const followed = this.#channels.get(channel);
    if (followed === undefined) return;
    if (sheet.lines.length === 0) {
      if (!isOwn && (followed.known === null || followed.known.epoch > sheet.lineage.at(-1)!.epoch)) return;
      followed.known = ORIGIN;
      followed.isPlaced = false;
      this.#followers.tell(channel, { type: "changed" });
      return;
    }
    const { known } = followed;
    const { epoch, start } = sheet.lineage.at(-1)!;
    // the first look was answered before this append, though it came after it
    if (isOwn && followed.isPlaced && known !== null && epoch === known.epoch && sheet.first <= known.offset) {
      followed.known = null;
      this.#look(followed);
    }
    const isNext =
      followed.known === null
        ? isOwn
        : sheet.first === followed.known.offset + 1 &&
          (sheet.first === 1 || sheet.tagBefore === followed.known.tag) &&
          (epoch === followed.known.epoch || start === sheet.first);
    if (isNext || isOwn) {
      const entries = sheet.lines.map(({ entry }) => entry);
      this.#tell(followed, epoch, entries, !isNext);
    } else if (known === null || epoch !== known.epoch || sheet.first + sheet.lines.length - 1 > known.offset) this.#look(followed);
  }

  /** What this node asked for may have been done, or not. */
  doubt(channel: string): void {
    const followed = this.#channels.get(channel);
    if (followed !== undefined) this.#look(followed);
  }

  /** Tells other nodes that follow the channel, unless too much is under way already. */
  notify(line: Line, { channel, body }: Notice): void {
    if (!line.isUp || line.waiting >= NOTICES_PENDING_MAX) return;
    line.tell(this.#context.places.of(channel).told, `${this.#context.node} ${body}`);
  }

  /** The log can be read again. */
  readable(): void {
    void this.#poll([...this.#channels.values()]);
  }

  /** NATS is heard again: whatever it told meanwhile was not. */
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
    const followed: Followed = {
      ...{ channel, known: null, isPlaced: false, isListening: false, isLooking: false, mustLook: false, pollAt: 0, end: "" },
      unsubscribe: () => {},
    };
    this.#channels.set(channel, followed);
    this.#pollLater(followed);
    if (this.#channels.size === 1) this.#tick();
    this.#look(followed);
    const { hearing } = this.#context;
    if (!this.#isBegun) hearing.begin();
    else if (hearing.isUp) void this.#subscribe([followed]);
    this.#isBegun = true;
  }

  #end(channel: string): void {
    this.#channels.get(channel)?.unsubscribe();
    if (!this.#channels.delete(channel)) return;
    if (this.#channels.size === 0) this.#cancelTick();
  }

  async #subscribe(some: readonly Followed[]): Promise<void> {
    const { hearing, places } = this.#context;
    for (const followed of some)
      followed.unsubscribe = hearing.subscribe(places.of(followed.channel).told, (message) => this.#heard(followed, message));
    try {
      await hearing.flush();
    } catch {
      // the line was lost: `up` comes again
      return;
    }
    for (const followed of some) followed.isListening = true;
    await this.#poll(some.filter((followed) => this.#isFollowed(followed)));
  }

  #heard(followed: Followed, { headers, data }: NatsMessage): void {
    if (!this.#isFollowed(followed)) return;
    const { channel } = followed;
    const seq = Number(headers?.get("Nats-Sequence") ?? 0);
    if (headers === undefined || !(seq > 0)) {
      const text = bufferOf(data).toString();
      const sender = text.slice(0, text.indexOf(" "));
      if (sender !== this.#context.node) this.#deliver({ channel, body: text.slice(sender.length + 1) });
      return;
    }
    const sheet = decodeSheet(seq, (name) => headers.get(name), data);
    this.#pollLater(followed);
    if (sheet.node === this.#context.node) return;
    this.#context.channels.heard(channel, sheet);
    this.saw(channel, sheet, false);
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
    const everyMs = this.#context.hearing.isUp && followed.isListening ? POLL_MS : POLL_ALONE_MS;
    followed.pollAt = clock.elapsed() + everyMs * (0.75 + random.fraction() / 2);
  }

  /** One small question for each stream, one more for a channel in a stream to which something was added, and a look only where the answer is news. */
  async #poll(some: readonly Followed[]): Promise<void> {
    const { js, reader, places } = this.#context;
    if (!js.line.isUp || some.length === 0) return;
    const ends = new Map<string, Promise<string>>();
    const endOf = (stream: string) => {
      const end = ends.get(stream) ?? js.info(stream).then(({ created, state }) => `${created} ${state.last_seq}`);
      ends.set(stream, end);
      return end;
    };
    await Promise.all(
      some.map(async (followed) => {
        const { known } = followed;
        if (known === null || followed.mustLook || followed.isLooking) return this.#look(followed);
        const place = places.of(followed.channel);
        try {
          const end = await endOf(place.stream);
          if (end === followed.end) return;
          const last = await reader.last(place);
          const isThere = last !== null && last.lines.length > 0;
          const top = isThere ? topOf(headOf(standingAfter(last), 1, "")) : ORIGIN;
          const isSame = top.epoch === known.epoch && top.offset === known.offset && top.tag === known.tag;
          if (isSame) followed.end = end;
          else if (followed.known === known) this.#look(followed);
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
    const { reader } = this.#context;
    if (known === null) {
      const page = await reader.read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 });
      if (followed.known !== null) return;
      followed.known = topOf(page.head);
      followed.isPlaced = true;
      return;
    }
    const page = await readPage(reader, channel, known, LOOK);
    if (!this.#isFollowed(followed)) return;
    if (this.#context.channels.isUsed(channel)) {
      // what this node is writing it tells itself, and what it finds before that; this page may have some of it already
      followed.pollAt = 0;
      return;
    }
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
    followed.known = { epoch, offset: last.offset, tag: last.tag };
    followed.isPlaced = false;
    const continues = !isElsewhere && (known === null || entries[0]!.offset === known.offset + 1);
    this.#followers.tell(channel, continues ? { type: "appended", epoch, entries } : { type: "changed" });
  }

  #deliver(notice: Notice): void {
    for (const listener of this.#listeners) {
      try {
        listener(notice);
      } catch (error) {
        this.#context.log.warn(`A listener of the nats engine failed: ${String(error)}`);
      }
    }
  }
}
