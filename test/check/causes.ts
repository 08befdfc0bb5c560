import type { FaultEvent, GapEvent } from "./history.ts";

/** What is lost with a power cut is lost with a burnt machine too, and so on. A level that is not known is the weakest. */
const LEVELS = ["memory", "disk", "replicated"];

export function rankOf(level: string | undefined): number {
  return Math.max(0, LEVELS.indexOf(level ?? ""));
}

interface Loss {
  readonly t: number;
  /** As long as there are two logs one of which is lost; else at once. */
  until: number;
  readonly channel: string | undefined;
  /** Acknowledged messages of this rank and below may be gone; -1: none, though what readers hold may be called in question. */
  readonly rank: number;
  readonly rewrites: boolean;
  /** The kind of a fault that lasts. */
  readonly splits: string | null;
}

/** What was broken, as far as it excuses something. */
export class Causes {
  readonly #began = new Map<string, number>();
  readonly #losses: Loss[] = [];
  readonly #generations = new Map<string | undefined, number>();
  /** When all faults were over; null while nobody has said so. */
  calmAt: number | null = null;

  add({ t, kind, phase, channel, may = [], loses = [], rewrites = false, splits = false }: FaultEvent): void {
    this.calmAt = phase === "calm" ? t : null;
    if (phase === "calm") return;
    const split = this.#losses.find((loss) => loss.splits === kind && loss.until > t);
    if (phase === "stop" && split !== undefined) {
      split.until = t;
      this.#lose({ t, until: t, channel: split.channel, rank: -1, rewrites: false, splits: null });
    }
    for (const reason of may) {
      const cause = `${reason} ${channel ?? ""}`;
      if (!this.#began.has(cause)) this.#began.set(cause, t);
    }
    if (loses.length === 0 && !may.includes("truncated") && !may.includes("epoch")) return;
    const until = splits ? Number.POSITIVE_INFINITY : t;
    this.#lose({ t, until, channel, rank: Math.max(-1, ...loses.map(rankOf)), rewrites, splits: splits ? kind : null });
  }

  /** Whether a gap of this reason may be told now. */
  allows(channel: string, reason: GapEvent["reason"]): boolean {
    return this.#began.has(`${reason} ${channel}`) || this.#began.has(`${reason} `);
  }

  /** Counts what may have taken a channel's log back: offsets of one generation only can be compared. */
  generation(channel: string, at?: number): number {
    if (at !== undefined) return this.#losses.filter((loss) => loss.t <= at && (loss.channel ?? channel) === channel).length;
    return (this.#generations.get(channel) ?? 0) + (this.#generations.get(undefined) ?? 0);
  }

  /** Whether offsets were given again under one epoch before this time. */
  rewrote(channel: string, before: number): boolean {
    return this.#losses.some((loss) => loss.rewrites && loss.t <= before && (loss.channel ?? channel) === channel);
  }

  /** Whether there were two logs then, or within so many milliseconds before. */
  isSplit(channel: string, t: number, withinMs = 0): boolean {
    return this.#losses.some(
      (loss) => loss.splits !== null && loss.t <= t && loss.until >= t - withinMs && (loss.channel ?? channel) === channel,
    );
  }

  /** Whether something of this rank may have been lost within these times. */
  mayLose(channel: string, rank: number, from: number, to = Number.POSITIVE_INFINITY): boolean {
    return this.#losses.some((loss) => loss.rank >= rank && loss.until >= from && loss.t <= to && (loss.channel ?? channel) === channel);
  }

  #lose(loss: Loss): void {
    this.#losses.push(loss);
    this.#generations.set(loss.channel, (this.#generations.get(loss.channel) ?? 0) + 1);
  }
}
