import type { Line } from "./line.ts";

/**
 * That all lines of a node lead to one Redis, which is the master. After a failover their address leads to another one, and a connection that nobody cut still leads to the one before: it is a replica now,
 * and shows what it has, or it was cut off and takes itself for the master. What is written by one line is not read by another then, and wake-ups come from neither.
 */
export class Agreement {
  readonly #lines: readonly Line[];
  /** Those that can be asked at any time: one that has subscribed cannot. */
  readonly #asked: readonly Line[];
  #isUnderWay = false;

  constructor(asked: readonly Line[], deaf: Line) {
    this.#asked = asked;
    this.#lines = [...asked, deaf];
  }

  /** Asks where they lead, and opens those anew that lead elsewhere than the one that was opened last: that one knows best where the master is. */
  async check(): Promise<void> {
    if (this.#isUnderWay) return;
    this.#isUnderWay = true;
    // What may not be asked, or cannot now, agrees
    await Promise.allSettled(this.#asked.map((line) => line.findLead()));
    this.#isUnderWay = false;
    const known = this.#lines.filter(({ lead }) => lead !== "").sort((a, b) => a.upMs - b.upMs);
    for (const line of known) if (line.lead !== known[0]?.lead) line.renew("another connection has found another one.");
  }
}
