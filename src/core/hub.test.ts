import { describe, expect, test } from "vitest";
import { Sink } from "../../test/support/sink.ts";
import { codeOf, Stage } from "../../test/support/stage.ts";
import { memory } from "../engines/memory/memory.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { parseFrom } from "../protocol/from.ts";
import { readPosition } from "../protocol/position.ts";
import type { Receipt } from "./hub.ts";
import type { Log, LogContext, Notice } from "./log.ts";

const ADA = { id: "ada" };
const offsetOf = ({ position }: Receipt): number => readPosition(position)!.offset;

describe("publishing", () => {
  test("[D1] [D4] is answered with the position at which the message stands, and the engine's level", async () => {
    const stage = new Stage();
    const receipts = await stage.publish("a", "b", "c");
    expect(receipts.map(offsetOf)).toEqual([1, 2, 3]);
    expect(receipts.map(({ level, duplicate }) => [level, duplicate])).toEqual(Array(3).fill(["memory", false]));
    const sink = await stage.read("start");
    expect(sink.story).toEqual(["subscribed 0", "1 a", "2 b", "3 c", "live"]);
  });

  test("does not ask the gate about what the application publishes itself", async () => {
    const stage = new Stage({ authorize: () => false });
    await stage.publish("yes");
    expect(stage.log.truth.holds("yes")).toBe(true);
  });

  test.each([
    ["bad_channel", { channel: "no such name" }],
    ["bad_event", { event: "gap" }],
    ["bad_key", { key: "" }],
    ["too_large", { size: 1_048_577 + "message".length }],
  ])("is refused with %s, and nothing is stored", async (code, bad) => {
    const stage = new Stage();
    expect(await codeOf(stage.ask("x", bad))).toBe(code);
    await stage.calm();
    expect(stage.log.head).toBeNull();
  });

  test("tells those who asked by `on`, unless it was a duplicate; one that throws is told to the operator", async () => {
    const stage = new Stage();
    const told: unknown[] = [];
    stage.hub.on("publish", () => {
      throw new Error("a listener's fault");
    });
    const off = stage.hub.on("publish", ({ channel, event, identity }) => told.push([channel, event, identity]));
    for (let times = 0; times < 2; times++) {
      void stage.ask("a", { key: "k", identity: ADA, event: "order" });
      await stage.calm();
    }
    off();
    await stage.publish("b");
    expect(told).toEqual([["c", "order", ADA]]);
    expect(stage.warned.join()).toContain("a listener's fault");
  });
});

describe("[D5] a key", () => {
  const keyed = async (stage: Stage, data: string, key: string, id = "ada") => {
    const asked = stage.ask(data, { key, identity: { id } });
    asked.catch(() => undefined);
    await stage.calm();
    return asked.then(
      (receipt) => `${receipt.duplicate ? "duplicate" : "stored"} ${offsetOf(receipt)}`,
      (error: ThroughlineError) => error.code,
    );
  };

  test("is stored once, and answered with the first position; with other content it is a conflict", async () => {
    const stage = new Stage();
    expect([
      await keyed(stage, "a", "k"),
      await keyed(stage, "a", "k"),
      await keyed(stage, "b", "k"),
      await keyed(stage, "b", "l"),
    ]).toEqual(["stored 1", "duplicate 1", "key_conflict", "stored 2"]);
  });

  test("belongs to its identity, however the two texts are cut", async () => {
    const stage = new Stage();
    const told = [];
    for (const [id, key] of [
      ["ada", "k"],
      ["bob", "k"],
      ["", "k"],
      ["adak", "k"],
      ["ada", "kk"],
      ["1", "1:1"],
      ["11", ":1"],
      ["", "3:adak"],
    ] as const) {
      told.push(await keyed(stage, "x", key, id));
    }
    expect(told).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((offset) => `stored ${offset}`));
  });

  test("beyond keysMax is refused as keys_full, until the oldest is older than keySecondsMin and trimmed", async () => {
    const stage = new Stage({ engine: memory({ retain: { countMax: 1 } }), limits: { keysMax: 2, keySecondsMin: 60 } });
    expect([
      await keyed(stage, "a", "1"),
      await keyed(stage, "b", "2"),
      await keyed(stage, "c", "3"),
      await keyed(stage, "a", "1"),
    ]).toEqual(["stored 1", "stored 2", "keys_full", "duplicate 1"]);
    await stage.pass(61);
    expect(await keyed(stage, "c", "3")).toBe("stored 3");
  });
});

describe("an engine", () => {
  test("is given what limits and the application say of its channels", async () => {
    const stage = new Stage({ limits: { keysMax: 7, keySecondsMin: 8, lineageMax: 9 } });
    let context: LogContext | null = null;
    stage.log.open = async (given: Partial<LogContext>) => {
      context = given as LogContext;
    };
    await stage.hub.open();
    expect(context).toMatchObject({ keysMax: 7, keySecondsMin: 8, lineageMax: 9 });
  });

  test("[D3] that remembers lineageMax epochs answers a position of an older one with a gap", async () => {
    const stage = new Stage({ limits: { lineageMax: 2 } });
    const [first] = await stage.publish("a");
    stage.log.addEra("c");
    const [second] = await stage.publish("b");
    stage.log.addEra("c");
    await stage.publish("c");
    expect((await stage.read(`after:${first!.position}`)).story.slice(1)).toEqual([
      "gap epoch 1 -> 0 missing null",
      "1 a",
      "2 b",
      "epoch",
      "3 c",
      "live",
    ]);
    expect((await stage.read(`after:${second!.position}`)).story.slice(1)).toEqual(["epoch", "3 c", "live"]);
  });

  test("[D10] that could not be opened is opened by the next who needs it", async () => {
    const stage = new Stage();
    const open = stage.log.open.bind(stage.log);
    stage.log.open = () => Promise.reject(new ThroughlineError("internal", "the directory is in use"));
    expect([await codeOf(stage.ask("a")), await codeOf(stage.read())]).toEqual(["internal", "internal"]);
    stage.log.open = open;
    expect((await stage.publish("a")).map(offsetOf)).toEqual([1]);
  });

  test("that cannot remove says so", async () => {
    const stage = new Stage();
    (stage.log as Log).remove = undefined as never;
    expect(await codeOf(stage.hub.remove("c"))).toBe("unsupported");
  });

  test("that fails while a reader looks for its place ends it, and its text is for the operator only", async () => {
    const stage = new Stage();
    await stage.hub.open();
    stage.log.behave({ readFails: 1 });
    const sink = new Sink();
    const reader = stage.hub.read("c", sink);
    await expect(stage.hub.locate(reader, { type: "now" })).rejects.toMatchObject({
      code: "internal",
      message: expect.not.stringContaining("scripted"),
    });
    expect([reader.state, stage.warned.join().includes("scripted")]).toEqual(["ended", true]);
  });
});

describe("[D7] [D10] a storm of readers that come at once", () => {
  test.each([
    ["back to where they stood", (position: string) => `after:${position}`],
    ["to the start", () => "start"],
    ["to the last three", () => "last:3"],
  ])("%s shares its reads of the log", async (_, from) => {
    const stage = new Stage();
    const receipts = await stage.publish("a", "b", "c", "d");
    const witness = await stage.read();
    await stage.publish("e", "f");
    let reads = 0;
    const { read } = stage.log;
    stage.log.read = (...asked) => {
      reads++;
      return read.apply(stage.log, asked);
    };
    const sinks = Array.from({ length: 2_000 }, () => new Sink());
    const storm = sinks.map(async (sink) => {
      const reader = stage.hub.read("c", sink);
      await stage.hub.locate(reader, parseFrom(from(receipts[1]!.position)));
      reader.begin();
    });
    await stage.calm();
    await Promise.all(storm);
    await stage.publish("g");
    expect(new Set(sinks.map(({ story }) => story.join()))).toHaveLength(1);
    expect(sinks[0]!.story).toEqual(expect.arrayContaining(["6 f", "live", "7 g"]));
    expect(witness.story.at(-1)).toBe("7 g");
    expect(reads).toBeLessThan(5);
  });
});

describe("a channel without a log", () => {
  test("[D2] is read like any other, and its first message comes", async () => {
    const stage = new Stage();
    expect(await stage.hub.place("c")).toEqual({ position: "000000000000--------.0000000000000000.--------", first: 1 });
    const sink = await stage.read();
    await stage.publish("a");
    expect(sink.story).toEqual(["subscribed 0", "live", "epoch", "1 a"]);
  });
});

describe("signals", () => {
  test("reach the readers of this node and, by the engine, those of others", async () => {
    const stage = new Stage();
    const notices: Notice[] = [];
    let hear: (notice: Notice) => void = () => undefined;
    Object.assign(stage.log, {
      notify: (notice: Notice) => notices.push(notice),
      listen: (listener: typeof hear) => {
        hear = listener;
      },
    });
    stage.hub.signal("c", "typing", 0, "early");
    const sink = await stage.read();
    stage.hub.signal("c", "typing", { at: 3 }, "ada");
    await stage.calm();
    hear({ channel: "c", body: notices[0]!.body.replace("ada", "bob") });
    hear({ channel: "nobody/reads/this", body: notices[0]!.body });
    await stage.calm();
    expect(sink.story.slice(2)).toEqual(['signal typing ada {"at":3}', 'signal typing bob {"at":3}']);
    expect(notices.length).toBe(1);
  });

  test("have an event's name like messages", async () => {
    expect(() => new Stage().hub.signal("c", "$own", null, "ada")).toThrow(expect.objectContaining({ code: "bad_event" }));
  });
});

describe("[D7] a channel whose last reader has gone", () => {
  test("is followed for five seconds more, in one wait however often readers come and go", async () => {
    const stage = new Stage();
    for (let times = 0; times < 5; times++) {
      const sink = await stage.read();
      expect([stage.hub.channelCount, stage.hub.readerCount, stage.clock.timers]).toEqual([1, 1, 0]);
      sink.reader!.end();
      expect([stage.hub.channelCount, stage.hub.readerCount, stage.clock.timers, stage.log.follows]).toEqual([0, 0, 1, 1]);
      await stage.pass(4);
    }
    await stage.pass(2);
    expect([stage.hub.channelCount, stage.clock.timers, stage.log.follows]).toEqual([0, 0, 0]);
  });

  test("is the same for one who comes back in that time, and a new one later", async () => {
    const stage = new Stage();
    (await stage.read()).reader!.end();
    await stage.pass(4.9);
    const back = await stage.read();
    await stage.pass(60);
    await stage.publish("a");
    expect(back.story.at(-1)).toBe("1 a");
    back.reader!.end();
    await stage.pass(6);
    expect((await stage.read("start")).story).toEqual(["subscribed 0", "1 a", "live"]);
  });

  test("is let go at once if more than lingeringChannelsMax have been left since", async () => {
    const stage = new Stage({ limits: { lingeringChannelsMax: 2 } });
    for (const channel of ["a", "b", "c", "d"]) (await stage.read("now", { channel })).reader!.end();
    expect([stage.clock.timers, stage.log.follows]).toEqual([2, 2]);
    // Not one to which somebody came back meanwhile
    const back = await stage.read("now", { channel: "c" });
    for (const channel of ["e", "f"]) (await stage.read("now", { channel })).reader!.end();
    void stage.ask("x", { channel: "c" });
    await stage.calm();
    expect([back.story.at(-1), stage.log.follows]).toEqual(["1 x", 3]);
    await stage.pass(6);
    expect([stage.clock.timers, stage.log.follows]).toEqual([0, 1]);
  });
});

describe("[D4] closing", () => {
  test("stores what was published before, and answers it, and then closes the engine", async () => {
    const stage = new Stage();
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    const given = stage.ask("given");
    await stage.calm();
    const queued = stage.ask("queued");
    let closed = false;
    const closing = stage.hub.close().then(() => {
      closed = true;
    });
    await stage.calm();
    expect([closed, await codeOf(stage.ask("late"))]).toEqual([false, "not_stored"]);
    stage.log.behave({});
    await stage.calm();
    await closing;
    expect([offsetOf(await given), offsetOf(await queued)]).toEqual([1, 2]);
    expect(await codeOf(stage.log.read("c", 0, { count: 0, bytes: 0 }))).toBe("restart");
    expect(stage.log.truth.holds("late")).toBe(false);
  });

  test("waits for a log that does not answer no longer than publishSecondsMax", async () => {
    const stage = new Stage({ limits: { publishSecondsMax: 3 } });
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    const asked = codeOf(stage.ask("a"));
    await stage.calm();
    const closing = stage.hub.close();
    await stage.pass(3);
    await closing;
    expect([await asked, stage.clock.timers]).toEqual(["unknown", 0]);
  });

  test("writes what was acknowledged before it says goodbye", async () => {
    const stage = new Stage();
    const [one, sink] = [await stage.read(), await stage.read()];
    const published = stage.ask("a");
    // Not one turn more than it takes to be acknowledged
    while (!stage.log.truth.holds("a")) {
      stage.clock.turn();
      await Promise.resolve();
    }
    const closing = stage.hub.close();
    for (const { story, refused } of [one, sink]) expect([story.at(-1), refused?.code]).toEqual(["1 a", "restart"]);
    await stage.calm();
    await Promise.all([closing, published]);
  });

  test("asks each connection back in a part of the window of its own, so that no moment has more of them than another", async () => {
    const { hub } = new Stage();
    const asked: number[] = [];
    const end = ({ retryAfterMs = -1 }: ThroughlineError) => void asked.push(retryAfterMs);
    for (let n = 0; n < 100; n++) hub.enter({ ...idlePipe(String(n)), end });
    await hub.close();
    const parts = asked.map((ms) => Math.floor(ms / 50)).sort((a, b) => a - b);
    expect(parts).toEqual(Array.from({ length: 100 }, (_, part) => part));
  });

  test("leaves no reader behind, and no timer, and nothing goes on afterwards", async () => {
    const stage = new Stage();
    const [live, lagging] = [await stage.read(), await stage.read("now", { sink: new Sink({ room: 0 }) })];
    await stage.publish("a");
    (await stage.read("now", { channel: "gone" })).reader!.end();
    await stage.hub.close();
    lagging.drain();
    await stage.calm();
    expect([live.refused?.code, lagging.refused?.code, stage.hub.readerCount, stage.clock.timers]).toEqual(["restart", "restart", 0, 0]);
    const codes = [
      stage.read(),
      stage.hub.history("c", { from: { type: "start" }, limit: { count: 1, bytes: 1 } }),
      stage.hub.place("c"),
      stage.hub.remove("c"),
      stage.hub.open(),
    ];
    expect(await Promise.all(codes.map(codeOf))).toEqual(Array(5).fill("restart"));
    stage.hub.signal("c", "typing", null, "ada");
    await stage.calm();
    expect([stage.hub.channelCount, stage.clock.timers]).toEqual([0, 0]);
  });

  test("before anything was opened opens nothing", async () => {
    const stage = new Stage();
    let opened = 0;
    stage.log.open = async () => {
      opened++;
    };
    await stage.hub.close();
    await stage.hub.close();
    expect([await codeOf(stage.ask("a")), opened]).toEqual(["not_stored", 0]);
  });

  test("while readers look for their place tells them, and leaves none of them", async () => {
    const stage = new Stage();
    await stage.hub.open();
    const { read } = stage.log;
    stage.log.read = async (...asked) => {
      await new Promise<void>((resolve) => stage.clock.after(100, resolve));
      return read.apply(stage.log, asked);
    };
    const sinks = [new Sink(), new Sink()];
    const codes = sinks.map((sink) => {
      sink.reader = stage.hub.read("c", sink);
      return codeOf(stage.hub.locate(sink.reader, { type: "start" }));
    });
    await stage.calm();
    const closing = stage.hub.close();
    await stage.pass(1);
    await closing;
    expect(await Promise.all(codes)).toEqual(["restart", "restart"]);
    expect([sinks[0]!.reader!.state, stage.log.follows, stage.clock.timers]).toEqual(["ended", 0, 0]);
  });
});

test("[D7] pipes are told of as they come and go, and one that may not enter is not", async () => {
  const stage = new Stage({ limits: { connectionsMax: 1 } });
  const story: string[] = [];
  stage.hub.on("connect", ({ id }) => story.push(`${id} comes`));
  stage.hub.on("disconnect", ({ id }) => story.push(`${id} goes`));
  const pipe = (id: string) => ({ ...idlePipe(id), end: () => story.push(`${id} ends`) });
  const [first, second] = [pipe("first"), pipe("second")];
  stage.hub.enter(first);
  stage.hub.enter(second);
  stage.hub.leave(second);
  stage.hub.leave(first);
  stage.hub.leave(first);
  expect(story).toEqual(["first comes", "second ends", "first goes"]);
});

function idlePipe(id: string) {
  return { id, transport: "local" as const, identity: ADA, asked: 0, readers: () => [], beat: () => {}, slot: -1 };
}
