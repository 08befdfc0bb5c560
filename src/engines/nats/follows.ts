import type { Notice } from "../../core/log.ts";
import { topOf } from "../../core/resume.ts";
import { ORIGIN } from "../../protocol/position.ts";
import { messageOf } from "../broker-failure.ts";
import { type BrokerContext, BrokerFollows, type Followed, type IsSame, NOTICES_PENDING_MAX, newlyFollowed } from "../broker-follows.ts";
import type { Channels } from "./channels.ts";
import type { NatsHeaders, NatsMessage } from "./connection.ts";
import type { JetStream } from "./jetstream.ts";
import type { Line } from "./line.ts";
import type { Places } from "./places.ts";
import type { Reader } from "./reader.ts";
import { bufferOf, decodeSheet, type Sheet } from "./record.ts";
import { headOf, standingAfter } from "./standing.ts";

interface Heard extends Followed {
  /** Where its whole stream ended when it was looked at last, and how many messages it had: as long as that is so, there is nothing to look at. */
  end: string;
  /** The last epoch of the log that was removed last, as far as this node has heard: what is told of that log, or of one before it, comes late. */
  removed: string;
  unsubscribe: () => void;
}

export interface FollowsContext extends Omit<BrokerContext, "engine" | "read"> {
  readonly places: Places;
  readonly js: JetStream;
  readonly reader: Reader;
  readonly channels: Channels;
  /** Opened when the first channel is followed. */
  readonly hearing: Line;
}

/** What this node follows in NATS, which tells what it has stored, the message itself; each bears the tag of the one before it, so that what was missed is seen at once. */
export class Follows extends BrokerFollows<Heard> {
  readonly #places: Places;
  readonly #js: JetStream;
  readonly #reader: Reader;
  readonly #written: Channels;
  readonly #hearing: Line;
  #isBegun = false;
  /** Notices of which it is not known yet that NATS has taken them. */
  #said = 0;

  constructor({ places, js, reader, channels, hearing, ...context }: FollowsContext) {
    super({ ...context, engine: "nats", read: (channel, after, limit) => reader.read(channel, after, limit) });
    this.#places = places;
    this.#js = js;
    this.#reader = reader;
    this.#written = channels;
    this.#hearing = hearing;
  }

  /** A sheet is stored: by this node, in the turn in which its publish is answered, or by another. */
  saw(channel: string, sheet: Sheet, isOwn: boolean): void {
    const followed = this.channels.get(channel);
    if (followed === undefined) return;
    const { epoch, start } = sheet.lineage.at(-1)!;
    if (sheet.lines.length === 0) {
      if (epoch > followed.removed) followed.removed = epoch;
      if (isOwn || (followed.known !== null && followed.known.epoch <= epoch)) this.tellChanged(followed, ORIGIN);
      return;
    }
    const { known } = followed;
    // The first look was answered before this append, though it came after it
    if (isOwn && followed.isPlaced && known !== null && epoch === known.epoch && sheet.first <= known.offset) {
      followed.known = null;
      this.look(followed);
    }
    const isNext =
      followed.known === null
        ? isOwn
        : sheet.first === followed.known.offset + 1 &&
          (sheet.first === 1 ? epoch > followed.removed : sheet.tagBefore === followed.known.tag) &&
          (epoch === followed.known.epoch || start === sheet.first);
    if (isNext || isOwn) {
      const entries = sheet.lines.map(({ entry }) => entry);
      this.tell(followed, epoch, entries, !isNext);
      return;
    }
    const { offset, tag } = sheet.lines.at(-1)!.entry;
    const isKnown = known !== null && epoch === known.epoch && (offset < known.offset || (offset === known.offset && tag === known.tag));
    if (!isKnown) this.look(followed);
  }

  /** Tells other nodes that follow the channel, unless too much is under way already. */
  notify(line: Line, { channel, body }: Notice): void {
    if (!line.isUp || this.#said >= NOTICES_PENDING_MAX) return;
    line.tell(this.#places.of(channel).told, this.numbered(body));
    if (this.#said++ === 0) void this.#confirm(line);
  }

  /** A notice has no answer; but one that is asked behind it shows that it has been taken. */
  async #confirm(line: Line): Promise<void> {
    while (this.#said > 0) {
      const said = this.#said;
      // Where no answer comes they are gone, or the line is given up
      await line.flush().catch(() => {});
      this.#said -= said;
    }
  }

  protected isHearing(): boolean {
    return this.#hearing.isUp;
  }

  protected canAsk(): boolean {
    return this.#js.line.isUp;
  }

  protected override isWriting(channel: string): boolean {
    return this.#written.isUsed(channel);
  }

  /** One question for each stream, and one more for a channel in a stream to which something was added. */
  protected asker(): IsSame<Heard> {
    const ends = new Map<string, Promise<string>>();
    const endOf = (stream: string) => {
      const end = ends.get(stream) ?? this.#js.info(stream).then(({ created, state }) => `${created} ${state.last_seq} ${state.messages}`);
      ends.set(stream, end);
      return end;
    };
    return async (followed, known) => {
      const place = this.#places.of(followed.channel);
      const end = await endOf(place.stream);
      if (end === followed.end) return true;
      const last = await this.#reader.last(place);
      const isThere = last !== null && last.lines.length > 0;
      const top = isThere ? topOf(headOf(standingAfter(last), 1, "")) : ORIGIN;
      const isSame = top.epoch === known.epoch && top.offset === known.offset && top.tag === known.tag;
      if (isSame) followed.end = end;
      return isSame;
    };
  }

  protected make(channel: string): Heard {
    return { ...newlyFollowed(channel), end: "", removed: "", unsubscribe: () => {} };
  }

  protected began(followed: Heard): void {
    if (!this.#isBegun) this.#hearing.begin();
    else if (this.#hearing.isUp) void this.subscribe([followed]);
    this.#isBegun = true;
  }

  protected ended({ unsubscribe }: Heard): void {
    unsubscribe();
  }

  protected async subscribe(some: readonly Heard[]): Promise<void> {
    for (const followed of some)
      followed.unsubscribe = this.#hearing.subscribe(this.#places.of(followed.channel).told, (message) => this.#heard(followed, message));
    try {
      await this.#hearing.flush();
    } catch {
      // The line was lost: `up` comes again
      return;
    }
    for (const followed of some) followed.isListening = true;
    await this.poll(some.filter((followed) => this.isFollowed(followed)));
  }

  #heard(followed: Heard, { headers, data }: NatsMessage): void {
    if (!this.isFollowed(followed)) return;
    const { channel } = followed;
    const seq = Number(headers?.get("Nats-Sequence") ?? 0);
    if (headers === undefined || !(seq > 0)) {
      this.hearNotice(followed, bufferOf(data).toString());
      return;
    }
    const sheet = this.#decode(seq, headers, data);
    this.pollLater(followed);
    if (sheet === null || sheet.node === this.node) return;
    this.#written.heard(channel, sheet);
    this.saw(channel, sheet, false);
  }

  /** Null: it is none of this engine. A reader of the log says so too, if it stands there. */
  #decode(seq: number, headers: NatsHeaders, data: Uint8Array): Sheet | null {
    try {
      return decodeSheet(seq, (name) => headers.get(name), data);
    } catch (error) {
      this.warn(messageOf(error));
      return null;
    }
  }
}
