import type { Outlet } from "./outlet.ts";

/** What a live set holds: a reader, which knows its place in it. */
export interface Placed {
  readonly outlet: Outlet;
  slot: number;
}

/**
 * Readers of one codec that are live: their position is the head, or was when the last flush began. Three lists side by side, so that a large fan-out
 * reads on in few places of memory and never looks at a reader itself (2 % of one message to 5,000 WebSockets, measured).
 */
export class LiveSet<One extends Placed> {
  readonly readers: (One | undefined)[] = [];
  readonly outlets: Outlet[] = [];
  /** The offset written last, to each. */
  readonly offsets: number[] = [];
  #holes = 0;

  get size(): number {
    return this.readers.length - this.#holes;
  }

  /** True if so many have left that the places should be closed up. */
  get isHollow(): boolean {
    return this.#holes > this.readers.length / 2;
  }

  join(reader: One, offset: number): void {
    reader.slot = this.readers.push(reader) - 1;
    this.outlets.push(reader.outlet);
    this.offsets.push(offset);
  }

  /** False if it is not here. Its place stays empty until `close`, since places must not move under a flush. */
  leave(reader: One): boolean {
    if (this.readers[reader.slot] !== reader) return false;
    this.readers[reader.slot] = undefined;
    this.#holes++;
    return true;
  }

  /** Closes the empty places. */
  close(): void {
    if (this.#holes === 0) return;
    let kept = 0;
    for (const [slot, reader] of this.readers.entries()) {
      if (reader === undefined) continue;
      reader.slot = kept;
      this.readers[kept] = reader;
      this.outlets[kept] = reader.outlet;
      this.offsets[kept++] = this.offsets[slot]!;
    }
    this.readers.length = this.outlets.length = this.offsets.length = kept;
    this.#holes = 0;
  }
}
