import type { Appended, Draft, LogContext, Retention } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { TAG_LENGTH } from "../../protocol/position.ts";
import { BrokerWriter, type Called } from "../broker-writer.ts";
import { appendError, isRefused, unknownError } from "./failure.ts";
import type { Follows } from "./follows.ts";
import type { Line } from "./line.ts";
import { listOf, textOf } from "./link.ts";
import type { Places } from "./places.ts";
import { draftWords, readAppended, readEntries } from "./record.ts";
import type { Replication } from "./replication.ts";
import { run, SCRIPTS } from "./scripts.ts";

/** One call of the script takes so much at most, at least one message: Redis does nothing else meanwhile. */
const CALL_BYTES_MAX = 1_048_576;

export interface WriterContext {
  readonly log: LogContext;
  readonly line: Line;
  readonly places: Places;
  readonly follows: Follows;
  readonly replication: Replication;
  readonly retention: Retention;
  /** Names this engine among the nodes. */
  readonly node: string;
  readonly publish: "PUBLISH" | "SPUBLISH";
  readonly replicas: number;
}

/**
 * The way in of each channel: one call of the script at a time, which takes along all that came during the one before. So the order of the calls is the order of
 * the log; and four times as many messages go through one Redis as with a call for each, at the same median where there are few (measured: 200 bytes a message,
 * 500 in flight, and 500 a second).
 */
export class Writer extends BrokerWriter {
  readonly #context: WriterContext;

  constructor(context: WriterContext) {
    super();
    this.#context = context;
  }

  protected room(): (draft: Draft) => boolean {
    let bytes = 0;
    return ({ size }) => {
      bytes += size;
      return bytes <= CALL_BYTES_MAX;
    };
  }

  protected async call(channel: string, drafts: readonly Draft[]): Promise<Called> {
    const { log, line, places, follows, retention: own, node, publish, replicas, replication } = this.#context;
    const place = places.of(channel);
    let isAsked = false;
    try {
      const retention = log.retain(channel, own);
      const tags = drafts.map(() => log.random.letters(TAG_LENGTH));
      const known = follows.known(channel);
      const words = [
        ...[Math.floor(log.clock.now()), retention.countMax, retention.bytesMax, retention.secondsMax * 1_000].map(String),
        ...[log.keysMax, log.keySecondsMin * 1_000, log.lineageMax].map(String),
        ...[log.random.letters(8), String(known?.offset ?? -1), known?.epoch ?? "", known?.tag ?? ""],
        ...[node, publish, place.wake, replicas > 0 ? "1" : "0"],
        ...drafts.flatMap((draft, index) => draftWords(draft, tags[index]!)),
      ];
      const { generation } = line;
      isAsked = true;
      const [epoch, start, at, answered, missed, astray] = listOf(await run(line, SCRIPTS.append, place.keys, words));
      const answers = readAppended(listOf(answered), textOf(epoch), tags);
      const entries = entriesOf(drafts, answers, Number(textOf(at)));
      // Another message stands where the followers are, or none: what is new here does not go on from there
      if (Number(astray) === 1) follows.doubt(channel);
      else follows.appended(channel, textOf(epoch), Number(start), readEntries(listOf(missed)), entries);
      const confirmed = replication.confirm(generation).catch((error) => {
        throw unknownError(channel, error.message, error);
      });
      return { answers, confirmed };
    } catch (error) {
      const isCertain = !isAsked || isRefused(error);
      if (!isCertain) follows.doubt(channel);
      throw appendError(channel, error, isCertain);
    }
  }

  protected async clear(channel: string): Promise<void> {
    const { line, places, follows, node, publish, replication } = this.#context;
    const place = places.of(channel);
    try {
      const { generation } = line;
      const removed = await run(line, SCRIPTS.remove, place.keys, [node, publish, place.wake]);
      if (Number(removed) === 0) return;
      follows.removed(channel);
      await replication.confirm(generation);
    } catch (error) {
      follows.doubt(channel);
      const sentence = `Whether ${channel} was removed is not known: Redis said ${(error as Error).message}. Remove it again.`;
      throw new ThroughlineError(isRefused(error) ? "not_stored" : "unknown", sentence, { retryAfterMs: 1_000, cause: error });
    }
  }
}

function entriesOf(drafts: readonly Draft[], answers: readonly Appended[], at: number): Entry[] {
  const entries: Entry[] = [];
  for (const [index, answer] of answers.entries()) {
    if (answer.type !== "stored") continue;
    const { event, kind, data, size } = drafts[index]!;
    entries.push({ offset: answer.position.offset, tag: answer.position.tag, at, event, kind, data, size });
  }
  return entries;
}
