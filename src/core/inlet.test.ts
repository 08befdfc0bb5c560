import { describe, expect, test } from "vitest";
import { codeOf, Stage } from "../../test/support/stage.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { Inlet } from "./inlet.ts";
import type { Log } from "./log.ts";

const offsets = async (...asked: Promise<{ position: string }>[]) =>
  (await Promise.all(asked)).map(({ position }) => Number(position.slice(21, 37)));

/** Counts the calls of `append`, and how many messages each had. */
function counted(log: Log): number[] {
  const calls: number[] = [];
  const append = log.append.bind(log);
  log.append = (channel, drafts) => {
    calls.push(drafts.length);
    return append(channel, drafts);
  };
  return calls;
}

describe("the way into the log", () => {
  test("[D1] keeps the order in which messages were published", async () => {
    const stage = new Stage();
    stage.log.behave({ commitMsMax: 20 });
    const asked = [];
    for (let made = 1; made <= 10; made++) {
      asked.push(stage.ask(`m${made}`));
      if (made % 3 === 0) await stage.clock.advanceAsync(5);
    }
    await stage.pass(1);
    expect(await offsets(...asked)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test("takes what one turn publishes in one call, and what comes while the log is busy in the next", async () => {
    const stage = new Stage();
    const calls = counted(stage.log);
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    for (let made = 0; made < 3; made++) void stage.ask("early");
    await stage.calm();
    for (let made = 0; made < 5; made++) {
      void stage.ask("late");
      await stage.calm();
    }
    expect(calls).toEqual([3]);
    stage.log.behave({});
    await stage.calm();
    expect(calls).toEqual([3, 5]);
  });

  test("goes at the pace of the flusher, by how long the log took: what comes meanwhile goes in one call", async () => {
    const { clock, log, hub } = new Stage();
    const calls = counted(log);
    await hub.open();
    log.behave({ commitMsMax: 5 });
    const leads: number[] = [];
    let goOn = () => {};
    const pace = (leadMs: number) => {
      leads.push(leadMs);
      return new Promise<void>((resolve) => {
        goOn = resolve;
      });
    };
    const inlet = new Inlet("c", { log, clock, limits: hub.limits, flusher: { pace }, onIdle: () => undefined });
    const publish = () => inlet.append({ event: "message", kind: "text", data: "x", size: 8 });
    let tookMs = 0;
    const startMs = clock.elapsed();
    const first = publish().then(() => {
      tookMs = clock.elapsed() - startMs;
    });
    await Promise.all([first, clock.advanceAsync(10)]);
    expect(tookMs).toBeGreaterThan(0);
    const later = [publish(), publish()];
    await clock.advanceAsync(10);
    expect([calls, leads]).toEqual([[1], [tookMs]]);
    goOn();
    await Promise.all([...later, clock.advanceAsync(10)]);
    expect(calls).toEqual([1, 2]);
  });

  test("removes the log in the order of the calls: after what was published before, and before what is published later", async () => {
    const stage = new Stage();
    const { log, hub } = stage;
    const story: string[] = [];
    const append = log.append.bind(log);
    log.append = (channel, drafts) => {
      story.push(...drafts.map(({ data }) => String(data)));
      return append(channel, drafts);
    };
    log.remove = async () => void story.push("remove");
    await hub.open();
    log.behave({ hangs: true });
    void stage.ask("first");
    await stage.calm();
    void stage.ask("old");
    void hub.remove("c");
    void stage.ask("new");
    log.behave({});
    await stage.calm();
    expect(story).toEqual(["first", "old", "remove", "new"]);
  });

  test("[D5] a removal that the log does not answer is unknown, and one that still waits, or comes then, is not done", async () => {
    const stage = new Stage({ limits: { publishSecondsMax: 2 } });
    const { log, hub } = stage;
    await hub.open();
    log.remove = () => new Promise(() => undefined);
    const given = codeOf(hub.remove("c"));
    await stage.calm();
    const waiting = codeOf(hub.remove("c"));
    await stage.pass(3);
    expect([await given, await waiting, await codeOf(hub.remove("c"))]).toEqual(["unknown", "not_stored", "not_stored"]);
  });

  test("publishQueueMax: removals count too", async () => {
    const stage = new Stage({ limits: { publishQueueMax: 2 } });
    const { log, hub } = stage;
    await hub.open();
    log.remove = async () => undefined;
    const codes = Promise.all([1, 2, 3].map(() => codeOf(hub.remove("c"))));
    await stage.calm();
    expect(await codes).toEqual(["none", "none", "overloaded"]);
  });

  test("does not let one channel wait for another", async () => {
    const slow = new Stage();
    const append = slow.log.append.bind(slow.log);
    slow.log.append = (channel, drafts) => (channel === "slow" ? new Promise(() => undefined) : append(channel, drafts));
    void slow.ask("a", { channel: "slow" }).catch(() => undefined);
    const quick = slow.ask("b", { channel: "quick" });
    await slow.calm();
    expect(await offsets(quick)).toEqual([1]);
  });
});

describe("[D7] more than publishQueueMax messages, or publishQueueBytesMax bytes, waiting for the log", () => {
  test.each([
    ["publishQueueMax", { publishQueueMax: 3 }],
    ["publishQueueBytesMax", { publishQueueBytesMax: 30 }],
  ])("%s: are refused as overloaded, which means not stored", async (_, limits) => {
    const stage = new Stage({ limits });
    await stage.hub.open();
    const asked = Array.from({ length: 5 }, (_, made) => stage.ask(`m${made}`, { size: 10 }));
    const codes = Promise.all(asked.map(codeOf));
    await stage.calm();
    expect(await codes).toEqual(["none", "none", "none", "overloaded", "overloaded"]);
    expect([stage.log.truth.holds("m2"), stage.log.truth.holds("m3")]).toEqual([true, false]);
    expect(await offsets(...(await Promise.resolve([stage.publish("later").then(([one]) => one!)])))).toEqual([4]);
  });

  test("count per channel", async () => {
    const stage = new Stage({ limits: { publishQueueMax: 1 } });
    await stage.hub.open();
    const codes = Promise.all([stage.ask("a", { channel: "a" }), stage.ask("b", { channel: "b" })].map(codeOf));
    await stage.calm();
    expect(await codes).toEqual(["none", "none"]);
  });
});

describe("[D5] a log that does not answer within publishSecondsMax", () => {
  const limits = { publishSecondsMax: 2 };

  test("leaves what it was given unknown, and what still waited not stored", async () => {
    const stage = new Stage({ limits });
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    const given = codeOf(stage.ask("given"));
    await stage.calm();
    const waiting = codeOf(stage.ask("waiting"));
    await stage.pass(2);
    expect([await given, await waiting]).toEqual(["unknown", "not_stored"]);
    stage.log.behave({});
    await stage.calm();
    expect([stage.log.truth.holds("given"), stage.log.truth.holds("waiting")]).toEqual([true, false]);
  });

  test("refuses at once what is published until it answers, and takes it again then", async () => {
    const stage = new Stage({ limits });
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    const given = codeOf(stage.ask("given", { key: "k" }));
    await stage.pass(3);
    expect(await codeOf(stage.ask("meanwhile"))).toBe("not_stored");
    stage.log.behave({});
    await stage.calm();
    const retried = stage.ask("given", { key: "k" });
    await stage.calm();
    expect([await given, (await retried).duplicate]).toEqual(["unknown", true]);
  });

  test("is waited for no longer by those that waited behind others", async () => {
    const stage = new Stage({ limits });
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    void codeOf(stage.ask("first"));
    await stage.pass(1.5);
    const second = codeOf(stage.ask("second"));
    await stage.calm();
    stage.log.behave({});
    stage.log.behave({ hangs: true });
    await stage.pass(1.9);
    let answered = false;
    void second.then(() => {
      answered = true;
    });
    await stage.pass(0.2);
    expect([answered, await second]).toEqual([true, "unknown"]);
  });

  test("answers late in vain: nobody is answered twice", async () => {
    const stage = new Stage({ limits });
    await stage.hub.open();
    stage.log.behave({ hangs: true });
    const answers: string[] = [];
    void stage.ask("given").then(
      () => answers.push("stored"),
      (error: ThroughlineError) => answers.push(error.code),
    );
    await stage.pass(3);
    stage.log.behave({});
    await stage.pass(3);
    expect(answers).toEqual(["unknown"]);
  });
});

describe("a log that fails", () => {
  test.each([
    ["with an error of ours", () => Promise.reject(new ThroughlineError("not_stored", "the disk is full")), "not_stored"],
    ["with any other", () => Promise.reject(new Error("who knows")), "unknown"],
    [
      "before it promised anything",
      () => {
        throw new Error("a fault in the engine");
      },
      "unknown",
    ],
  ])("[D5] %s is told to all whose messages it was given, and to nobody else", async (_, fail, code) => {
    const stage = new Stage();
    await stage.hub.open();
    const append = stage.log.append.bind(stage.log);
    stage.log.append = fail;
    const codes = Promise.all([stage.ask("a"), stage.ask("b")].map(codeOf));
    await stage.calm();
    expect(await codes).toEqual([code, code]);
    stage.log.append = append;
    expect(await offsets(stage.publish("c").then(([one]) => one!))).toEqual([1]);
  });
});

test("[D7] nothing is left of a channel that is published to no more: no timer, no queue", async () => {
  const stage = new Stage();
  for (let channel = 0; channel < 20; channel++) void stage.ask("once", { channel: `c${channel}` });
  await stage.calm();
  expect(stage.clock.timers).toBe(0);
});
