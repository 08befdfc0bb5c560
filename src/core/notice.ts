import type { Notice } from "./log.ts";

/*
 * What nodes tell each other by `Log.notify` begins with a word that says what it is about, which tells it from a signal: that begins with a brace. So what a client signals is never
 * taken for a word of a node.
 */

/** A notice, on its way. */
export function noticeOf(about: string, channel: string, said: object): Notice {
  return { channel, body: `${about} ${JSON.stringify(said)}` };
}

/** What it says; null if it is about something else. */
export function readNotice<Said>(about: string, { body }: Notice): Said | null {
  return body.startsWith(`${about} `) ? JSON.parse(body.slice(about.length + 1)) : null;
}
