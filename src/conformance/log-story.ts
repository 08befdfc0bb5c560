import type { Appended, Draft, Log, LogContext, Page, Retention } from "../core/log.ts";
import type { Entry } from "../protocol/entry.ts";
import { type Kind, utf8Length } from "../protocol/message.ts";
import { formatPosition } from "../protocol/position.ts";
import { expectTrue } from "./expect.ts";
import type { HandheldClock, LogSubject } from "./log-subject.ts";

export const CHANNEL = "chat/lobby";
export const EVERYTHING = { count: 1_000_000, bytes: 1_000_000_000 };

export interface Stage {
  /** The Log as it is open now: another one after `reopen`. */
  log(): Log;
  readonly clock: HandheldClock;
  /** Limits of the context; they may be set at any time. */
  readonly given: { retain: Partial<Retention>; keysMax: number; keySecondsMin: number };
  append(...drafts: Draft[]): Promise<readonly Appended[]>;
  read(after?: number, limit?: { count: number; bytes: number }): Promise<Page>;
  reopen(): Promise<void>;
}

export type Tell = (title: string, act: (stage: Stage) => Promise<void>) => void;

/** Opens a fresh log, tells the story, and leaves nothing behind. */
export async function story(create: () => Promise<LogSubject>, act: (stage: Stage) => Promise<void>): Promise<void> {
  const subject = await create();
  const given: Stage["given"] = { retain: {}, keysMax: 1_000_000, keySecondsMin: 86_400 };
  const context: LogContext = {
    clock: subject.clock,
    random: subject.random,
    retain: (_channel, own) => ({ ...own, ...given.retain }),
    get keysMax() {
      return given.keysMax;
    },
    get keySecondsMin() {
      return given.keySecondsMin;
    },
    lineageMax: 32,
    warn: () => {},
  };
  let log = subject.make();
  await log.open(context);
  try {
    await act({
      log: () => log,
      clock: subject.clock,
      given,
      append: (...drafts) => log.append(CHANNEL, drafts),
      read: (after = 0, limit = EVERYTHING) => log.read(CHANNEL, after, limit),
      async reopen() {
        await log.close();
        log = subject.make();
        await log.open(context);
      },
    });
  } finally {
    await log.close();
    await subject.dispose();
  }
}

export function draft(data: string | Uint8Array, more: { kind?: Kind; event?: string; key?: string; print?: string } = {}): Draft {
  const { event = "message", kind = typeof data === "string" ? "text" : "bytes", key } = more;
  const size = (typeof data === "string" ? utf8Length(data) : data.byteLength) + utf8Length(event);
  return key === undefined ? { event, kind, data, size } : { event, kind, data, size, key, print: more.print ?? String(data) };
}

/** `count` drafts with the texts 1, 2, 3… */
export function drafts(count: number): Draft[] {
  return Array.from({ length: count }, (_, index) => draft(String(index + 1)));
}

export function offsets(entries: readonly Entry[]): number[] {
  return entries.map((entry) => entry.offset);
}

/** The position of a stored or duplicate draft, as text. */
export function positionOf(appended: Appended | undefined): string {
  expectTrue(appended?.type === "stored" || appended?.type === "duplicate", `a position, not ${JSON.stringify(appended)}`);
  return formatPosition(appended.position);
}

export function headOf(page: Page): NonNullable<Page["head"]> {
  expectTrue(page.head !== null, "a log");
  return page.head;
}
