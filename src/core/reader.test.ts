import { describe, expect, test } from "vitest";
import { entries, epochOfLetter, Sink, SinkCodec, tagOf } from "../../test/support/sink.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { NO_TAG, ORIGIN, type Position } from "../protocol/position.ts";
import type { Head } from "./log.ts";
import { LogPage } from "./page.ts";
import { Reader, type Source } from "./reader.ts";
import { SharedBatch } from "./tail.ts";

const A = epochOfLetter("a");
const at = (offset: number, epoch = A): Position => ({ epoch, offset, tag: offset === 0 ? NO_TAG : tagOf(offset) });
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A channel whose log has messages 1 … top, given in pages of two, each an epoch of its own where `splits`; whose tail is its end. */
class Shelf implements Source {
  readonly name = "c";
  head: Position;
  readonly story: string[] = [];
  joined: Reader[] = [];
  releases = 0;
  ended: ThroughlineError | null = null;
  epoch = A;
  splits = false;
  /** Called in each read of a page; may delay it, or fail it. */
  onPage: () => unknown = () => undefined;

  constructor(top: number) {
    this.head = at(top);
  }

  async locate(): Promise<Position> {
    return this.head;
  }

  async isRetained(): Promise<boolean> {
    return true;
  }

  async page(position: Position): Promise<LogPage> {
    this.story.push(`page ${position.offset}`);
    await this.onPage();
    const { offset: top, tag: topTag } = this.head;
    const starts = this.splits ? Array.from({ length: top }, (_, index) => index + 1) : [1];
    const lineage = starts.map((start) => ({ epoch: start === 1 ? this.epoch : epochOfLetter(String.fromCharCode(96 + start)), start }));
    const head: Head = { lineage, first: 1, boundaryTag: NO_TAG, top, topTag };
    return new LogPage(this.name, { head, entries: entries(Math.max(1, position.offset), Math.min(top, position.offset + 2)) });
  }

  async turn(): Promise<void> {}

  join(reader: Reader): boolean {
    if (this.ended !== null) {
      reader.refuse(this.ended);
      return true;
    }
    const { offset, epoch } = reader.position!;
    if (offset !== this.head.offset || (!this.splits && epoch !== this.epoch)) return false;
    this.joined.push(reader);
    reader.state = "live";
    reader.position = null;
    reader.sayLive();
    return true;
  }

  leave(reader: Reader): void {
    this.joined = this.joined.filter((one) => one !== reader);
  }

  async refresh(): Promise<void> {
    this.story.push("refresh");
  }

  release(): void {
    this.releases++;
  }

  async rest(error: unknown): Promise<void> {
    this.story.push(`rest: ${(error as Error).message}`);
    await settle();
  }
}

function begin(shelf: Shelf, position: Position, sink = new Sink()): { reader: Reader; sink: Sink } {
  const reader = new Reader(shelf, sink);
  sink.reader = reader;
  reader.position = position;
  reader.begin();
  return { reader, sink };
}

describe("a reader", () => {
  test("[D2] reads page after page, and is live when it has everything; it is said once", async () => {
    const { reader, sink } = begin(new Shelf(5), at(0));
    await settle();
    expect(sink.take()).toEqual(["subscribed 0", "1 m1", "2 m2", "3 m3", "4 m4", "5 m5", "live"]);
    expect([reader.state, reader.position]).toEqual(["live", null]);
    reader.doubt(at(5));
    await settle();
    expect([sink.take(), reader.state]).toEqual([[], "live"]);
  });

  test("begins where it was located", async () => {
    const shelf = new Shelf(5);
    const sink = new Sink();
    const reader = new Reader(shelf, sink);
    reader.begin();
    expect(sink.story).toEqual([]);
    await reader.locate({ type: "now" });
    reader.begin(7);
    expect(sink.story).toEqual(["subscribed 5", "live"]);
  });

  test("[D7] reads nothing while its outlet is full, and goes on from the log when it drains", async () => {
    const shelf = new Shelf(6);
    const { reader, sink } = begin(shelf, at(0), new Sink({ room: 1 }));
    await settle();
    expect([reader.state, sink.take(), shelf.story]).toEqual(["waiting", ["subscribed 0", "1 m1", "2 m2"], ["page 0"]]);
    sink.drain();
    await settle();
    expect(sink.take()).toEqual(["3 m3", "4 m4", "5 m5", "6 m6", "live"]);
  });

  test("[D2] has one loop, also if its outlet drains in the very moment in which it filled", async () => {
    const shelf = new Shelf(20);
    const sink = new Sink({ room: 1 });
    sink.onWrite = () => queueMicrotask(() => sink.drain(1));
    begin(shelf, at(0), sink);
    await settle();
    expect(sink.story.filter((told) => told !== "live").slice(1)).toEqual(entries(1, 20).map(({ offset, data }) => `${offset} ${data}`));
    expect(shelf.story).toEqual([...new Set(shelf.story)]);
    expect(shelf.joined.length).toBe(1);
  });

  test("[D2] has one loop, also if its outlet drains between the batches of a page and the next step", async () => {
    const shelf = new Shelf(9);
    shelf.splits = true;
    const sink = new Sink({ room: 1 });
    sink.onWrite = () => queueMicrotask(() => sink.drain(1));
    begin(shelf, at(0), sink);
    for (let times = 0; times < 4; times++) await settle();
    expect(sink.story.filter((told) => /\d m/.test(told))).toEqual(entries(1, 9).map(({ offset, data }) => `${offset} ${data}`));
    expect(shelf.story).toEqual([...new Set(shelf.story)]);
  });

  test("[D2] has one loop, also if it drains again and again while a page is read", async () => {
    const shelf = new Shelf(4);
    const { sink } = begin(shelf, at(0), new Sink({ room: 1 }));
    shelf.onPage = settle;
    await settle();
    await settle();
    for (let times = 0; times < 3; times++) sink.drain(5);
    for (let times = 0; times < 6; times++) await settle();
    expect(sink.take()).toEqual(["subscribed 0", "1 m1", "2 m2", "3 m3", "4 m4", "live"]);
    expect(shelf.story).toEqual(["page 0", "page 2"]);
  });

  test("[D10] asks again after a while when the log failed", async () => {
    const shelf = new Shelf(2);
    let fails = 2;
    shelf.onPage = () => {
      if (fails-- > 0) throw new Error("a fault");
    };
    const { sink } = begin(shelf, at(0));
    for (let times = 0; times < 8; times++) await settle();
    expect(sink.take()).toEqual(["subscribed 0", "1 m1", "2 m2", "live"]);
    expect(shelf.story).toEqual(["page 0", "rest: a fault", "page 0", "rest: a fault", "page 0"]);
  });

  test("[D7] rests when neither the log nor the channel gets it on", async () => {
    const shelf = new Shelf(2);
    shelf.join = () => false;
    const { reader } = begin(shelf, at(2));
    for (let times = 0; times < 8; times++) await settle();
    reader.end();
    expect(shelf.story.slice(0, 6)).toEqual([
      "page 2",
      "refresh",
      "page 2",
      "refresh",
      "page 2",
      expect.stringMatching(/^rest: It gives nothing/),
    ]);
    expect(shelf.story.length).toBeLessThan(60);
  });

  test("[D2] at the end of the log under an older name takes the log's own, and is told", async () => {
    const { reader, sink } = begin(new Shelf(0), ORIGIN);
    await settle();
    expect([sink.take(), reader.state]).toEqual([["subscribed 0", "epoch", "live"], "live"]);
  });
});

describe("a reader that ends", () => {
  test("while a page is read gets nothing of it, and lets the channel go once", async () => {
    const shelf = new Shelf(5);
    const { reader, sink } = begin(shelf, at(0));
    reader.end();
    reader.end();
    await settle();
    expect([sink.take(), shelf.releases, shelf.joined]).toEqual([["subscribed 0"], 1, []]);
  });

  test("before it begins stays silent", async () => {
    const shelf = new Shelf(5);
    const sink = new Sink();
    const reader = new Reader(shelf, sink);
    const located = reader.locate({ type: "now" });
    reader.end();
    await located;
    reader.begin();
    reader.drained();
    expect(sink.story).toEqual([]);
  });

  test.each(["1 m1", "3 m3", "live"])("because its outlet says so while it is told %j stays ended", async (last) => {
    const shelf = new Shelf(4);
    shelf.splits = true;
    const sink = new Sink();
    const { say } = sink;
    sink.say = (frame) => {
      say.call(sink, frame);
      if (sink.story.at(-1) === last) sink.reader!.end();
    };
    sink.onWrite = () => {
      if (sink.story.includes(last)) sink.reader!.end();
    };
    const { reader } = begin(shelf, at(0), sink);
    for (let times = 0; times < 4; times++) await settle();
    expect([reader.state, shelf.joined, shelf.releases]).toEqual(["ended", [], 1]);
    expect(sink.story.at(-1)).toBe(last);
  });

  test("is not woken by its outlet or by its channel", async () => {
    const shelf = new Shelf(4);
    const { reader, sink } = begin(shelf, at(4));
    await settle();
    reader.end();
    sink.take();
    reader.doubt(at(4));
    reader.drained();
    await settle();
    expect([reader.state, sink.story, shelf.releases]).toEqual(["ended", [], 1]);
  });

  test("by refusal says why, once", async () => {
    const shelf = new Shelf(4);
    shelf.ended = new ThroughlineError("restart", "stopping");
    const { reader, sink } = begin(shelf, at(4));
    reader.refuse(new ThroughlineError("revoked", "too late"));
    expect([reader.state, sink.refused?.code, shelf.releases]).toEqual(["ended", "restart", 1]);
  });
});

describe("[D2] a live reader that has a part of a batch", () => {
  const before = at(3);
  const batch = new SharedBatch("c", A, entries(4, 7));

  function live(sink = new Sink()): { reader: Reader; sink: Sink } {
    const reader = new Reader(new Shelf(9), sink);
    reader.state = "live";
    return { reader, sink };
  }

  test.each([
    [3, ["4 m4", "5 m5", "6 m6", "7 m7"]],
    [4, ["5 m5", "6 m6", "7 m7"]],
    [6, ["7 m7"]],
  ])("up to %i is written the rest", (offset, expected) => {
    const { reader, sink } = live();
    reader.catchUpTo(batch, before, offset);
    expect(sink.story).toEqual(expected);
  });

  test.each([3, 4, 6])("up to %i and a full outlet lags from there", (offset) => {
    const { reader } = live(new Sink({ room: 0 }));
    reader.catchUpTo(batch, before, offset);
    expect([reader.state, reader.position]).toEqual(["waiting", at(offset)]);
  });

  test("is told the epoch that it was not told yet", () => {
    const { reader, sink } = live(new Sink({ codec: new SinkCodec(false) }));
    reader.catchUpTo(batch, { ...before, epoch: epochOfLetter("9") }, 3);
    expect(sink.story[0]).toBe("epoch");
  });
});
