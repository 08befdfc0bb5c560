import { beforeEach, describe, expect, test } from "vitest";
import { type HandClock, handClock } from "../../test/support/clock.ts";
import { Sink } from "../../test/support/sink.ts";
import { codeOf, Stage } from "../../test/support/stage.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { type Limits, withLimits } from "../protocol/limits.ts";
import { type Connection, Connections } from "./connection.ts";
import { Gate, type GateOptions } from "./gate.ts";
import type { Authorize, Identity } from "./identity.ts";
import type { Reader } from "./reader.ts";

const SECOND = 1_000;
let clock: HandClock;

beforeEach(() => {
  clock = handClock();
});

function registry(own: Partial<Limits> = {}, authorize?: Authorize): Connections {
  const limits = withLimits(own);
  return new Connections(clock, limits, gateWith({ authorize }, limits));
}

function gateWith(own: Partial<GateOptions>, { gateSecondsMax, revocationsMax } = withLimits()): Gate {
  const usual = { authenticate: undefined, authorize: undefined, clock, secondsMax: gateSecondsMax, revocationsMax };
  return new Gate({ ...usual, warn: () => undefined, ...own });
}

class Pipe implements Connection {
  readonly transport = "local";
  readonly id: string;
  readonly identity: Identity;
  asked = 0;
  readonly beats: number[] = [];
  ended: ThroughlineError | null = null;
  all: Reader[] = [];
  slot = -1;
  onBeat: () => void = () => undefined;

  constructor(id = "", identity: Partial<Identity> = {}) {
    this.id = id;
    this.identity = identity.id === undefined ? { id, ...identity } : (identity as Identity);
  }

  readers(): Reader[] {
    return this.all;
  }

  beat(): void {
    this.beats.push(clock.elapsed());
    this.onBeat();
  }

  end(error: ThroughlineError): void {
    this.ended = error;
  }
}

function enter(connections: Connections, count: number, identity: Partial<Identity> = {}): Pipe[] {
  return Array.from({ length: count }, (_, index) => {
    const pipe = new Pipe(`p${index}`, identity);
    connections.add(pipe);
    return pipe;
  });
}

describe("heartbeats", () => {
  test("come every heartbeatSeconds to each connection", () => {
    const pipes = enter(registry({ heartbeatSeconds: 6 }), 100);
    clock.advance(60 * SECOND);
    for (const { beats } of pipes) {
      expect(beats.length).toBe(10);
      expect(beats.slice(1).every((at, index) => Math.abs(at - beats[index]! - 6 * SECOND) < 1)).toBe(true);
    }
  });

  test("are spread, so that those of many connections do not come in one turn", () => {
    const pipes = enter(registry({ heartbeatSeconds: 6 }), 600);
    clock.advance(6 * SECOND);
    const perTurn = new Map<number, number>();
    for (const { beats } of pipes) perTurn.set(beats[0]!, (perTurn.get(beats[0]!) ?? 0) + 1);
    expect([perTurn.size, Math.max(...perTurn.values())]).toEqual([60, 10]);
  });

  test("come in time whoever else comes and goes", () => {
    const connections = registry({ heartbeatSeconds: 6 });
    const stays = enter(connections, 30);
    for (let turn = 0; turn < 300; turn++) {
      const others = enter(connections, 7);
      clock.advance(100);
      for (const other of others) connections.remove(other);
      clock.advance(100);
    }
    for (const { beats } of stays)
      for (const [index, at] of beats.slice(1).entries()) expect(at - beats[index]!).toBeLessThan(6.2 * SECOND);
    for (const { beats } of stays) expect(beats.length).toBe(10);
  });

  test("go on when one of them ends its connection", () => {
    const connections = registry();
    const pipes = enter(connections, 120);
    for (const pipe of pipes.slice(0, 60)) pipe.onBeat = () => connections.remove(pipe);
    clock.advance(30 * SECOND);
    expect(pipes.map(({ beats }) => beats.length)).toEqual(pipes.map((_, index) => (index < 60 ? 1 : 2)));
  });

  test("[D7] leave no timer behind the last connection, and begin again with the next", () => {
    const connections = registry();
    expect(clock.timers).toBe(0);
    const [first] = enter(connections, 1, { expiresAt: clock.now() + SECOND });
    expect(clock.timers).toBe(2);
    connections.remove(first!);
    expect(clock.timers).toBe(0);
    const [second] = enter(connections, 1);
    clock.advance(15 * SECOND);
    expect(second!.beats.length).toBe(1);
  });
});

describe("[D8] an identity that expires", () => {
  const expiresAt = (seconds: number) => ({ expiresAt: clock.now() + seconds * SECOND });

  test.each([0, 1, 30, 90, 100_000])("after %i seconds ends its connections within a second, and not before", (seconds) => {
    const [pipe] = enter(registry(), 1, expiresAt(seconds));
    clock.advance(seconds * SECOND - 1);
    expect(pipe!.ended).toBeNull();
    clock.advance(SECOND + 1);
    expect(pipe!.ended?.code).toBe("expired");
  });

  test("is noticed within a second when the wall clock jumps ahead", () => {
    const [pipe] = enter(registry(), 1, expiresAt(3_600));
    clock.advance(10 * SECOND);
    clock.setNow(clock.now() + 3_600 * SECOND);
    clock.advance(SECOND);
    expect(pipe!.ended?.code).toBe("expired");
  });

  test("lives longer when the wall clock goes back, since that is what it means", () => {
    const [pipe] = enter(registry(), 1, expiresAt(60));
    clock.setNow(clock.now() - 60 * SECOND);
    clock.advance(90 * SECOND);
    expect(pipe!.ended).toBeNull();
    clock.advance(31 * SECOND);
    expect(pipe!.ended?.code).toBe("expired");
  });

  test("whose expiry cannot be read is taken to have expired", () => {
    const [pipe] = enter(registry(), 1, { expiresAt: Number.NaN });
    clock.advance(SECOND);
    expect(pipe!.ended?.code).toBe("expired");
  });

  test("is told once, and the others are left alone", () => {
    const connections = registry();
    const [pipe] = enter(connections, 1, expiresAt(1));
    const [other] = enter(connections, 1, expiresAt(100));
    clock.advance(3 * SECOND);
    pipe!.ended = null;
    clock.advance(3 * SECOND);
    expect([pipe!.ended, other!.ended]).toEqual([null, null]);
  });
});

describe("[D7] connectionsMax", () => {
  test("connections are held, and no more are admitted until one leaves", () => {
    const connections = registry({ connectionsMax: 2 });
    const [first] = enter(connections, 2);
    expect(() => connections.admit()).toThrow(expect.objectContaining({ code: "overloaded" }));
    connections.remove(first!);
    connections.admit();
  });

  test("also binds those that were admitted together before any of them entered", () => {
    const connections = registry({ connectionsMax: 2 });
    for (let asked = 0; asked < 3; asked++) connections.admit();
    const pipes = enter(connections, 3);
    expect(pipes.map(({ ended }) => ended?.code)).toEqual([undefined, undefined, "overloaded"]);
    expect(connections.size).toBe(2);
    expect(connections.remove(pipes[2]!)).toBe(false);
  });
});

describe("connections", () => {
  test("are listed and counted as they come and go, in any order", () => {
    const connections = registry();
    const pipes = enter(connections, 150);
    // 151 is prime, so this is each of them once
    const leave = pipes.map((_, index) => pipes[(((index + 1) * 60) % 151) - 1]!);
    for (const [index, pipe] of leave.entries()) {
      expect(connections.size).toBe(150 - index);
      expect(new Set(connections)).toEqual(new Set(leave.slice(index)));
      expect(connections.remove(pipe)).toBe(true);
      expect(connections.remove(pipe)).toBe(false);
    }
    expect([...connections]).toEqual([]);
  });

  test("[D8] of an identity that is revoked end, and no others", () => {
    const connections = registry();
    const pipes = enter(connections, 3);
    connections.add(new Pipe("other", { id: "p1" }));
    connections.revoke("p1");
    expect([...connections].map(({ id, ended }: Connection & { ended?: ThroughlineError | null }) => [id, ended?.code])).toEqual(
      expect.arrayContaining([
        ["p0", undefined],
        ["p1", "revoked"],
        ["other", "revoked"],
      ]),
    );
    expect(pipes[2]!.ended).toBeNull();
  });

  test("[D8] of an identity that was revoked while they were on their way do not get in; who comes afterwards does", async () => {
    const gate = gateWith({});
    const connections = new Connections(clock, withLimits(), gate);
    const [early, other, late] = ["ada", "bob", "ada"].map((id) => new Pipe("p", { id })) as [Pipe, Pipe, Pipe];
    connections.revoke("ada");
    late.asked = gate.moment;
    expect([early, other, late].map((pipe) => connections.add(pipe))).toEqual([false, true, true]);
    expect([early, other, late].map((pipe) => pipe.ended?.code)).toEqual(["revoked", undefined, undefined]);
  });

  test("[D7] [D8] on their way since before revocationsMax others do not get in, revoked or not, and may come back", () => {
    const gate = gateWith({}, withLimits({ revocationsMax: 3 }));
    const connections = new Connections(clock, withLimits(), gate);
    const came = (id: string, asked: number) => {
      const pipe = new Pipe("p", { id });
      pipe.asked = asked;
      connections.add(pipe);
      return pipe.ended?.code;
    };
    connections.revoke("ada");
    const behindAda = gate.moment;
    for (const id of ["b", "c"]) connections.revoke(id);
    expect([came("ada", 0), came("eve", 0)]).toEqual(["revoked", undefined]);
    // One that is revoked again takes no more room
    connections.revoke("c");
    expect([came("ada", 0), came("eve", 0)]).toEqual(["revoked", undefined]);
    connections.revoke("d");
    expect([came("ada", 0), came("eve", 0), came("c", 0)]).toEqual(["overloaded", "overloaded", "revoked"]);
    expect([came("ada", behindAda), came("ada", gate.moment)]).toEqual([undefined, undefined]);
  });

  test("all end when the server stops, each with its own moment to come back, and no other may enter", () => {
    const connections = registry();
    const pipes = enter(connections, 4);
    connections.close((spread) => new ThroughlineError("restart", "stopping", { retryAfterMs: spread * 1_000 }));
    expect(pipes.map(({ ended }) => ended?.retryAfterMs)).toEqual([0, 250, 500, 750]);
    expect(() => connections.admit()).toThrow(expect.objectContaining({ code: "restart" }));
    const [late] = enter(connections, 1);
    expect(late!.ended?.code).toBe("restart");
    expect(clock.timers).toBe(0);
  });
});

describe("[D8] a review", () => {
  async function stageWith(authorize: Authorize) {
    const stage = new Stage({ authorize });
    const pipe = new Pipe("p", { id: "ada" });
    stage.hub.enter(pipe);
    for (const channel of ["a", "b"]) pipe.all.push((await stage.read("now", { channel })).reader!);
    return { stage, pipe, sinks: pipe.all.map(({ outlet }) => outlet as Sink) };
  }

  test("ends the readers that are refused now, and leaves the others", async () => {
    const { stage, pipe, sinks } = await stageWith(({ channel }) => channel === "a");
    await stage.hub.connections.review();
    expect(sinks.map(({ refused }) => refused?.code)).toEqual([undefined, "revoked"]);
    expect(pipe.all.map(({ state }) => state)).toEqual(["live", "ended"]);
    await stage.publish("for c");
    void stage.ask("more", { channel: "b" });
    await stage.calm();
    expect(sinks[1]!.story).not.toContain("1 more");
  });

  test("asks again for a reader whose permission was asked for before it, and which it did not see, before that one begins", async () => {
    let allowed = false;
    const { stage, pipe, sinks } = await stageWith(() => allowed);
    const { connections, gate } = stage.hub;
    const [first, second] = sinks.map(() => new Sink());
    const arrive = async (sink: Sink, channel: string, asked: number) => {
      const reader = stage.hub.read(channel, sink);
      const located = stage.hub.locate(reader, { type: "start" });
      await stage.calm();
      await located;
      await connections.recheck(pipe, [reader], asked);
      reader.begin();
      await stage.calm();
    };
    const before = gate.moment;
    await stage.publish("a secret");
    await connections.review();
    await arrive(first!, "c", before);
    expect([first!.story, first!.refused?.code]).toEqual([[], "revoked"]);
    await arrive(second!, "c", gate.moment);
    expect([second!.story, second!.refused]).toEqual([["subscribed 0", "1 a secret", "live"], null]);
    allowed = true;
    const third = new Sink();
    await arrive(third, "c", before);
    expect([third.story, third.refused]).toEqual([["subscribed 0", "1 a secret", "live"], null]);
  });

  test("asks about the named identity alone", async () => {
    const { stage, sinks } = await stageWith(() => false);
    await stage.hub.connections.review("bob");
    expect(sinks.map(({ refused }) => refused)).toEqual([null, null]);
    await stage.hub.connections.review("ada");
    expect(sinks.map(({ refused }) => refused?.code)).toEqual(["revoked", "revoked"]);
  });

  test("says nothing of a reader that left by itself while it was asked about", async () => {
    let answer: (allowed: boolean) => void = () => undefined;
    const { stage, pipe, sinks } = await stageWith(() => new Promise((resolve) => (answer = resolve)));
    pipe.all.length = 1;
    const reviewed = stage.hub.connections.review();
    await stage.calm();
    pipe.all[0]!.end();
    answer(false);
    await reviewed;
    expect(sinks[0]!.refused).toBeNull();
  });

  test("takes a hook that fails, or does not answer within gateSecondsMax, for a no", async () => {
    const { stage, sinks } = await stageWith(() => new Promise(() => undefined));
    const reviewed = codeOf(stage.hub.connections.review());
    await stage.pass(10);
    expect([await reviewed, ...sinks.map(({ refused }) => refused?.code)]).toEqual(["none", "revoked", "revoked"]);
  });
});
