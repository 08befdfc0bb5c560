import type { Era } from "../../core/log.ts";
import { NO_EPOCH } from "../../protocol/position.ts";
import { checkData } from "./check.ts";
import { findLog, holdsData } from "./directory.ts";
import { readJson } from "./record.ts";
import { Snapshot } from "./snapshot.ts";
import { epochOf, type Stand } from "./stand.ts";
import { NAMES, readAbout, readStand } from "./tables.ts";

/** What a log had that is replaced by a backup. */
export interface Lost {
  /** Messages that the backup does not have; null where the log could not be read. */
  readonly messages: number | null;
  /** Channels that the backup does not have at all. */
  readonly channels: number;
}

/** The log whose place a backup takes, if there is one, and as far as it can be read: a damaged one is what backups are for. */
export class Replaced {
  readonly #snapshot: Snapshot | null;
  readonly #isThere: boolean;
  /** Later than every epoch that it had. */
  latestEpoch = NO_EPOCH;
  #channels = 0;
  #messages = 0;

  private constructor(snapshot: Snapshot | null, isThere: boolean) {
    this.#snapshot = snapshot;
    this.#isThere = isThere;
  }

  static async open(directory: string): Promise<Replaced> {
    if (!holdsData(directory)) return new Replaced(null, false);
    let snapshot: Snapshot | null = null;
    try {
      findLog(directory);
      await checkData(directory);
      snapshot = new Snapshot(directory);
      const replaced = new Replaced(snapshot, true);
      replaced.#count(snapshot);
      return replaced;
    } catch {
      await snapshot?.close();
      return new Replaced(null, true);
    }
  }

  /**
   * Called once with each channel of the backup. Gives the epochs that only this log knows of the same line: they ended where the backup ends. Where both went on from where
   * they parted, that is nowhere, and none is given: whoever holds a position in one is told `epoch`, not that nothing is missing.
   */
  takeOver(channel: string, backedUp: Stand): Era[] {
    const stand = this.#snapshot === null ? null : readStand(this.#snapshot, channel);
    if (stand === null) return [];
    this.#channels--;
    const isKnown = ({ epoch }: Era) => backedUp.lineage.some((era) => era.epoch === epoch);
    const shared = stand.lineage.findLast(isKnown);
    if (shared === undefined) return [];
    const common = Math.min(endOf(stand, shared.epoch), endOf(backedUp, shared.epoch));
    this.#messages -= Math.max(0, common - stand.first + 1);
    if (stand.top > common && backedUp.top > common) return [];
    return stand.lineage.filter((era) => !isKnown(era)).map(({ epoch }) => ({ epoch, start: backedUp.top + 1 }));
  }

  /** After the last channel: what is lost; null if there was no log. */
  lost(): Lost | null {
    if (!this.#isThere) return null;
    return { messages: this.#snapshot === null ? null : this.#messages, channels: this.#channels };
  }

  async close(): Promise<void> {
    await this.#snapshot?.close();
  }

  #count(snapshot: Snapshot): void {
    this.latestEpoch = readAbout(snapshot)?.removedEpoch ?? NO_EPOCH;
    for (const { key, value } of snapshot.rows("channels", ...NAMES)) {
      const stand = readJson<Stand>(key, value, "The head of a channel");
      const epoch = epochOf(stand);
      if (epoch > this.latestEpoch) this.latestEpoch = epoch;
      this.#channels++;
      this.#messages += stand.top - stand.first + 1;
    }
  }
}

/** The last offset of an epoch. */
function endOf({ lineage, top }: Stand, epoch: string): number {
  const next = lineage[lineage.findIndex((era) => era.epoch === epoch) + 1];
  return next === undefined ? top : next.start - 1;
}
