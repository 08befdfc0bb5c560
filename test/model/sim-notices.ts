import type { Notice } from "../../src/core/log.ts";
import type { Chance } from "./sim-chance.ts";
import type { NodeLog } from "./sim-store.ts";
import type { Time } from "./sim-time.ts";

/** What befalls the notices between nodes. */
export interface Weather {
  /** How likely one is lost, on its way to one node. */
  readonly loses: number;
  /** How likely it comes twice. */
  readonly doubles: number;
  /** Each is late by up to so much, so that they overtake each other. */
  readonly lateMsMax: number;
}

export const FAIR: Weather = { loses: 0, doubles: 0, lateMsMax: 0 };

/** What comes so late is as good as lost to whoever waits for it. */
const LATE_MS = 100;
/** The second of two comes within this time. */
const TWICE_MS_MAX = 2_000;
/** How long it may take until a node hears of what it has begun to follow. */
const FOLLOW_MS_MAX = 60;

interface NoticesContext {
  readonly time: Time;
  readonly chance: Chance;
  /** Whether there is anything that could carry them. */
  readonly isUp: () => boolean;
  readonly onSaid: (notice: Notice) => void;
  readonly onHeard: (by: NodeLog, notice: Notice) => void;
}

/**
 * What nodes say to each other, on its way: best effort, so whatever stands between a node and the store takes some of it. Of what is said about requests and
 * revocations more may come to pass than an engine does (it gives nothing twice, nor behind what was said later): they are to hold all the same.
 */
export class Notices {
  weather = FAIR;
  /** When the last of them was lost, or would have come. */
  troubledMs = Number.NEGATIVE_INFINITY;
  /** The most that one was late. */
  latestMs = 0;
  readonly #context: NoticesContext;

  constructor(context: NoticesContext) {
    this.#context = context;
  }

  carry(from: NodeLog, others: Iterable<NodeLog>, notice: Notice): void {
    this.#context.onSaid(notice);
    for (const to of others) if (to !== from) this.#carryTo(to, from, notice);
  }

  heard(by: NodeLog, notice: Notice): void {
    this.#context.onHeard(by, notice);
  }

  /** How long until what is followed from now on is heard of. */
  followMs(): number {
    const { chance } = this.#context;
    return chance.is(0.3) ? chance.between(0, FOLLOW_MS_MAX) : 0;
  }

  #carryTo(to: NodeLog, from: NodeLog, notice: Notice): void {
    const { time, chance, isUp } = this.#context;
    const { loses, doubles, lateMsMax } = /^(request|revocation) /.test(notice.body) ? this.weather : FAIR;
    if (!isUp() || from.isDeaf || to.isDeaf || (to.isForgetful && chance.is(0.5)) || (loses > 0 && chance.is(loses))) {
      this.troubledMs = Math.max(this.troubledMs, time.nowMs);
      return;
    }
    const lateMs = lateMsMax === 0 ? 0 : chance.between(0, lateMsMax);
    this.latestMs = Math.max(this.latestMs, lateMs);
    if (lateMs > LATE_MS) this.troubledMs = Math.max(this.troubledMs, time.nowMs + lateMs);
    to.hear(notice, lateMs);
    if (doubles > 0 && chance.is(doubles)) to.hear(notice, chance.between(0, TWICE_MS_MAX));
  }
}
