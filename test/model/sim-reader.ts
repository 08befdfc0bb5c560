import type { Gap, Message } from "../../src/client.ts";
import type { From } from "../../src/protocol/frame.ts";
import { NO_TAG } from "../../src/protocol/position.ts";
import { hashOf } from "../check/history.ts";
import type { SimClient } from "./sim-client.ts";
import type { World } from "./sim-world.ts";

/** A gap of the channel, which may be this reader's. */
interface Told extends Gap {
  readonly toldAt: number;
  readonly isShared: boolean;
}

export interface ReaderOptions {
  readonly cid: string;
  readonly channel: string;
  readonly from: From;
  readonly kind: "callback" | "iterator";
  readonly client: SimClient;
  /** It puts the channel on the line: where that begins, it does. */
  readonly isFirst: boolean;
}

/** One subscription as its application sees it: what it gets is written down where the application gets it. */
export class Reader {
  readonly cid: string;
  readonly channel: string;
  readonly from: From;
  readonly kind: "callback" | "iterator";
  readonly client: SimClient;
  /** It has everything up to here. Null before it knows where it began. */
  position: string | null = null;
  hasEnded = false;
  /** An application that takes nothing for a while. */
  isHolding = false;
  stop: () => void = () => {};
  readonly #world: World;
  readonly #isFirst: boolean;
  readonly #askedAt: number;
  readonly #askedTurn: number;
  /** Told, but not yet reached by what it takes, or perhaps another's. */
  #gaps: Told[] = [];
  #go: (() => void) | null = null;

  constructor(world: World, { cid, channel, from, kind, client, isFirst }: ReaderOptions) {
    this.#world = world;
    this.cid = cid;
    this.channel = channel;
    this.from = from;
    this.kind = kind;
    this.client = client;
    this.#isFirst = isFirst;
    this.#askedAt = world.time.nowMs;
    this.#askedTurn = world.oracle.turn;
    if (typeof from === "object" && "after" in from) this.#begin(from.after);
  }

  /** The line of its channel stands at `position`. */
  joins(position: string): void {
    if (this.#isFirst && this.position === null && !this.hasEnded) this.#begin(position);
  }

  take(message: Message): void {
    const { position, data, offset } = message;
    if (this.hasEnded) {
      if (this.client.owner.isAlive) this.#world.fail(`${this.cid} got a message after its end`);
      return;
    }
    if (this.position === null) {
      // One that is pulled may have begun, been told a gap, and take only now what follows it
      const gap = this.#gaps.findLast(
        ({ since, resumeFrom }) =>
          offsetOf(resumeFrom) === offset - 1 && (since === null || since < position || this.#beganBehind(position)),
      );
      if (gap === undefined) this.#begin(before(position, offset));
      else this.#skip(gap);
    }
    this.#pass(offset, position);
    this.position = position;
    const { transport } = this.client.client;
    this.#world.history.push({
      type: "message",
      t: this.#world.time.nowMs,
      cid: this.cid,
      channel: this.channel,
      position,
      hash: hashOf(data),
      ...(transport === null ? {} : { transport }),
    });
    this.#world.delivered(this, position, data);
    this.#passSure();
  }

  /** A gap of the channel, of which several may read. False if it cannot be this one's. */
  told(gap: Gap, isShared: boolean): boolean {
    if (this.kind === "iterator" || isShared) {
      // One that has not begun has lost nothing, whosever this is; but one that is pulled may have begun, and not have been seen to
      if (this.position !== null || this.kind === "iterator") this.#gaps.push({ ...gap, toldAt: this.#world.time.nowMs, isShared });
      this.#passSure();
      return true;
    }
    // What was told while others read too may have brought it to this place: now that it goes on from there, that was its own
    const way = this.#wayTo(gap.since);
    if (way === null) return false;
    for (const earlier of way) this.#skip(earlier);
    this.#skip(gap);
    return true;
  }

  /** Where it stands, with what it was told but has not come to: where it settles. */
  get place(): string | null {
    let place = this.position;
    let gaps = this.#gaps;
    for (let gap = own(gaps, place).at(-1); gap !== undefined; gap = own(gaps, place).at(-1)) {
      place = gap.resumeFrom;
      gaps = gaps.slice(gaps.indexOf(gap) + 1);
    }
    return place;
  }

  /** The gaps that it was told, perhaps, which lead from where it stands to `place`; null if none do. */
  #wayTo(place: string | null): Told[] | null {
    const way: Told[] = [];
    let before = place;
    for (const gap of this.#gaps.toReversed()) {
      if (this.position === null || isSame(before, this.position)) break;
      if (before === null || !isSame(before, gap.resumeFrom)) continue;
      way.unshift(gap);
      before = gap.since;
    }
    return this.position === null || isSame(before, this.position) ? way : null;
  }

  /** The end: what it was told for where it stands is its own. */
  settle(): void {
    for (let gap = this.#own().at(-1); gap !== undefined; gap = this.#own().at(-1)) this.#skip(gap);
  }

  /** Those that can be nobody else's. */
  #passSure(): void {
    for (let gap = this.#own()[0]; gap !== undefined && !gap.isShared; gap = this.#own()[0]) this.#skip(gap);
  }

  /** Nothing is owed to it any more. */
  ends(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#world.history.push({ type: "end", t: this.#world.time.nowMs, cid: this.cid, channel: this.channel });
  }

  async mayTake(): Promise<void> {
    while (this.isHolding) {
      await new Promise<void>((resolve) => {
        this.#go = resolve;
      });
    }
  }

  goOn(): void {
    this.isHolding = false;
    this.#go?.();
    this.#go = null;
  }

  /** Asked for at the end of a log that had this message already, it comes to it by a gap only, as when a copy takes the place of a log that was removed. */
  #beganBehind(position: string): boolean {
    return mayBeginAtEnd(this.from) && this.#world.oracle.isOlder(this.channel, position, this.#askedTurn);
  }

  /** The gaps between where it stands and the next offset. Of several told for one place, the one that leads to that offset is its own. */
  #pass(next: number, message: string): void {
    for (;;) {
      const own = this.#own();
      const leading = own.findLast((gap) => this.#leads(gap, next));
      // It goes on from where it stands, as some log did, and not from where the gap leads: that was another's, who stood there too or came there before
      if (leading?.isShared !== false && this.#goesOnWith(message)) return;
      const gap = leading ?? own.at(-1);
      const isPassed =
        offsetOf(this.position ?? "") === next - 1 &&
        (gap?.reason === "trimmed" || (gap?.reason === "epoch" && this.position?.slice(0, 20) === message.slice(0, 20)));
      if (gap === undefined || isPassed) return;
      this.#skip(gap);
    }
  }

  /** Whether some log had this message right after the one where it stands. */
  #goesOnWith(message: string): boolean {
    return this.position !== null && this.#world.oracle.isPair(this.channel, this.position, message);
  }

  /** Whether it leads to right before this offset, by itself or with what was told after it. */
  #leads(gap: Told, next: number): boolean {
    if (offsetOf(gap.resumeFrom) === next - 1) return true;
    const later = this.#gaps.slice(this.#gaps.indexOf(gap) + 1);
    return later.some((one) => isSame(one.since, gap.resumeFrom) && this.#leads(one, next));
  }

  #own(): Told[] {
    return own(this.#gaps, this.position);
  }

  #skip(gap: Gap & { readonly toldAt?: number }): void {
    this.#gaps = this.#gaps.slice(this.#gaps.indexOf(gap as Told) + 1);
    const { reason, since, resumeFrom, missing, toldAt } = gap;
    if (this.position === null) this.#begin(since ?? resumeFrom);
    this.position = resumeFrom;
    this.#world.history.push({
      type: "gap",
      t: this.#world.time.nowMs,
      cid: this.cid,
      channel: this.channel,
      reason,
      since,
      resumeFrom,
      missing,
      ...(toldAt === undefined ? {} : { toldAt }),
    });
    this.#world.told(gap);
  }

  #begin(position: string): void {
    this.position = position;
    this.#world.history.push({
      type: "begin",
      t: this.#world.time.nowMs,
      cid: this.cid,
      channel: this.channel,
      position,
      askedAt: this.#askedAt,
    });
  }
}

/** Those that were told for where one stands. What was told to it alone comes in its turn: a place may come again, as the origin does. */
function own(gaps: readonly Told[], position: string | null): Told[] {
  const own: Told[] = [];
  for (const gap of gaps) {
    if (position !== null && isSame(gap.since, position)) own.push(gap);
    else if (!gap.isShared) break;
  }
  return own;
}

/** Epochs may differ where one begins at the very place: the offset and the tag tell. */
function isSame(since: string | null, position: string): boolean {
  return since !== null && since.slice(20) === position.slice(20);
}

export function offsetOf(position: string): number {
  return Number(position.slice(21, 37));
}

function before(position: string, offset: number): string {
  return `${position.slice(0, 20)}.${String(offset - 1).padStart(16, "0")}.${NO_TAG}`;
}

/** One that is asked for late enough begins at the end, and has nothing to be told. */
export function mayBeginAtEnd(from: From): boolean {
  return from === "now" || (typeof from === "object" && ("since" in from || ("last" in from && from.last === 0)));
}

export function isAt(position: string, head: string): boolean {
  const [, offset, tag] = position.split(".");
  const [, headOffset, headTag] = head.split(".");
  return offset === headOffset && (tag === headTag || tag === NO_TAG || headTag === NO_TAG);
}
