import type { Appended, Draft, LogContext, Retention } from "../../core/log.ts";
import { ThroughlineError } from "../../protocol/error.ts";
import { TAG_LENGTH } from "../../protocol/position.ts";
import { messageOf } from "../broker-failure.ts";
import { BrokerWriter, type Called } from "../broker-writer.ts";
import type { Channels, Publishing } from "./channels.ts";
import { appendError, isAway, isFull, isLate, isRefused, Unanswered } from "./failure.ts";
import { type Fence, vouchesFor } from "./fence.ts";
import type { Follows } from "./follows.ts";
import type { JetStream } from "./jetstream.ts";
import { KeyTable } from "./keys.ts";
import type { Ledger } from "./ledger.ts";
import type { Place, Places } from "./places.ts";
import { planAppend, planRemoval } from "./plan.ts";
import type { Reader } from "./reader.ts";
import { bufferOf, decodeSheet, encodeSheet, headerBytesOf, lengthOf, type NewSheet, type Sheet } from "./record.ts";
import { NOTHING, standingAfter } from "./standing.ts";
import type { Trimmer } from "./trimmer.ts";

/** One message of NATS takes so much at most, at least one draft. */
const CALL_BYTES_MAX = 262_144;
/** JetStream takes 65,535 bytes of headers: those of the entries, and of the log with all of its eras. */
const ENTRIES_BYTES_MAX = 60_000;
/** What headers need beside the payload: those of the log, and of one entry. */
const HEADERS_BYTES_MAX = 8_192;
/** Another node that publishes to the same channel may be quicker so often. */
const RACES_MAX = 50;
/** After so many it asks to be let in: the others then leave the channel alone for as long as three of its tries take. */
const RACES_ASKING = 3;
const YIELD_MS_MIN = 10;
const YIELD_MS_MAX = 250;
/** Between tries it leaves up to so much to others that ask as well. */
const RACE_PAUSE_MS_MAX = 20;
/** So long it is tried to find out whether what was sent is stored; then it is not known. */
const DOUBT_MS_MAX = 6_000;
const DOUBT_PAUSE_MS = 200;
/** Sheets of other nodes that are read one by one, so that keys and followers keep up. */
const MISSED_MAX = 64;

export interface WriterContext {
  readonly log: LogContext;
  readonly js: JetStream;
  readonly places: Places;
  readonly fence: Fence;
  readonly follows: Follows;
  readonly reader: Reader;
  readonly channels: Channels;
  readonly ledger: Ledger;
  readonly trimmer: Trimmer;
  readonly retention: Retention;
  /** Names this engine among the nodes. */
  readonly node: string;
  /** Makes the streams anew that are gone. */
  readonly restore: () => Promise<void>;
}

/** A publish of which it is not known whether it is stored. */
class Doubt extends Error {}

/**
 * The way in of each channel: one publish at a time, which takes along all that came during the one before, and says which message it expects to be the last. So two nodes never write one
 * offset, the order of the calls is the order of the log, and a publish without an answer can be sent once more: it is stored once, or the log says what stands in its place.
 */
export class Writer extends BrokerWriter {
  readonly #context: WriterContext;

  constructor(context: WriterContext) {
    super();
    this.#context = context;
  }

  override append(channel: string, drafts: readonly Draft[]): Promise<readonly Appended[]> {
    const bytesMax = this.#context.js.line.payloadBytesMax;
    const large = drafts.find((draft) => lengthOf(draft) + HEADERS_BYTES_MAX > bytesMax);
    if (large !== undefined) {
      const sentence = `A message for ${channel} has ${lengthOf(large)} bytes, and NATS takes ${bytesMax} with their headers. Nothing was stored; raise max_payload there.`;
      return Promise.reject(new ThroughlineError("too_large", sentence));
    }
    return super.append(channel, drafts);
  }

  /** Who publishes to a channel without a pause by a short way would keep out who has a longer one: so one that cannot get in says so. To be called once for each connection. */
  hearTurns(): void {
    const { js, places, channels, node, log } = this.#context;
    js.line.subscribe(places.turns, ({ data }) => {
      const [asker, ms, channel = ""] = bufferOf(data).toString().split(" ");
      if (asker !== node) channels.yield(channel, log.clock.elapsed() + Math.min(YIELD_MS_MAX, Number(ms) || 0));
    });
  }

  protected room(): (draft: Draft) => boolean {
    const messageBytesMax = this.#context.js.line.payloadBytesMax - HEADERS_BYTES_MAX;
    let [bytes, headerBytes] = [0, 0];
    return (draft) => {
      bytes += lengthOf(draft);
      headerBytes += headerBytesOf(draft);
      return bytes <= CALL_BYTES_MAX && headerBytes <= ENTRIES_BYTES_MAX && bytes + headerBytes <= messageBytesMax;
    };
  }

  protected async call(channel: string, drafts: readonly Draft[]): Promise<Called> {
    const { log, places, channels, trimmer, retention: own, node } = this.#context;
    const yieldMs = channels.yieldsUntil(channel) - log.clock.elapsed();
    if (yieldMs > 0) await this.#pause(yieldMs);
    const state = channels.use(channel);
    const wantsKeys = drafts.some(({ key }) => key !== undefined);
    try {
      const answers = await this.#write(state, places.of(channel), wantsKeys, (fence) => {
        const plan = planAppend(state.standing, state.keys ?? NO_KEYS, drafts, {
          ...{ nowMs: Math.floor(log.clock.now()), retention: log.retain(channel, own), keysMax: log.keysMax, node, fence },
          ...{ keyMsMin: log.keySecondsMin * 1_000, lineageMax: log.lineageMax, letters: log.random.letters(8), hasLost: state.hasLost },
          tags: drafts.map(() => log.random.letters(TAG_LENGTH)),
        });
        return { sheet: plan.sheet, answer: plan.answers };
      });
      trimmer.stored(state);
      return { answers };
    } catch (error) {
      throw appendError(channel, error, error instanceof Doubt);
    } finally {
      channels.release(state);
    }
  }

  protected async clear(channel: string): Promise<void> {
    const { places, channels, node, js } = this.#context;
    const place = places.of(channel);
    const state = channels.use(channel);
    const mark = () =>
      this.#write(state, place, false, (fence) => {
        const isThere = state.standing.lineage.length > 0;
        return { sheet: isThere ? planRemoval(state.standing, node, fence) : null, answer: null };
      });
    const purge = async () => {
      for (const subject of [place.keys, place.log]) await js.purge(place.stream, subject, state.standing.seq).catch(() => {});
    };
    try {
      await mark().catch(async (error) => {
        if (!isFull(error)) throw error;
        // It goes in any case, and then there is room
        await purge();
        await mark().catch((cause) => {
          throw new Doubt(messageOf(cause), { cause });
        });
      });
      // What this leaves behind is of a log that is known to be gone
      if (state.standing.removed === null) return;
      await purge();
      if (state.keys !== null) state.keys.lastSegmentSeq = 0;
    } catch (error) {
      const isUnknown = error instanceof Doubt;
      const sentence = `Whether ${state.channel} was removed is ${isUnknown ? "not known" : "certain: it was not"}: ${messageOf(error)} Remove it again.`;
      throw new ThroughlineError(isUnknown ? "unknown" : "not_stored", sentence, { retryAfterMs: 1_000, cause: error });
    } finally {
      channels.release(state);
    }
  }

  /** Writes the sheet that is planned for a log as it stands; where another node was quicker, what it wrote is read, and planned is anew. */
  async #write<Answer>(
    state: Publishing,
    place: Place,
    wantsKeys: boolean,
    plan: (fence: string) => { readonly sheet: NewSheet | null; readonly answer: Answer },
  ): Promise<Answer> {
    const { fence, ledger, follows, log, restore } = this.#context;
    let isRestored = false;
    let isFresh = false;
    for (let races = 0; ; ) {
      const since = log.clock.elapsed();
      try {
        if (state.generation !== this.#context.js.line.generation) {
          await this.#catchUp(state, place);
          isFresh = true;
        }
        const word = await fence.word(state.standing.fence);
        if (wantsKeys && state.keys === null) state.keys = state.standing.seq === 0 ? new KeyTable() : await ledger.load(state, place);
        // What was learned by the connection before may not hold any more
        if (state.generation !== this.#context.js.line.generation) continue;
        const { sheet, answer } = plan(word);
        if (sheet === null) {
          if (isFresh) return answer;
          // An answer that needs no publish is not refused where the log has moved on: so it is looked at
          state.generation = 0;
          continue;
        }
        const seq = await this.#store(state.channel, place, sheet);
        if (seq !== null) {
          const stored = { ...sheet, seq };
          state.apply(stored);
          follows.saw(state.channel, stored, true);
          return answer;
        }
        state.generation = 0;
        if (++races === RACES_MAX) throw new Error(`other nodes were quicker ${RACES_MAX} times.`);
        if (races >= RACES_ASKING) this.#askForTurn(state.channel, log.clock.elapsed() - since);
        if (races > RACES_ASKING) await this.#pause(log.random.fraction() * RACE_PAUSE_MS_MAX);
      } catch (error) {
        state.generation = 0;
        if (!isAway(error) || isRestored) throw error;
        isRestored = true;
        fence.forget();
        await restore();
      }
    }
  }

  #askForTurn(channel: string, tryMs: number): void {
    const { js, places, node } = this.#context;
    js.line.tell(places.turns, `${node} ${Math.ceil(YIELD_MS_MIN + 3 * tryMs)} ${channel}`);
  }

  /** Stores a sheet, and gives its place; null if another one has taken it. Where no answer comes it is sent again, and so is stored once or not at all. */
  async #store(channel: string, place: Place, sheet: NewSheet): Promise<number | null> {
    const { js, log, follows, fence } = this.#context;
    const { headers, payload } = encodeSheet(sheet);
    const since = log.clock.elapsed();
    let doubt: Error | null = null;
    for (let isTaken = false; ; ) {
      try {
        if (doubt !== null) {
          const seq = await this.#find(place, sheet);
          if (seq !== "open" || isTaken) return seq === "open" ? null : seq;
          // The server was restarted: nothing is on its way any more, and what stood there may have been another's. The old epoch has ended
          const word = await fence.word(sheet.fence);
          if (word !== sheet.fence && vouchesFor(sheet.fence)) return null;
        }
        return await js.publish(place.log, headers, payload);
      } catch (error) {
        if (isLate(error)) {
          if (doubt === null) return null;
          isTaken = true;
          continue;
        }
        if (!isRefused(error)) doubt = error as Error;
        else if (doubt === null) throw error;
        if (log.clock.elapsed() - since > DOUBT_MS_MAX || js.line.isClosed) {
          follows.doubt(channel);
          throw new Doubt(doubt.message, { cause: doubt });
        }
        await this.#pause(log.random.fraction() * DOUBT_PAUSE_MS);
      }
    }
  }

  /** What stands where a sheet was to stand: itself, another one (null), or nothing yet. Nor may it stand behind another one than it was made for, after NATS has lost that. */
  async #find(place: Place, sheet: NewSheet): Promise<number | null | "open"> {
    const { reader } = this.#context;
    const next = await reader.next(place, sheet.previous + 1);
    if (next === null) {
      const last = await reader.last(place);
      return last === null || last.seq > sheet.previous || standingAfter(last).topTag === sheet.tagBefore ? "open" : null;
    }
    if (next.first === sheet.first && next.born === sheet.born && next.lines[0]?.entry.tag === sheet.lines[0]?.entry.tag) return next.seq;
    if (next.previous > sheet.previous) throw new Unanswered("it may be stored and deleted since.");
    return null;
  }

  /** Learns how the log stands, by what other nodes have written to it, or by its last sheet alone. */
  async #catchUp(state: Publishing, place: Place): Promise<void> {
    const { js, reader, follows } = this.#context;
    const { generation } = js.line;
    const before = state.standing;
    let last = await reader.last(place);
    for (let tries = 1; (last?.seq ?? 0) < before.seq && (await reader.mayBeBehind(tries)); tries++) last = await reader.last(place);
    const standing = last === null ? NOTHING : standingAfter(last);
    const isSame = standing.seq === before.seq && standing.born === before.born && standing.topTag === before.topTag;
    const missed = !isSame && last !== null && before.seq > 0 && last.seq > before.seq ? await this.#missed(place, before.seq, last) : [];
    const next = missed[0];
    // What stands in its place may be another's: the stream has lost its end, and has come further again
    const isNext = next !== undefined && next.previous === before.seq && next.tagBefore === before.topTag;
    if (isNext && missed.at(-1)!.seq >= standing.seq) {
      for (const sheet of missed) {
        state.apply(sheet);
        follows.saw(state.channel, sheet, false);
      }
    } else if (!isSame) {
      // Whoever has begun another epoch since has seen to it
      const isSameEpoch = standing.lineage.length > 0 && standing.lineage.at(-1)!.epoch === before.lineage.at(-1)?.epoch;
      const isBehind = standing.top < before.top || (standing.top === before.top && standing.topTag !== before.topTag);
      state.hasLost = isSameEpoch && (isBehind || (next !== undefined && !isNext && next.previous <= before.seq));
      state.standing = standing;
      state.keys = null;
    }
    state.generation = generation;
  }

  /** The sheets after a place, up to the last one or further; few at most. */
  async #missed(place: Place, seq: number, last: Sheet): Promise<Sheet[]> {
    if (last.previous === seq) return [last];
    const missed: Sheet[] = [];
    await this.#context.js.each(place.stream, place.log, seq + 1, (stored) => {
      missed.push(decodeSheet(stored.seq, stored.headers, stored.data));
      return stored.seq < last.seq && missed.length < MISSED_MAX;
    });
    return missed;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#context.log.clock.after(ms, resolve));
  }
}

/** For drafts without keys. */
const NO_KEYS = new KeyTable();
