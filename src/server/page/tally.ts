/** What a page counts by itself, from nothing but the positions it was given: it does not take the library's word for it. */
export interface Counters {
  received: number;
  /** Offsets that were passed over and have not come since. */
  missing: number;
  /** Offsets that came a second time. */
  twice: number;
  /** Offsets that came after a later one. */
  outOfOrder: number;
}

export interface Tally {
  readonly counters: Readonly<Counters>;
  readonly position: string | null;
  take(position: string): void;
  /** The log is another one, or parts of it are gone, and the reader was told so: counting goes on behind it. */
  resume(position: string): void;
}

/** `begin`: the position after which reading begins. Null if it is not known: then the first message says. */
export function createTally(begin: string | null): Tally {
  const counters: Counters = { received: 0, missing: 0, twice: 0, outOfOrder: 0 };
  /** Offsets passed over, as ranges from first to last. */
  let holes: { first: number; last: number }[] = [];
  let position = begin;
  let offset = begin === null ? null : offsetOf(begin);

  return {
    counters,
    get position() {
      return position;
    },
    take(next) {
      const its = offsetOf(next);
      counters.received++;
      if (offset === null || its > offset) {
        if (offset !== null && its > offset + 1) {
          holes.push({ first: offset + 1, last: its - 1 });
          counters.missing += its - offset - 1;
        }
        offset = its;
        position = next;
        return;
      }
      const hole = holes.find(({ first, last }) => its >= first && its <= last);
      if (hole === undefined) {
        counters.twice++;
        return;
      }
      counters.outOfOrder++;
      counters.missing--;
      holes = holes.filter((one) => one !== hole);
      if (hole.first < its) holes.push({ first: hole.first, last: its - 1 });
      if (hole.last > its) holes.push({ first: its + 1, last: hole.last });
    },
    resume(at) {
      position = at;
      offset = offsetOf(at);
      holes = [];
    },
  };
}

/** `epoch.offset.tag`: 20 characters, 16 digits, 8 characters (PROTOCOL.md §3). */
function offsetOf(position: string): number {
  return Number(position.slice(21, 37));
}
