import type { LogContext, Page, PageLimit, Retention } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import { NO_TAG } from "../../protocol/position.ts";
import { aged, type Floors, isAbove, type Mark, NO_FLOORS } from "./floors.ts";
import type { JetStream } from "./jetstream.ts";
import type { Place, Places } from "./places.ts";
import { decodeSheet, type Sheet } from "./record.ts";
import { headOf, standingAfter } from "./standing.ts";

/** A page that was trimmed while it was read is read again, so often. */
const TRIES_MAX = 8;
/** After so many tries nothing but the leader is asked. */
const CAREFUL_TRIES = 3;
/** So often, and each time so many milliseconds more, a leader is waited for that seems to be behind. */
const BEHIND_TRIES_MAX = 4;
const BEHIND_MS = 50;
/** So few sheets are asked for one by one. */
const SINGLE_COUNT_MAX = 3;
/** Channels, and places in each, of which is remembered where in the stream they stand. */
const CHANNELS_MAX = 10_000;
const PLACES_MAX = 16;

/** Something that was there a moment ago is deleted: what was read before does not belong to what can be read now. */
class Moved extends Error {
  constructor() {
    super("the log was changed while it was read.");
  }
}

/** Nothing stands where the next entry should. */
class Hole extends Moved {
  /** What a page had before it, and what stands behind it. */
  readonly entries: readonly Entry[];
  readonly sheet: Sheet;

  constructor(entries: readonly Entry[], sheet: Sheet) {
    super();
    this.entries = entries;
    this.sheet = sheet;
  }
}

const NO_ENTRIES: readonly Entry[] = [];

/** What is remembered of where a channel's sheets stand in the stream. */
interface Known {
  readonly born: string;
  /** Last offset of a sheet, and its place. */
  readonly seqs: Map<number, number>;
  /** Nothing above these floors stands up to that place. */
  floors: Floors;
  belowFloors: number;
}

/** The first entry that is kept, and the sheet that holds it: the last sheet, if none is. */
export interface First {
  readonly sheet: Sheet;
  readonly offset: number;
  readonly boundaryTag: string;
}

/** Reads pages of a channel: its last sheet says how it stands, and the rest is found by search, since offsets are ours and places in the stream are those of NATS. */
export class Reader {
  readonly #js: JetStream;
  readonly #places: Places;
  readonly #log: LogContext;
  readonly #own: Retention;
  readonly #isReplicated: () => boolean;
  /** A channel that was read lately stands last. */
  readonly #known = new Map<string, Known>();

  constructor(js: JetStream, places: Places, log: LogContext, own: Retention, isReplicated: () => boolean) {
    this.#js = js;
    this.#places = places;
    this.#log = log;
    this.#own = own;
    this.#isReplicated = isReplicated;
  }

  async read(channel: string, after: number, limit: PageLimit): Promise<Page> {
    for (let tries = 1; ; tries++) {
      try {
        const page = await this.#readOnce(channel, after, limit, tries > CAREFUL_TRIES);
        const isShort = after > 0 && after < Number.MAX_SAFE_INTEGER && after >= (page.head?.top ?? 0);
        if (!isShort || !(await this.mayBeBehind(tries))) return page;
      } catch (error) {
        if (!(error instanceof Moved) || tries === TRIES_MAX) throw error;
        this.#known.delete(channel);
      }
    }
  }

  /**
   * True, after a moment, if what stands further back than was known may be only that: a server that has just become the leader of a stream answers before it has caught
   * up with what it has promised. It is asked a few times before a loss is told.
   */
  async mayBeBehind(tries: number): Promise<boolean> {
    if (!this.#isReplicated() || tries > BEHIND_TRIES_MAX) return false;
    await new Promise<void>((resolve) => this.#log.clock.after(BEHIND_MS * tries, resolve));
    return true;
  }

  /** What was known by one connection may not hold for the next. */
  forget(): void {
    this.#known.clear();
  }

  async last(place: Place): Promise<Sheet | null> {
    const stored = await this.#js.last(place.stream, place.log);
    return stored === null ? null : decodeSheet(stored.seq, stored.headers, stored.data);
  }

  /** The first sheet at a place in the stream or behind it. */
  async next(place: Place, seq: number): Promise<Sheet | null> {
    const stored = await this.#js.next(place.stream, place.log, seq);
    return stored === null ? null : decodeSheet(stored.seq, stored.headers, stored.data);
  }

  /** Where the log begins: what is above the floors, as of now. */
  async first(channel: string, place: Place, last: Sheet): Promise<First> {
    const { top, topTag, lastAt, belowTop, bornAt, ...standing } = standingAfter(last);
    const floors = aged(standing.floors, Math.floor(this.#log.clock.now()), this.#log.retain(channel, this.#own));
    if (!isAbove({ offset: top, below: belowTop, at: lastAt }, floors)) return { sheet: last, offset: top + 1, boundaryTag: topTag };
    // Where nothing was ever trimmed it begins where its messages begin
    const isWhole = floors.count <= 1 && floors.bytes <= 0 && floors.at < bornAt;
    const holds = isWhole ? () => true : (sheet: Sheet) => isAbove(markOf(sheet.lines.at(-1)!), floors);
    const sheet = await this.#search(place, last, isWhole ? 0 : this.#seqUnder(channel, last, floors), holds);
    const index = sheet.lines.findIndex((line) => isAbove(markOf(line), floors));
    const { offset } = sheet.lines[index]!.entry;
    const known = this.#remember(channel, sheet);
    [known.floors, known.belowFloors] = [floors, sheet.previous];
    return { sheet, offset, boundaryTag: offset === 1 ? NO_TAG : index === 0 ? sheet.tagBefore : sheet.lines[index - 1]!.entry.tag };
  }

  async #readOnce(channel: string, after: number, limit: PageLimit, wasMoved: boolean): Promise<Page> {
    const place = this.#places.of(channel);
    const last = await this.last(place);
    if (last === null || last.lines.length === 0) return { head: null, entries: [] };
    const standing = standingAfter(last);
    const first = await this.first(channel, place, last);
    const head = headOf(standing, first.offset, first.boundaryTag);
    const from = Math.max(after + 1, first.offset);
    if (limit.count === 0 || from > standing.top) return { head, entries: [] };
    for (let [page, next] = [{ head, entries: NO_ENTRIES }, from]; ; ) {
      try {
        return { ...page, entries: await this.#entries(channel, place, last, first, next, limit, wasMoved) };
      } catch (error) {
        // Not once only: somebody has deleted what stood there. A page ends there, and begins behind it if it has no more than the place of its reader
        if (!(error instanceof Hole) || !wasMoved) throw error;
        const { entries, sheet } = error;
        if (entries.length > 1 || (entries.length === 1 && after === 0)) return { ...page, entries };
        next = sheet.first;
        page = { head: headOf(standing, next, sheet.tagBefore), entries: NO_ENTRIES };
      }
    }
  }

  async #entries(
    channel: string,
    place: Place,
    last: Sheet,
    first: First,
    from: number,
    limit: PageLimit,
    wasMoved: boolean,
  ): Promise<Entry[]> {
    let isCareful = wasMoved;
    const isFirst = from < first.sheet.first + first.sheet.lines.length;
    const start = isFirst
      ? first.sheet
      : await this.#search(place, last, this.#seqBelow(channel, last, from), (sheet) => endOf(sheet) >= from);
    if (!isFirst) this.#remember(channel, start);
    const { top } = standingAfter(last);
    const page = new Gathering(from, limit);
    page.add(start);
    let { seq } = start;
    for (let singles = 0; !page.isFull && page.next <= top; singles++) {
      if (last.first === page.next) page.add(last);
      else if (isCareful || (singles < SINGLE_COUNT_MAX && page.wanted(top) <= SINGLE_COUNT_MAX)) {
        const sheet = await this.next(place, seq + 1);
        if (sheet === null) throw new Moved();
        page.add(sheet);
        seq = sheet.seq;
      } else {
        const before = page.next;
        await this.#js.each(place.stream, place.log, seq + 1, (stored) => {
          const sheet = decodeSheet(stored.seq, stored.headers, stored.data);
          if (sheet.first > top) return false;
          page.add(sheet);
          seq = stored.seq;
          return !page.isFull && page.next <= top;
        });
        // It may read a copy of the stream that is behind its leader, or is at odds with it
        isCareful = page.next === before;
      }
    }
    if (page.lastSheet !== null) this.#remember(channel, page.lastSheet);
    return page.entries;
  }

  /** The first sheet for which something holds that holds for all after it, and for the last; none up to `seq` does. The stride doubles, and then halves. */
  async #search(place: Place, last: Sheet, seq: number, holds: (sheet: Sheet) => boolean): Promise<Sheet> {
    let found = last;
    // What is not known yet: from low to below high
    let [low, high] = [seq + 1, last.previous === 0 ? 0 : last.previous + 1];
    for (let stride = 0; low < high; stride = stride * 2 + 1) {
      const middle = low + Math.min(stride, (high - low) >> 1);
      const sheet = await this.next(place, middle);
      if (sheet === null) throw new Moved();
      // Of a log that was removed there may be sheets that are not deleted yet
      const isOwn = sheet.born === last.born && sheet.lines.length > 0;
      if (sheet.seq >= high) high = middle;
      else if (isOwn && holds(sheet)) {
        found = sheet;
        high = Math.min(middle, sheet.previous + 1);
      } else low = sheet.seq + 1;
    }
    // What is remembered was of a log that has lost its end since
    if (!holds(found) || found.previous < seq) throw new Moved();
    return found;
  }

  /** The last sheet that is known to end before an offset; 0 if none is. */
  #seqBelow(channel: string, { born }: Sheet, offset: number): number {
    const known = this.#known.get(channel);
    if (known?.born !== born) return 0;
    let best = 0;
    for (const [end, seq] of known.seqs) if (end < offset && seq > best) best = seq;
    return best;
  }

  /** The same, for floors that are nowhere lower than those that it was found for. */
  #seqUnder(channel: string, last: Sheet, floors: Floors): number {
    const known = this.#known.get(channel);
    const isHigher =
      known?.born === last.born && known.floors.count <= floors.count && known.floors.bytes <= floors.bytes && known.floors.at <= floors.at;
    return Math.max(isHigher ? known.belowFloors : 0, this.#seqBelow(channel, last, floors.count));
  }

  #remember(channel: string, sheet: Sheet): Known {
    let known = this.#known.get(channel);
    if (known === undefined || known.born !== sheet.born) known = { born: sheet.born, seqs: new Map(), floors: NO_FLOORS, belowFloors: 0 };
    this.#known.delete(channel);
    this.#known.set(channel, known);
    if (this.#known.size > CHANNELS_MAX) this.#known.delete(this.#known.keys().next().value!);
    // What stands before it, in case it is the first that is wanted again
    for (const [end, seq] of [[sheet.first - 1, sheet.previous] as const, [endOf(sheet), sheet.seq] as const]) {
      known.seqs.delete(end);
      known.seqs.set(end, seq);
    }
    while (known.seqs.size > PLACES_MAX) known.seqs.delete(known.seqs.keys().next().value!);
    return known;
  }
}

/** Entries from an offset on, as many as a page may have, each sheet following the one before it by its tag. */
class Gathering {
  readonly entries: Entry[] = [];
  isFull = false;
  lastSheet: Sheet | null = null;
  next: number;
  readonly #limit: PageLimit;
  readonly #from: number;
  #bytes = 0;

  constructor(from: number, limit: PageLimit) {
    this.next = from;
    this.#from = from;
    this.#limit = limit;
  }

  add(sheet: Sheet): void {
    if (this.lastSheet !== null && sheet.born !== this.lastSheet.born) throw new Moved();
    if (sheet.first > this.next) throw new Hole(this.entries, sheet);
    // A server that was killed may keep what it had not agreed upon with the others, in front of what was stored in its place
    while (this.next > Math.max(sheet.first, this.#from)) {
      this.#bytes -= this.entries.pop()?.size ?? 0;
      this.next--;
    }
    const before = this.entries.at(-1);
    // Unless NATS has taken it as the next of just this one: a node wrote that did not know that the log had lost its end, and another had brought it as far again
    if (before !== undefined && before.tag !== sheet.tagBefore && sheet.previous !== this.lastSheet?.seq) throw new Moved();
    this.lastSheet = sheet;
    for (const { entry } of sheet.lines) {
      if (entry.offset < this.next) continue;
      this.isFull = this.entries.length === this.#limit.count || (this.entries.length > 0 && this.#bytes + entry.size > this.#limit.bytes);
      if (this.isFull) return;
      this.#bytes += entry.size;
      this.entries.push(entry);
      this.next++;
    }
    this.isFull = this.entries.length === this.#limit.count;
  }

  /** Entries still wanted of a log that ends there. */
  wanted(top: number): number {
    return Math.min(this.#limit.count - this.entries.length, top - this.next + 1);
  }
}

function endOf(sheet: Sheet): number {
  return sheet.first + sheet.lines.length - 1;
}

function markOf({ entry: { offset, at }, below }: Sheet["lines"][number]): Mark {
  return { offset, below, at };
}
