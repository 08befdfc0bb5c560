import type { Notice } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ORIGIN, type Position } from "../../protocol/position.ts";
import { type BrokerContext, BrokerFollows, type Followed, type IsSame, NOTICES_PENDING_MAX, newlyFollowed } from "../broker-follows.ts";
import type { Agreement } from "./agreement.ts";
import type { Line } from "./line.ts";
import { listOf, textOf } from "./link.ts";
import type { Places } from "./places.ts";
import { readLineage } from "./record.ts";

/** Channels in one SUBSCRIBE. */
const SUBSCRIBE_COUNT_MAX = 500;

export interface FollowsContext extends Omit<BrokerContext, "engine"> {
  readonly places: Places;
  readonly reader: Line;
  /** Opened when the first channel is followed. */
  readonly subscriber: Line;
  readonly agreement: Agreement;
}

/** What this node follows in Redis: Pub/Sub says that something was stored, and by whom; the log says what. */
export class Follows extends BrokerFollows<Followed> {
  readonly #places: Places;
  readonly #reader: Line;
  readonly #subscriber: Line;
  readonly #agreement: Agreement;
  readonly #subscribing = new Set<Followed>();
  /** What is told to other nodes just now. */
  readonly #telling = new Set<Promise<void>>();
  #isBegun = false;

  constructor({ places, reader, subscriber, agreement, ...context }: FollowsContext) {
    super({ ...context, engine: "redis" });
    this.#places = places;
    this.#reader = reader;
    this.#subscriber = subscriber;
    this.#agreement = agreement;
  }

  /** What the followers of a channel know, if it has any and they know something. */
  known(channel: string): Position | null {
    return this.channels.get(channel)?.known ?? null;
  }

  /** This node has stored entries under an epoch that begins at `start`, after some that it had missed. */
  appended(channel: string, epoch: string, start: number, missed: readonly Entry[], entries: readonly Entry[]): void {
    const followed = this.channels.get(channel);
    if (followed === undefined) return;
    if (missed.length > 0) this.tell(followed, followed.known?.epoch ?? epoch, missed);
    if (entries.length === 0) return;
    // The first look was answered before this append, though it came after it
    const { known } = followed;
    if (followed.isPlaced && known !== null && entries[0]!.offset <= known.offset) {
      followed.known = null;
      this.look(followed);
    }
    const isElsewhere = followed.known !== null && known !== null && epoch !== known.epoch && start !== known.offset + 1;
    this.tell(followed, epoch, entries, isElsewhere);
  }

  removed(channel: string): void {
    const followed = this.channels.get(channel);
    if (followed !== undefined) this.tellChanged(followed, ORIGIN);
  }

  /** Somebody published where a channel's followers listen. */
  heard(name: string, message: Buffer): void {
    const channel = this.#places.channelOf(name);
    const followed = this.channels.get(channel);
    if (followed === undefined) return;
    const [type, ...words] = message.toString("latin1", 0, 128).split(" ");
    if (type === "s") {
      this.hearNotice(followed, message.toString("utf8", 2));
      return;
    }
    if (words.at(-1) === this.node) return;
    const [epoch, top] = words;
    const { known } = followed;
    if (type === "w" && known !== null && epoch === known.epoch && Number(top) <= known.offset) return;
    this.look(followed);
  }

  /** Tells other nodes that follow the channel, unless too much is under way already. */
  notify(line: Line, publish: string, { channel, body }: Notice): void {
    if (!line.isUp || line.waiting >= NOTICES_PENDING_MAX) return;
    const { wake } = this.#places.of(channel);
    const telling: Promise<void> = line
      .send(wake, [publish, wake, `s ${this.numbered(body)}`])
      // A signal may be dropped
      .then(
        () => {},
        () => {},
      )
      .finally(() => this.#telling.delete(telling));
    this.#telling.add(telling);
  }

  /** Resolves once Redis has what was told so far, or it is lost. */
  async told(): Promise<void> {
    await Promise.all(this.#telling);
  }

  protected isHearing(): boolean {
    return this.#subscriber.isUp;
  }

  protected canAsk(): boolean {
    return this.#reader.isUp;
  }

  /**
   * A member of a cluster that hands a slot to another ends what is listened to there, and a library listens at the other once it knows of that. It may have asked a third
   * that did not know yet: so the line that listens asks these questions, for it is then told who has the slot now; and it notices a member that is silent.
   */
  protected asker(): IsSame<Followed> {
    void this.#agreement.check();
    const line = this.#subscriber.isCluster && this.#subscriber.isUp ? this.#subscriber : this.#reader;
    return async ({ channel }, known) => {
      const { meta } = this.#places.of(channel);
      const [lineage, top, topTag] = listOf(await line.send(meta, ["HMGET", meta, "lineage", "top", "topTag"]));
      if (lineage === null) return known.epoch === ORIGIN.epoch;
      const epoch = readLineage(textOf(lineage)).at(-1)?.epoch;
      return epoch === known.epoch && Number(textOf(top)) === known.offset && textOf(topTag) === known.tag;
    };
  }

  protected make(channel: string): Followed {
    return newlyFollowed(channel);
  }

  protected began(followed: Followed): void {
    if (!this.#isBegun) this.#subscriber.begin();
    else if (this.#subscriber.isUp) void this.subscribe([followed]);
    this.#isBegun = true;
  }

  protected ended({ channel }: Followed): void {
    if (this.#subscriber.isUp) this.#subscriber.unsubscribe([this.#places.of(channel).wake]).catch(() => {});
  }

  /** Those to which listening was refused ask again. And a line on which one only listens is asked for an answer: by itself it would not notice that nothing comes any more. */
  protected override poll(some: readonly Followed[]): Promise<void> {
    if (this.isHearing() && some.length > 0) {
      void this.subscribe(some.filter(({ isListening }) => !isListening));
      // One that has none is lost, and listens anew
      this.#subscriber.ping().catch(() => {});
    }
    return super.poll(some);
  }

  protected async subscribe(asked: readonly Followed[]): Promise<void> {
    const all = asked.filter((followed) => !this.#subscribing.has(followed));
    for (const followed of all) this.#subscribing.add(followed);
    for (let from = 0; from < all.length; from += SUBSCRIBE_COUNT_MAX) {
      const some = all.slice(from, from + SUBSCRIBE_COUNT_MAX).filter((followed) => this.isFollowed(followed));
      // Of a cluster one member may be away
      const parts = this.#subscriber.isCluster ? some.map((followed) => [followed]) : some.length > 0 ? [some] : [];
      await Promise.all(parts.map((part) => this.#listenTo(part)));
    }
    for (const followed of all) this.#subscribing.delete(followed);
  }

  async #listenTo(some: readonly Followed[]): Promise<void> {
    try {
      await this.#subscriber.subscribe(some.map(({ channel }) => this.#places.of(channel).wake));
    } catch {
      // The line was lost: `up` comes again. What refuses it leaves the poll, which asks again
      return;
    }
    for (const followed of some) followed.isListening = true;
    await super.poll(some);
  }
}
