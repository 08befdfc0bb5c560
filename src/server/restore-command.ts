import { resolve } from "node:path";
import { systemRandom } from "../adapters/system.ts";
import { type Restored, restore } from "../engines/disk/restore.ts";
import { makeEpoch } from "../protocol/position.ts";
import { amountOf, counted } from "./amount.ts";

export interface RestoreCommandOptions {
  readonly data: string;
  readonly force?: boolean | undefined;
}

const EPOCH_LETTERS = 8;

/** Makes a log of a backup. Gives the exit code. Throws what keeps it from that, with what to do. */
export async function restoreFrom(file: string, options: RestoreCommandOptions, print: (text: string) => void): Promise<number> {
  const directory = resolve(options.data);
  const restored = await restore(resolve(file), directory, {
    force: options.force === true,
    epochAfter: (previous) => makeEpoch(Date.now(), systemRandom.letters(EPOCH_LETTERS), previous),
  });
  const { messages, channels, at } = restored;
  print(`Restored ${amountOf(messages, channels)} as of ${at.toISOString()} to ${directory}.`);
  const loss = sentenceOfLoss(restored);
  if (loss !== null) print(loss);
  return 0;
}

function sentenceOfLoss({ lost }: Restored): string | null {
  if (lost === null) return null;
  if (lost.messages === null) return "The log that was there could not be read. Readers are told what they miss of it.";
  if (lost.messages === 0) return "The log that was there had nothing more.";
  const whole = lost.channels === 0 ? "" : `, and ${counted(lost.channels, "channel")} with all of theirs`;
  return `Lost with the log that was there: ${counted(lost.messages, "message")}${whole}. Readers that had them are told.`;
}
