import { beforeEach, describe, expect, test } from "vitest";
import { ScriptedLog } from "../../test/model/scripted-log.ts";
import { handClock, seededRandom } from "../../test/support/clock.ts";
import { Sink, SinkCodec } from "../../test/support/sink.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { parseFrom } from "../protocol/from.ts";
import { type Limits, withLimits } from "../protocol/limits.ts";
import { NO_TAG, ORIGIN, type Position } from "../protocol/position.ts";
import { Channel } from "./channel.ts";
import { Flusher } from "./flusher.ts";
import type { PageLimit } from "./log.ts";
import { Reader } from "./reader.ts";
import { topOf } from "./resume.ts";
import { SharedReads } from "./shared-reads.ts";

/** What one write costs, in milliseconds: a slice of 4 ms has 16 of them. */
const WRITE_MS = 0.25;

/** A channel whose flushes are begun by hand, and cut where a test wants them cut. */
class Room {
  readonly clock = handClock();
  readonly log = new ScriptedLog(this.clock, seededRandom(1));
  readonly warned: string[] = [];
  /** Pages; to ask for the head alone costs next to nothing. */
  readonly reads: number[] = [];
  readonly channel: Channel;
  emptied = 0;
  workedMs = 0;
  /** Nobody asks so soon after another that their reads are shared. */
  askedMs = 0;
  #made = 0;

  constructor(limits: Partial<Limits> = {}) {
    const read = this.log.read.bind(this.log);
    this.log.read = (name: string, after: number, limit: PageLimit) => {
      if (limit.count > 0) this.reads.push(after);
      return read(name, after, limit);
    };
    this.channel = new Channel("c", {
      log: this.log,
      reads: new SharedReads(this.log, { ...this.clock, soon: (act) => void setImmediate(act), elapsed: () => (this.askedMs += 10) }),
      clock: { ...this.clock, elapsed: () => this.workedMs },
      limits: withLimits(limits),
      // One that is never heard: tests flush
      flusher: new Flusher({ ...this.clock, soon: () => undefined }),
      turns: { next: async () => undefined },
      warn: (sentence) => this.warned.push(sentence),
      onEmpty: () => this.emptied++,
    });
  }

  async read(from: string | Position = "now", sink = new Sink()): Promise<Sink> {
    const begun = sink.onWrite;
    sink.onWrite = () => {
      this.workedMs += WRITE_MS;
      begun();
    };
    this.channel.hold();
    sink.reader = new Reader(this.channel, sink);
    await sink.reader.locate(typeof from === "string" ? parseFrom(from) : { type: "after", position: from });
    sink.reader.begin();
    await settle();
    return sink;
  }

  async crowd(count: number, codec = new SinkCodec()): Promise<Sink[]> {
    return Promise.all(Array.from({ length: count }, () => this.read("now", new Sink({ codec }))));
  }

  store(count = 1, bytes = 0): void {
    for (let made = 0; made < count; made++) this.log.appendElsewhere("c", bytes > 0 ? "x".repeat(bytes) : `m${++this.#made}`);
  }

  /** Flushes for so long at most; true when it is done. */
  flush(ms = Number.POSITIVE_INFINITY): boolean {
    return this.channel.flush(this.workedMs + ms);
  }

  get top(): Position {
    return topOf(this.log.head);
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

let room: Room;

beforeEach(async () => {
  room = new Room();
  await room.log.open({ lineageMax: 32 });
});

async function roomWith(limits: Partial<Limits>): Promise<Room> {
  const made = new Room(limits);
  await made.log.open({ lineageMax: 32 });
  return made;
}

describe("a live reader", () => {
  test("[D2] gets what is stored, by the next flush and once", async () => {
    const sink = await room.read();
    room.store(2);
    expect(sink.take()).toEqual(["subscribed 0", "live"]);
    room.flush();
    room.flush();
    expect(sink.take()).toEqual(["epoch", "1 m1", "2 m2"]);
  });

  test("has its channel tell how much waits for the flush, messages and signals, and nothing after it", async () => {
    await room.read();
    room.store(2);
    room.channel.signal({ type: "signal", channel: "c", event: "typing", data: null, sender: "ada" });
    expect(room.channel.waiting).toBe(3);
    room.flush();
    expect(room.channel.waiting).toBe(0);
  });

  test("[D2] that joins while messages wait for the flush gets those that it lacks, in the turn in which it joins", async () => {
    room.store(3);
    const [before, position] = [await room.read("start"), room.top];
    room.store(2);
    const amid = await room.read(position);
    expect(amid.take()).toEqual(["subscribed 3", "4 m4", "5 m5", "live"]);
    room.store();
    room.flush();
    expect(amid.take()).toEqual(["6 m6"]);
    expect(before.take()).toEqual(["subscribed 0", "1 m1", "2 m2", "3 m3", "live", "4 m4", "5 m5", "6 m6"]);
  });

  test("[D2] that joins at the end of what waits, or within it, misses nothing and gets nothing twice", async () => {
    room.store();
    await room.read();
    room.store(2);
    const amid = room.top;
    room.store(2);
    const [within, atEnd, unknownTag] = [await room.read(amid), await room.read(), await room.read({ ...amid, tag: NO_TAG })];
    for (const sink of [within, atEnd, unknownTag]) sink.take();
    room.store();
    room.flush();
    expect([within.take(), atEnd.take(), unknownTag.take()]).toEqual([["6 m6"], ["6 m6"], ["6 m6"]]);
    expect(room.reads.length).toBeLessThan(10);
  });

  test("[D3] of which the outlet is full lags, and gets the rest when it drains, without a gap", async () => {
    const sink = await room.read("now", new Sink({ room: 1 }));
    room.store(1);
    room.flush();
    room.store(2);
    room.flush();
    expect(sink.take()).toEqual(["subscribed 0", "live", "epoch", "1 m1"]);
    room.store(1);
    sink.drain();
    await settle();
    room.flush();
    expect(sink.take()).toEqual(["2 m2", "3 m3", "4 m4"]);
    expect(sink.reader!.state).toBe("live");
  });

  test("[D3] [D7] is asked whether it has room before each part of a flush, and lags in the middle of one", async () => {
    const own = await roomWith({ sinkBytesMax: 2_000 });
    const [quick, slow] = [await own.read(), await own.read("now", new Sink({ room: 2 }))];
    const [before] = [quick.writes];
    own.store(5, 400);
    own.flush();
    // Each costs more than 0.5 kB, so that a part of 1 kB holds one
    expect([quick.writes - before, slow.reader!.state]).toEqual([5, "waiting"]);
    expect(slow.take().filter((one) => one.includes("x")).length).toBe(2);
    slow.drain();
    await settle();
    expect(slow.take().filter((one) => one.includes("x")).length).toBe(3);
    expect(quick.take().filter((one) => one.includes("x")).length).toBe(5);
  });
});

describe("[D2] a flush in slices", () => {
  test("writes to each reader once, however often it is cut", async () => {
    const sinks = await room.crowd(50);
    room.store(3);
    const slices = [];
    for (let done = false; !done; ) {
      const before = sinks.filter(({ writes }) => writes > 0).length;
      done = room.flush(4);
      slices.push(sinks.filter(({ writes }) => writes > 0).length - before);
    }
    expect(slices).toEqual([16, 16, 16, 2]);
    for (const sink of sinks) expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2", "3 m3"]);
  });

  test("cuts between codecs that nobody shares, too", async () => {
    const sinks = await Promise.all(Array.from({ length: 40 }, () => room.read("now", new Sink({ codec: new SinkCodec(false) }))));
    room.store();
    expect(room.flush(4)).toBe(false);
    expect(sinks.filter(({ writes }) => writes > 0).length).toBe(16);
    while (!room.flush(4));
    for (const sink of sinks) expect(sink.story.slice(2)).toEqual(["epoch", "1 m1"]);
  });

  test("is not seen by readers that join, leave and lag between slices", async () => {
    const codec = new SinkCodec();
    const sinks = await room.crowd(40, codec);
    room.store(2);
    const start = room.top;
    room.flush(4);
    const [joined, other] = [
      await room.read({ ...ORIGIN }, new Sink({ codec })),
      await room.read({ ...ORIGIN }, new Sink({ codec: new SinkCodec() })),
    ];
    sinks[2]!.reader!.end();
    sinks[30]!.reader!.end();
    sinks[31]!.room = 0;
    room.store(1);
    const late = await room.read(start, new Sink({ codec }));
    while (!room.flush(4));
    while (!room.flush(4));
    sinks[31]!.drain();
    await settle();
    const all = ["epoch", "1 m1", "2 m2", "3 m3"];
    for (const [index, sink] of sinks.entries()) {
      expect(sink.story.slice(2)).toEqual(index === 2 ? all.slice(0, 3) : index === 30 ? [] : all);
    }
    for (const sink of [joined, other]) expect(sink.story.filter((told) => told !== "live").slice(1)).toEqual(all);
    expect(late.story).toEqual(["subscribed 2", "3 m3", "live"]);
  });

  test("misses nobody, and writes to nobody twice, when most of the crowd leaves between slices", async () => {
    const sinks = await room.crowd(60);
    room.store();
    room.flush(4);
    for (const sink of sinks.slice(0, 40)) sink.reader!.end();
    while (!room.flush(4));
    room.store();
    while (!room.flush(4));
    for (const sink of sinks.slice(40)) expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2"]);
  });

  test("is finished at once where it must be, whatever time it takes", async () => {
    const sinks = await room.crowd(40);
    room.store(1);
    room.flush(4);
    room.store(1);
    room.channel.flushNow();
    for (const sink of sinks) expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2"]);
  });

  test("is finished before the log's past is doubted, so that nobody loses what was told", async () => {
    const sinks = await room.crowd(40);
    room.store(2);
    room.flush(4);
    room.log.loseTail("c", 1);
    await settle();
    for (const sink of sinks) expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2", "gap truncated 2 -> 1 missing 0"]);
  });

  test("goes on when an outlet ends its reader, or others, while it writes", async () => {
    const codec = new SinkCodec();
    const sinks: Sink[] = [];
    for (let made = 0; made < 20; made++) {
      const sink = new Sink({ codec });
      sink.onWrite = () => {
        if (made === 3) for (const victim of [3, 4, 19]) sinks[victim]!.reader!.end();
      };
      sinks.push(await room.read("now", sink));
    }
    room.store();
    room.flush();
    room.store();
    room.flush();
    expect(sinks.map(({ writes }) => writes)).toEqual(sinks.map((_, index) => (index === 3 ? 1 : index === 4 || index === 19 ? 0 : 2)));
  });
});

describe("[D3] what is encoded for one reader alone", () => {
  test("is made only when it is written: an encoding may note that it was sent", async () => {
    const codec = new SinkCodec(false);
    const sink = await room.read("now", new Sink({ codec, room: 1 }));
    room.store();
    room.flush();
    room.store();
    room.flush();
    expect([codec.made, sink.writes]).toEqual([1, 1]);
    sink.drain();
    await settle();
    expect([codec.made, sink.writes]).toEqual([2, 2]);
  });
});

describe("catching up", () => {
  test("[D7] reads pages of catchUpCountMax messages", async () => {
    room = await roomWith({ catchUpCountMax: 3, tailBytesMax: 1 });
    room.store(8);
    const sink = await room.read("start");
    expect(sink.take()).toEqual(
      ["subscribed 0", "epoch", ...Array.from({ length: 8 }, (_, index) => `${index + 1} m${index + 1}`), "live"].filter(
        (told) => told !== "epoch",
      ),
    );
    expect(sink.writes).toBe(3);
  });

  test("[D7] reads pages of catchUpBytesMax, and of one message at least", async () => {
    room = await roomWith({ catchUpBytesMax: 250 });
    room.store(5, 100);
    room.store(2, 900);
    room.store(2, 100);
    const sink = await room.read("start");
    expect(sink.story.length).toBe(11);
    expect(sink.writes).toBeGreaterThanOrEqual(5);
    expect(sink.reader!.state).toBe("live");
  });

  test("of many readers at one place is one read, and one encoding", async () => {
    room.store(5);
    await room.read();
    const begin = { ...room.top, offset: 0, tag: NO_TAG };
    const codec = new SinkCodec();
    room.reads.length = 0;
    const sinks = await Promise.all([1, 2, 3, 4].map(() => room.read(begin, new Sink({ codec }))));
    expect([room.reads.length, codec.made]).toEqual([1, 1]);
    for (const { story } of sinks) expect(story.length).toBe(7);
  });

  test("[D3] shares no page with a position that is older: what came to be since would be missing from it", async () => {
    await room.channel.open();
    let release = () => {};
    const { read } = room.log;
    room.log.read = async (...asked) => {
      const page = await read(...asked);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return page;
    };
    room.channel.hold();
    const early = room.channel.page(ORIGIN);
    const releaseEarly = () => release();
    await settle();
    room.log.read = read;
    room.store(1);
    room.flush();
    const sink = await room.read({ ...room.top, epoch: room.top.epoch, offset: 0, tag: NO_TAG }, new Sink());
    releaseEarly();
    await early;
    await settle();
    expect(sink.take()).toEqual(["subscribed 0", "1 m1", "live"]);
  });

  test("[D7] a large batch is not kept: the tail holds no more than tailBytesMax, and whoever lacks it reads the log", async () => {
    room = await roomWith({ tailBytesMax: 500 });
    room.store();
    await room.read();
    const { top } = room;
    room.store(20);
    room.flush();
    room.reads.length = 0;
    const sink = await room.read(top);
    expect([room.reads.length, sink.story.length]).toEqual([1, 22]);
  });
});

describe("[D3] what retention has taken", () => {
  test("is not served from the tail to one who comes with an old position, but told as a gap", async () => {
    room.store(1);
    const [old, live] = [room.top, await room.read()];
    room.store(4);
    room.flush();
    room.log.trim(3);
    const sink = await room.read(old);
    expect(sink.story).toEqual(["subscribed 1", "gap trimmed 1 -> 3 missing 2", "4 m4", "5 m5", "live"]);
    expect(live.story.at(-1)).toBe("5 m5");
  });

  test("is served from the tail to one who was only slow: being slow is no cause for a gap", async () => {
    const sink = await room.read("now", new Sink({ room: 1 }));
    room.store(1);
    room.flush();
    room.store(3);
    room.flush();
    room.log.trim(4);
    sink.drain();
    await settle();
    expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2", "3 m3", "4 m4"]);
  });
});

describe("what the log tells", () => {
  test("[D2] while the channel is being opened is not lost", async () => {
    room.store();
    const { read } = room.log;
    room.log.habits.readMsMax = 0;
    room.log.read = async (...asked) => {
      const page = { head: room.log.head, entries: [] };
      await new Promise<void>((resolve) => room.clock.after(10, resolve));
      room.log.read = read;
      return asked[2].count === 0 ? page : read(...asked);
    };
    const sink = new Sink();
    const reading = room.read("now", sink);
    await settle();
    room.store(2);
    await room.clock.advanceAsync(10);
    await reading;
    room.flush();
    expect(sink.story).toEqual(["subscribed 1", "live", "2 m2", "3 m3"]);
  });

  test("[D2] of a new epoch does not mix with what still waits of the old one", async () => {
    const sink = await room.read();
    room.store(1);
    room.log.addEra("c");
    room.store(1);
    await settle();
    room.flush();
    expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "epoch", "2 m2"]);
  });

  test("[D2] twice, or late, is taken once", async () => {
    const sink = await room.read();
    const tell = heard(room);
    room.store(3);
    room.flush();
    tell.again();
    await settle();
    room.flush();
    expect(sink.story.filter((one) => /\d m/.test(one))).toEqual(["1 m1", "2 m2", "3 m3"]);
  });

  test("[D2] with a hole in it is healed from the log, by one read for all", async () => {
    const sinks = await room.crowd(5);
    const tell = heard(room);
    tell.deaf = true;
    room.store(3);
    tell.deaf = false;
    room.reads.length = 0;
    room.store(1);
    await settle();
    room.flush();
    for (const sink of sinks) expect(sink.story.filter((one) => /\d m/.test(one))).toEqual(["1 m1", "2 m2", "3 m3", "4 m4"]);
    expect(room.reads.length).toBe(1);
  });

  test("[D10] only as `changed` is read from the log", async () => {
    const sink = await room.read();
    room.log.behave({ tellsChanged: 1 });
    room.store(3);
    await settle();
    room.flush();
    expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2", "3 m3"]);
  });

  test("[D10] while the log cannot be read is looked for until it can, though nothing more is told", async () => {
    const sink = await room.read();
    room.log.behave({ tellsChanged: 1, readFails: 1 });
    room.store(2);
    await room.clock.advanceAsync(3_500);
    expect([sink.story.length, room.warned.length]).toEqual([2, 4]);
    room.log.behave({});
    await room.clock.advanceAsync(1_000);
    room.flush();
    expect(sink.story.slice(2)).toEqual(["epoch", "1 m1", "2 m2"]);
    expect(room.clock.timers).toBe(0);
  });

  test("[D3] after a change that is not understood yet is not taken for its sequel", async () => {
    room.store(4);
    const sink = await room.read();
    room.log.behave({ readFails: 1 });
    room.log.rewriteTail("c", 2, () => "rewritten");
    await settle();
    room.store();
    room.log.behave({});
    await room.clock.advanceAsync(1_000);
    room.flush();
    expect(sink.story.slice(2)).toEqual(["gap truncated 4 -> 4 missing null", "5 m5"]);
  });

  test("[D2] of a new epoch goes on, and the epoch is told", async () => {
    room.store(2);
    const sink = await room.read();
    room.log.addEra("c");
    room.store(2);
    await settle();
    room.flush();
    expect(sink.story.slice(2)).toEqual(["epoch", "3 m3", "4 m4"]);
  });

  test("[D3] of a log that was removed and made anew is told as a gap, once", async () => {
    room.store(3);
    const sink = await room.read();
    await room.log.remove("c");
    await settle();
    expect(sink.take().slice(2)).toEqual(["gap epoch 3 -> 0 missing null"]);
    room.store(1);
    room.flush();
    expect(sink.take()).toEqual(["epoch", "4 m4".replace("4 ", "1 ")]);
  });

  test("[D7] of more than tailBytesMax at once is not piled up: live readers read it from the log, page by page", async () => {
    room = await roomWith({ tailBytesMax: 2_000, catchUpCountMax: 5 });
    room.store();
    const sink = await room.read();
    const tell = heard(room);
    tell.deaf = true;
    room.store(99);
    tell.deaf = false;
    room.store(1);
    await settle();
    await settle();
    room.flush();
    expect(sink.story.filter((one) => /\d m/.test(one)).length).toBe(100);
    expect(sink.writes).toBeGreaterThan(15);
  });

  test("[D10] a log that has no message yet takes in who waits at the origin", async () => {
    const sink = await room.read();
    const tell = heard(room);
    room.store(1);
    room.flush();
    sink.take();
    room.log.loseTail("c", 1);
    await settle();
    tell.again();
    room.store(1);
    await settle();
    room.flush();
    const other = await room.read(ORIGIN);
    expect(sink.take()).toEqual(["gap truncated 1 -> 0 missing 0", "epoch", "1 m2"]);
    expect(other.take()).toEqual(["subscribed 0", "epoch", "1 m2", "live"]);
  });

  test("[D10] a log that was cut to nothing takes in who waits at the origin", async () => {
    room.store(1);
    room.log.loseTail("c", 1);
    const sinks = [await room.read(ORIGIN), await room.read("start")];
    room.store(1);
    await settle();
    room.flush();
    expect(sinks.map((sink) => sink.take())).toEqual([
      ["subscribed 0", "epoch", "live", "1 m2"],
      ["subscribed 0", "live", "1 m2"],
    ]);
  });
});

describe("[D7] a log that gives nothing where it should", () => {
  test("is not asked over and over, but after a while again", async () => {
    room.store(5);
    const sink = await room.read();
    const { read } = room.log;
    room.log.read = async (...asked) => ({ ...(await read(...asked)), entries: [] });
    const tell = heard(room);
    tell.deaf = true;
    room.store(3);
    tell.changed();
    const lost = await room.read("start");
    await room.clock.advanceAsync(5_000);
    expect(room.reads.length).toBeLessThan(60);
    expect(room.warned.join()).toContain("gives nothing");
    room.log.read = read;
    await room.clock.advanceAsync(1_000);
    room.flush();
    expect([sink, lost].map(({ story, reader }) => [story.at(-1), reader!.state])).toEqual([
      ["8 m8", "live"],
      ["live", "live"],
    ]);
  });

  test("a position that a client made up does not make it be asked over and over", async () => {
    room.store(3);
    room.log.addEra("c");
    await room.read();
    const [older, newer] = room.log.head!.lineage;
    for (const position of [
      { epoch: newer!.epoch, offset: 3, tag: room.top.tag },
      { epoch: newer!.epoch, offset: 3, tag: NO_TAG },
      { epoch: older!.epoch, offset: 3, tag: NO_TAG },
      { epoch: newer!.epoch, offset: 1, tag: NO_TAG },
      { epoch: older!.epoch, offset: 99, tag: NO_TAG },
    ]) {
      room.reads.length = 0;
      const sink = await room.read(position);
      expect([sink.reader!.state, room.reads.length < 6]).toEqual(["live", true]);
    }
  });
});

describe("[D7] signals", () => {
  const signal = (event: string, sender = "ada", data: unknown = null) =>
    room.channel.signal({ type: "signal", channel: "c", event, data, sender });

  test("go to whoever is live at the flush, the latest of an event and sender alone", async () => {
    const sink = await room.read();
    signal("typing", "ada", 1);
    signal("typing", "bob", 2);
    signal("typing", "ada", 3);
    const late = await room.read();
    room.flush();
    room.flush();
    expect(sink.take().slice(2)).toEqual(["signal typing bob 2", "signal typing ada 3"]);
    expect(late.take().slice(2)).toEqual(["signal typing bob 2", "signal typing ada 3"]);
  });

  test("beyond signalsPendingMax drop the oldest", async () => {
    room = await roomWith({ signalsPendingMax: 2 });
    const sink = await room.read();
    for (const event of ["a", "b", "c"]) signal(event);
    room.flush();
    expect(sink.take().slice(2)).toEqual(["signal b ada null", "signal c ada null"]);
  });

  test("are dropped where nobody is live, or there is no room", async () => {
    signal("early");
    const sink = await room.read("now", new Sink({ room: 1 }));
    signal("a");
    signal("b");
    room.flush();
    expect(sink.take().slice(2)).toEqual(["signal a ada null"]);
    sink.drain();
    room.flush();
    expect(sink.take()).toEqual([]);
  });

  test("reach the others when an outlet ends its reader while it is written to", async () => {
    const codec = new SinkCodec();
    const sinks = await Promise.all(
      Array.from({ length: 6 }, (_, index) => {
        const sink = new Sink({ codec });
        if (index < 4) sink.onWrite = () => sink.reader!.end();
        return room.read("now", sink);
      }),
    );
    signal("a");
    signal("b");
    room.flush();
    expect(sinks.map(({ writes }) => writes)).toEqual([1, 1, 1, 1, 2, 2]);
  });
});

describe("[D7] nothing is left", () => {
  test("of readers that have ended: nothing is encoded for them", async () => {
    const codec = new SinkCodec();
    const sinks = await room.crowd(10, codec);
    for (const sink of sinks) sink.reader!.end();
    room.store();
    room.flush();
    expect([codec.made, room.channel.readers, room.emptied]).toEqual([0, 0, 1]);
  });

  test("of a reader that ends twice: it is counted once", async () => {
    const [one] = await room.crowd(2);
    one!.reader!.end();
    one!.reader!.end();
    expect(room.channel.readers).toBe(1);
  });

  test("of a channel that closed: it follows no more, rests no more, and whoever is left is refused", async () => {
    room.store(3);
    const [live, waiting, lagging] = [
      await room.read(),
      await room.read("start", new Sink({ room: 0 })),
      await room.read("start", new Sink({ room: 0 })),
    ];
    room.log.behave({ readFails: 1 });
    lagging.drain();
    const failing = await room.read(ORIGIN);
    expect(room.clock.timers).toBe(1);
    room.channel.close(new ThroughlineError("restart", "stopping"));
    await settle();
    waiting.drain();
    await settle();
    for (const { refused, reader } of [live, waiting, failing]) expect([refused?.code, reader!.state]).toEqual(["restart", "ended"]);
    expect([room.clock.timers, room.log.follows, room.channel.readers]).toEqual([0, 0, 0]);
    await expect(room.channel.locate({ type: "now" })).rejects.toMatchObject({ code: "restart" });
  });
});

test("[D10] a channel that could not be opened is opened by the next reader", async () => {
  room.log.behave({ readFails: 1 });
  await expect(room.read()).rejects.toThrow("as scripted");
  expect(room.log.follows).toBe(0);
  room.log.behave({});
  room.store();
  const sink = await room.read("start");
  expect(sink.story).toEqual(["subscribed 0", "1 m1", "live"]);
  expect(room.log.follows).toBe(1);
});

/** Stands between the log and the channel. */
function heard({ log }: Room): { deaf: boolean; again: () => void; changed: () => void } {
  let again = () => {};
  let changed = () => {};
  const tell = { deaf: false, again: () => again(), changed: () => changed() };
  log.between = (told, follower) => {
    changed = () => follower({ type: "changed" });
    if (tell.deaf) return;
    again = () => follower(told);
    follower(told);
  };
  return tell;
}
