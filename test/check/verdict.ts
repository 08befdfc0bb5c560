import type { GapReason } from "../../src/protocol/frame.ts";

/** Each fault that a history can have, and the property that it breaks. */
export const PROPERTY_OF = {
  phantom: "P1",
  "aborted-read": "P1",
  corrupt: "P1",
  "silent-gap": "P2",
  duplicate: "P2",
  reorder: "P2",
  "epoch-change-without-gap": "P2",
  "duplicate-mid": "P3",
  divergence: "P4",
  "lost-prefix": "P5",
  "lost-middle": "P5",
  "lost-postfix": "P5",
  "hole-in-log": "P6",
  "duplicate-publish": "P6",
  "realtime-order": "P7",
  "publisher-order": "P7",
  "gap-lied": "P8",
  "spurious-gap": "P8",
  "never-caught-up": "P9",
  missed: "P9",
  "unsignalled-loss": "P10",
} as const;

export type ViolationName = keyof typeof PROPERTY_OF;

export interface Violation {
  readonly property: (typeof PROPERTY_OF)[ViolationName];
  readonly name: ViolationName;
  readonly sentence: string;
  readonly t: number;
}

export interface Counts {
  events: number;
  channels: number;
  /** Attempts: a repetition is one more. */
  published: number;
  stored: number;
  /** Of those stored, the ones whose key was known. */
  duplicates: number;
  refused: number;
  /** Told `unknown`, or never answered. */
  unknown: number;
  delivered: number;
  readers: number;
  gaps: Record<GapReason, number>;
  pipes: number;
  /** How often each kind of fault began. */
  faults: Record<string, number>;
  /** Acknowledged messages that are gone, as their level allows. */
  lost: number;
  /** All of them, also those beyond `violationsMax`. */
  violations: number;
}

export interface Verdict {
  /** In the order of time. */
  readonly violations: readonly Violation[];
  readonly counts: Counts;
}

/** Collects what was found: the first `violationsMax` of each name, since one fault may show a million times. */
export class Findings {
  readonly counts: Counts = {
    events: 0,
    channels: 0,
    published: 0,
    stored: 0,
    duplicates: 0,
    refused: 0,
    unknown: 0,
    delivered: 0,
    readers: 0,
    gaps: { trimmed: 0, truncated: 0, epoch: 0 },
    pipes: 0,
    faults: {},
    lost: 0,
    violations: 0,
  };
  readonly #violations: Violation[] = [];
  readonly #seen = new Map<ViolationName, number>();
  readonly #violationsMax: number;

  constructor(violationsMax: number) {
    this.#violationsMax = violationsMax;
  }

  add(name: ViolationName, t: number, sentence: string): void {
    this.counts.violations++;
    const seen = (this.#seen.get(name) ?? 0) + 1;
    this.#seen.set(name, seen);
    if (seen <= this.#violationsMax) this.#violations.push({ property: PROPERTY_OF[name], name, sentence, t });
  }

  verdict(): Verdict {
    return { violations: this.#violations.sort((a, b) => a.t - b.t), counts: this.counts };
  }
}
