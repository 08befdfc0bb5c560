import type { FaultEvent, GapEvent } from "./history.ts";

/** What is lost with a power cut is lost with a burnt machine too, and so on. A level that is not known is the weakest. */
const LEVELS = ["memory", "disk", "replicated"];

export function rankOf(level: string | undefined): number {
  return Math.max(0, LEVELS.indexOf(level ?? ""));
}

interface Loss {
  readonly t: number;
  readonly channel: string | undefined;
  /** Acknowledged messages of this rank and below may be gone; -1: none, though what readers hold may be called in question. */
  readonly rank: number;
  readonly rewrites: boolean;
}

/** What was broken, as far as it excuses something. */
export class Causes {
  readonly #began = new Map<string, number>();
  readonly #losses: Loss[] = [];
  readonly #generations = new Map<string | undefined, number>();
  /** When all faults were over; null while nobody has said so. */
  calmAt: number | null = null;

  add({ t, phase, channel, may = [], loses = [], rewrites = false }: FaultEvent): void {
    this.calmAt = phase === "calm" ? t : null;
    if (phase === "calm") return;
    for (const reason of may) {
      const cause = `${reason} ${channel ?? ""}`;
      if (!this.#began.has(cause)) this.#began.set(cause, t);
    }
    if (loses.length === 0 && !may.includes("truncated") && !may.includes("epoch")) return;
    this.#losses.push({ t, channel, rank: Math.max(-1, ...loses.map(rankOf)), rewrites });
    this.#generations.set(channel, (this.#generations.get(channel) ?? 0) + 1);
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

  /** Whether something of this rank may have been lost within these times. */
  mayLose(channel: string, rank: number, from: number, to = Number.POSITIVE_INFINITY): boolean {
    return this.#losses.some((loss) => loss.rank >= rank && loss.t >= from && loss.t <= to && (loss.channel ?? channel) === channel);
  }
}
