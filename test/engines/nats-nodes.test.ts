import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import { nats } from "../../src/nats.ts";
import type { Clock } from "../../src/protocol.ts";
import { codeOf, everything, follow, LOBBY, Nodes, natsNodes, text } from "../support/brokers.ts";
import { handClock } from "../support/clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { connectTo, NatsServer, type NatsSettings, sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedNats);

interface State {
  readonly messages: number;
  readonly subjects?: Readonly<Record<string, number>>;
}

/** Messages in all streams of the logs, by subject. */
async function subjectsOf(server: NatsServer, prefix: string): Promise<Record<string, number>> {
  const names = await server.streams(prefix);
  const all = await Promise.all(names.map((name) => server.ask<{ state: State }>(`STREAM.INFO.${name}`, { subjects_filter: ">" })));
  return Object.assign({}, ...all.map(({ state }) => state.subjects ?? {}));
}

async function countOf(server: NatsServer, prefix: string, part: "log" | "keys"): Promise<number> {
  const subjects = Object.entries(await subjectsOf(server, prefix)).filter(([subject]) => subject.includes(`.${part}.`));
  return subjects.reduce((sum, [, count]) => sum + count, 0);
}

describe("A node", () => {
  test("whose application cannot connect is told its reason, whatever it threw, and tries again if that is later", async () => {
    const { server, prefix } = sharedNats();
    for (const thrown of [new Error("no credentials"), "no credentials", undefined, null]) {
      await using refused = new Nodes(() => nats(() => Promise.reject(thrown)));
      await expect(refused.open()).rejects.toMatchObject({
        code: "internal",
        message: expect.stringMatching(/^NATS cannot be reached: (no credentials|undefined|null)\. /),
      });
    }
    await using proxy = await FaultProxy.open(server.port);
    let isRefusing = false;
    let refusals = 0;
    const connect = () => {
      if (isRefusing) refusals++;
      return isRefusing ? Promise.reject(undefined) : connectTo(proxy)();
    };
    await using nodes = new Nodes((options) => nats(connect, options));
    const { log } = await nodes.open({ prefix });
    isRefusing = true;
    proxy.cut();
    await until("it has tried again and again", () => refusals > 4);
    isRefusing = false;
    await until("it is back", async () => (await codeOf(log.append(LOBBY, [text("a")]))) === "stored");
  });

  test("takes a function that connects, and nothing else", () => {
    for (const one of [{}, null, "nats://localhost"]) expect(() => nats(one as never)).toThrow(/^nats\(\) takes a function that connects/);
    expect(() => nats((() => {}) as never, { prefix: "a.b" })).toThrow(/prefix/);
    expect(() => nats((() => {}) as never, { streams: 0 })).toThrow(/1 to 64 streams/);
    for (const replicas of [0, 6, 1.5, Number.NaN, "3" as never])
      expect(() => nats((() => {}) as never, { replicas })).toThrow(/1, 3 or 5 replicas/);
    for (const domain of ["", "a.b", "a b", "*"]) expect(() => nats((() => {}) as never, { domain })).toThrow(/domain/);
  });

  test("[D1] [D2] with another number of streams than those before it is refused, for it would look for channels elsewhere", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix, streams: 3 });
    await log.append(LOBBY, [text("a")]);
    for (const streams of [2, 4]) {
      const refused = nodes.open({ prefix, streams });
      await expect(refused).rejects.toMatchObject({ code: "internal", message: expect.stringMatching(/over 3 streams.*was told \d/) });
    }
    expect(await server.streams(prefix)).toHaveLength(3);
    expect((await everything((await nodes.open({ prefix, streams: 3 })).log)).entries).toHaveLength(1);
  });

  test("finds JetStream in the domain that it is told of, and says where it looked for it in vain", async () => {
    await using server = new NatsServer({ domain: "edge" });
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ domain: "edge" }), await nodes.open({ domain: "edge" })];
    const told = await follow(b.log);
    for (const n of numbers(30)) await a.log.append(LOBBY, [text(String(n), String(n))]);
    await until("it was told", () => told.length === 30);
    expect((await everything(b.log)).entries.map(({ data }) => Number(data))).toEqual(numbers(30));
    expect((await b.log.append(LOBBY, [text("3", "3")]))[0]?.type).toBe("duplicate");
    await expect(nodes.open({ domain: "nowhere" })).rejects.toMatchObject({ message: expect.stringMatching(/\$JS\.nowhere\.API.*domain/) });
  });

  test("[D7] deletes what is trimmed, and keeps its keys", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix, retain: { countMax: 100, secondsMax: 3_600 } });
    for (const n of numbers(1_000)) await log.append(LOBBY, [text(String(n), String(n))]);
    expect((await everything(log)).entries.map(({ data }) => Number(data))).toEqual(numbers(1_000).slice(900));
    await until("what was trimmed is deleted", async () => (await countOf(server, prefix, "log")) < 400);
    expect(await countOf(server, prefix, "keys")).toBeGreaterThan(0);
    const other = await nodes.open({ prefix, retain: { countMax: 100, secondsMax: 3_600 } });
    const answers = await other.log.append(
      LOBBY,
      numbers(1_000).map((n) => text(String(n), String(n))),
    );
    expect(answers.map((answer) => answer.type === "duplicate" && answer.position.offset)).toEqual(numbers(1_000));
    await log.remove?.(LOBBY);
    expect([await countOf(server, prefix, "log"), await countOf(server, prefix, "keys")]).toEqual([1, 0]);
  });

  test("[D5] [D7] keys that were put away are forgotten in their time, and what they stood in is deleted", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const hand = handClock();
    const clock: Clock = { ...systemClock, now: hand.now };
    const { log } = await nodes.open({ prefix, retain: { countMax: 10 } }, { clock, keySecondsMin: 60 });
    for (const n of numbers(600)) await log.append(LOBBY, [text(String(n), String(n))]);
    await until("keys were put away", async () => (await countOf(server, prefix, "keys")) > 0);
    hand.advance(61_000);
    expect((await log.append(LOBBY, [text("1", "1")]))[0]?.type).toBe("stored");
    hand.advance(61_000);
    for (const n of numbers(600)) await log.append(LOBBY, [text(`again ${n}`)]);
    await until("they are gone", async () => (await countOf(server, prefix, "keys")) === 0);
    expect((await log.append(LOBBY, [text("600", "600")]))[0]?.type).toBe("stored");
  });

  test("[D3] [D7] what nobody adds to is deleted in its time, all but the end, so that positions stay comparable", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const hand = handClock();
    // Minutes pass by hand, and what NATS may take to answer does not
    const clock: Clock = { ...systemClock, now: hand.now, after: (ms, act) => (ms > 60_000 ? hand : systemClock).after(ms, act) };
    const { log } = await nodes.open({ prefix, retain: { secondsMax: 3_600 } }, { clock });
    for (const n of numbers(5)) await log.append(LOBBY, [text(String(n), String(n))]);
    await log.append("removed", [text("a")]);
    await log.remove?.("removed");
    hand.advance(86_500_000);
    await until("it is swept", async () => {
      hand.advance(1_200_000);
      const subjects = Object.entries(await subjectsOf(server, prefix));
      return subjects.length === 1 && subjects[0]?.[1] === 1;
    });
    const { head, entries } = await everything(log);
    expect([entries, head?.first, head?.top, head?.boundaryTag]).toEqual([[], 6, 5, head?.topTag]);
    expect((await log.append(LOBBY, [text("6", "5")]))[0]).toMatchObject({ type: "stored", position: { offset: 6 } });
  });

  test("reads any page of a long log by search, of messages stored one by one and among others", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix, streams: 1, retain: { countMax: 450 } });
    for (const n of numbers(500)) await Promise.all([log.append(LOBBY, [text(String(n))]), log.append("other", [text("x")])]);
    const fresh = await nodes.open({ prefix, streams: 1, retain: { countMax: 450 } });
    for (const after of [0, 49, 50, 51, 123, 256, 300, 444, 498, 499, 500]) {
      const { entries, head } = await fresh.log.read(LOBBY, after, { count: 7, bytes: 1e9 });
      const from = Math.max(after, 50);
      expect(entries.map(({ data }) => Number(data))).toEqual(numbers(500).slice(from, from + 7));
      expect([head?.first, head?.top]).toEqual([51, 500]);
    }
  });

  test("[D7] remembers lineageMax epochs, of however many", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    for (const n of numbers(6)) {
      const { log } = await nodes.open({ prefix }, { lineageMax: 3 });
      await log.append(LOBBY, [text(String(n))]);
      // As after a restart
      await server.ask(`STREAM.DELETE.${prefix}-fence`);
    }
    const { head } = await everything((await nodes.open({ prefix })).log);
    expect(head?.lineage.map(({ start }) => start)).toEqual([4, 5, 6]);
    expect(head?.lineage.map(({ epoch }) => epoch)).toEqual(head?.lineage.map(({ epoch }) => epoch).toSorted());
  });
});

describe("Nodes that were connected when the fence was lost, as to a cluster of which another server held it", () => {
  test("[D3] learn of the new one from what others write, and begin no epoch for each of their own messages", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    await a.log.append(LOBBY, [text("a")]);
    await b.log.append(LOBBY, [text("b")]);
    await server.ask(`STREAM.DELETE.${prefix}-fence`);
    const c = await nodes.open({ prefix });
    for (const n of numbers(3)) for (const { log } of [c, a, b]) await log.append(LOBBY, [text(`again ${n}`)]);
    const { head } = await everything(c.log);
    expect(head?.lineage.map(({ start }) => start)).toEqual([1, 3]);
  });

  test("[D3] [D7] begin one epoch where the end of a log was lost, however many of them had known of it", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const all = [await nodes.open({ prefix }), await nodes.open({ prefix }), await nodes.open({ prefix })];
    for (const { log } of [...all, ...all]) await log.append(LOBBY, [text("before")]);
    for (const { log } of all) await log.append(LOBBY, [text("lost")]);
    await server.rewind(prefix, 4);
    for (const { log } of all) await log.append(LOBBY, [text("after")]);
    expect((await everything(all[0]!.log)).head?.lineage.map(({ start }) => start)).toEqual([1, 5]);
  });
});

describe("Nodes that all publish to one channel without a pause", () => {
  test("[D10] are each let in, and none is refused since the others are always quicker", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const all = await Promise.all(numbers(3).map(() => nodes.open({ prefix })));
    const stored = all.map(() => 0);
    const refused: string[] = [];
    let isOver = false;
    const publishing = all.map(async ({ log }, node) => {
      while (!isOver) {
        const answer = await codeOf(log.append(LOBBY, [text(String(node))]));
        if (answer === "stored") stored[node]!++;
        else refused.push(answer);
      }
    });
    try {
      await until("each has stored some", () => stored.every((count) => count >= 50));
      await all[0]!.log.remove?.(LOBBY);
    } finally {
      isOver = true;
      await Promise.all(publishing);
    }
    expect(refused).toEqual([]);
  });
});

describe("A leaf node of NATS, joined to a hub", () => {
  const join = async (settings: NatsSettings) => {
    const port = await freePort();
    const hub = new NatsServer({ domain: "hub", lines: ["server_name: hub", `leafnodes { listen: 127.0.0.1:${port} }`] });
    const lines = ["server_name: leaf", `leafnodes { remotes: [{ url: "nats://127.0.0.1:${port}" }] }`];
    return { hub, leaf: new NatsServer({ ...settings, lines }) };
  };

  test("[D2] serves nodes by the JetStream of the hub, whose domain they name", async () => {
    const joined = await join({ isPlain: true });
    await using hub = joined.hub;
    await using leaf = joined.leaf;
    await using atHub = natsNodes(hub);
    await using atLeaf = natsNodes(leaf);
    await until("they are joined", async () => (await codeOf(atLeaf.open({ domain: "hub" }))) === "stored");
    const [a, b] = [await atHub.open(), await atLeaf.open({ domain: "hub" })];
    const told = [await follow(a.log), await follow(b.log)];
    for (const n of numbers(10)) await (n % 2 === 0 ? a : b).log.append(LOBBY, [text(String(n))]);
    await until("both were told", () => told.every((one) => one.length === 10));
    expect(told[0]).toEqual(told[1]);
  });

  test("[D4] that has a JetStream of its own and streams of the same prefix is refused: each would acknowledge what only the other has stored", async () => {
    const joined = await join({ domain: "leaf" });
    await using hub = joined.hub;
    await using leaf = joined.leaf;
    await using atHub = natsNodes(hub);
    await using atLeaf = natsNodes(leaf);
    const a = await atHub.open({ prefix: "same" });
    await until("they are joined, and it is refused", async () => {
      const refusal = await atLeaf.open({ prefix: "same" }).catch((error) => error as Error);
      return refusal instanceof Error && /another JetStream too.*domain leaf.*another prefix/.test(refusal.message);
    });
    // What it has made stands there yet, and takes what is published here
    for (const n of numbers(50))
      await until("it is stored", async () => (await codeOf(a.log.append(LOBBY, [text(String(n), String(n))]))) === "stored");
    expect((await everything(a.log)).entries.map(({ data }) => Number(data))).toEqual(numbers(50));
    await (await atLeaf.open({ prefix: "other" })).log.append(LOBBY, [text("a")]);
  });
});

describe("A node that missed a wake-up", () => {
  test("[D2] hears of it within seconds, by one look at the log, however many follow", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    // Streams that do not tell: as if each message had been lost on its way
    for (const n of numbers(8).map((one) => one - 1)) {
      const subjects = [`${prefix}.${n}.log.>`, `${prefix}.${n}.keys.>`];
      await server.ask(`STREAM.CREATE.${prefix}-${n}`, { name: `${prefix}-${n}`, subjects });
    }
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    expect(b.sentences[0]).toMatch(/do not tell what they store.*seconds late/);
    const told = await Promise.all(numbers(200).map(() => follow(b.log)));
    await a.log.append(LOBBY, [text("first"), text("second")]);
    await until("all were told", () => told.every((one) => one.length === 2));
    expect(told[7]).toEqual(["first", "second"]);
  });
});
