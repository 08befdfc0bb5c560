import type { Gap } from "../client/channel.ts";

const WHY: Readonly<Record<Gap["reason"], string>> = {
  trimmed: "they are older than what the channel keeps",
  truncated: "the log lost its end, or is an older copy",
  epoch: "the channel was removed and made anew, or is another one",
};

/** For a person: what cannot be delivered, and why. */
export function sentenceOfGap({ channel, reason, missing, resumeFrom }: Gap): string {
  const what = missing === null ? "Messages" : missing === 1 ? "1 message" : `${missing} messages`;
  return `Gap: ${what} of ${channel} cannot be delivered: ${WHY[reason]}. Going on after ${resumeFrom}.`;
}
