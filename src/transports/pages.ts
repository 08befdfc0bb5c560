import type { History } from "../core/history.ts";
import { epochOf, type Gap } from "../core/resume.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { GapFrame } from "../protocol/frame.ts";
import type { Start } from "../protocol/from.ts";
import { formatPosition, parsePosition } from "../protocol/position.ts";
import { dataJson } from "../wire/frame-json.ts";
import { answerText } from "./answer.ts";
import type { Call } from "./call.ts";
import { Bell } from "./long-poll.ts";
import { permit } from "./permit.ts";
import { startOf } from "./streams.ts";

const PAGE_COUNT = 100;

/** A page of history, and the long-poll on one channel (PROTOCOL.md §4.2). */
export async function readPage(call: Call): Promise<void> {
  const { hub, exchange, identity, channel } = call;
  const wait = exchange.query.get("wait");
  const limit = {
    count: Math.min(readCount(exchange.query.get("limit"), PAGE_COUNT), hub.limits.pageCountMax),
    bytes: hub.limits.pageBytesMax,
  };
  const before = exchange.query.get("before");
  const start: Start = startOf(exchange, wait === null ? "start" : "now");
  if (wait === null) {
    await permit(call, "history", channel);
    const query = { from: start, limit, ...(before === null ? {} : { before: parsePosition(before) }) };
    respond(call, await hub.history(channel, query));
    return;
  }
  await hub.gate.authorize(identity, "subscribe", channel);
  hub.connections.admit();
  respond(call, await poll(call, start, limit, Math.min(readCount(wait, 0), hub.limits.waitSecondsMax)));
}

/** A page as soon as there is something on it, or when the time is over. While it waits it is a pipe like any other: what ends those ends it. */
async function poll(
  { hub, channel, identity, asked, exchange }: Call,
  start: Start,
  limit: { count: number; bytes: number },
  seconds: number,
): Promise<History> {
  const bell = new Bell(hub.random.letters(12), identity, asked);
  const reader = hub.read(channel, bell);
  await hub.locate(reader, start);
  const from: Start = { type: "after", position: reader.position! };
  bell.reader = reader;
  hub.enter(bell);
  exchange.onGone(bell.ring);
  let cancel = () => {};
  try {
    await hub.connections.recheck(bell, [reader], asked);
    cancel = hub.clock.after(seconds * 1_000, bell.ring);
    reader.begin();
    await bell.heard;
  } finally {
    cancel();
    reader.end();
    hub.leave(bell);
  }
  return hub.history(channel, { from, limit });
}

function respond({ exchange, headers, channel }: Call, history: History): void {
  const { head, entries, gap, position, upToDate } = history;
  const messages = entries.map((entry) => {
    const at = formatPosition({ epoch: epochOf(head!, entry.offset), offset: entry.offset, tag: entry.tag });
    return `{"position":"${at}","at":${entry.at},"event":${JSON.stringify(entry.event)},"data":${dataJson(entry)}}`;
  });
  const told = gap === null ? "" : `"gap":${JSON.stringify(gapFrame(channel, gap))},`;
  const end = `"position":"${formatPosition(position)}","upToDate":${upToDate}`;
  const page = `{"channel":${JSON.stringify(channel)},"messages":[${messages.join(",")}],${told}${end}}`;
  answerText(exchange, 200, page, { ...headers, vary: "Accept, Origin" });
}

function gapFrame(channel: string, { reason, since, resumeFrom, missing }: Gap): GapFrame {
  return { type: "gap", channel, reason, since: formatPosition(since), resumeFrom: formatPosition(resumeFrom), missing };
}

function readCount(text: string | null, absent: number): number {
  if (text === null) return absent;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ThroughlineError(
    "bad_request",
    `${JSON.stringify(text.slice(0, 32))} is not a whole number. "limit" counts messages, "wait" seconds.`,
  );
}
