import { connect } from "@nats-io/transport-node";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import { nats, publisher } from "../../src/nats.ts";
import type { Clock } from "../../src/protocol.ts";
import { handClock } from "../support/clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { NatsNodes } from "../support/nats-nodes.ts";
import { type NatsServer, sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { EVERYTHING, everything, follow, LOBBY, text } from "../support/redis-nodes.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedNats);

/** A node with it looks at the log when something tells it to, and never by itself: it looks for what is due every half second. */
const WITHOUT_POLLS: Clock = { ...systemClock, after: (ms, act) => (ms === 500 ? () => {} : systemClock.after(ms, act)) };

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

describe("Nodes on one NATS", () => {
  test("[D1] [D2] two nodes that publish to one channel at once are told one order, every message once", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = [await follow(a.log), await follow(b.log)];
    await a.log.append(LOBBY, [text("first")]);
    await until("both listen", () => told.every((one) => one.length > 0));
    const before = told.map((one) => one.length);
    await Promise.all(
      [a, b].flatMap(({ log }, node) => numbers(60).map((n) => log.append(LOBBY, [text(`${node} ${n} a`), text(`${node} ${n} b`)]))),
    );
    const order = (await everything(a.log)).entries.map(({ data }) => data).slice(1);
    expect(order.length).toBe(240);
    for (const [index, one] of told.entries()) {
      await until("all were told", () => one.length >= (before[index] ?? 0) + 240);
      expect(one.slice(before[index])).toEqual(order);
    }
  });

  test("[D1] each keeps the order of its own calls, though another one is quicker again and again", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const all = await Promise.all(numbers(3).map(() => nodes.open({ prefix })));
    // one call at a time from each, so that they meet
    await Promise.all(
      all.map(async ({ log }, node) => {
        for (const n of numbers(40)) await log.append(LOBBY, [text(`${node} ${n}`, `${node} ${n}`)]);
      }),
    );
    const data = (await everything(all[0]!.log)).entries.map((entry) => String(entry.data));
    for (const node of [0, 1, 2]) expect(data.filter((one) => one.startsWith(`${node} `))).toEqual(numbers(40).map((n) => `${node} ${n}`));
  });

  test("[D2] a node is told what another stored, in order and at once", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix }, { clock: WITHOUT_POLLS })];
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("0")]);
    await until("it listens", () => told.length === 1);
    for (const n of numbers(50)) await a.log.append(LOBBY, [text(`${n} a`), text(`${n} b`)]);
    await until("all were told", () => told.length === 101);
    expect(told.slice(1)).toEqual(numbers(50).flatMap((n) => [`${n} a`, `${n} b`]));
  });

  test("[D5] a key that one node has stored is a duplicate on every other", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const answers = (await Promise.all([a, b, a, b].map(({ log }) => log.append(LOBBY, [text("once", "k")])))).flat();
    expect(answers.map(({ type }) => type).sort()).toEqual(["duplicate", "duplicate", "duplicate", "stored"]);
    expect(new Set(answers.map((answer) => "position" in answer && answer.position.tag)).size).toBe(1);
  });

  test("[D3] a removal on one node is told on the others, and so is what follows it", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    await a.log.append(LOBBY, [text("old")]);
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("older")]);
    await until("it was told", () => told.length === 1);
    await a.log.remove?.(LOBBY);
    await until("the removal was told", () => told.at(-1) === "changed");
    await a.log.append(LOBBY, [text("new")]);
    await until("what follows was told", () => told.at(-1) === "new" || told.length > 2);
    expect((await everything(b.log)).entries.map(({ data }) => data)).toEqual(["new"]);
    await b.log.append(LOBBY, [text("newer", "k")]);
    expect((await everything(a.log)).entries.map(({ offset }) => offset)).toEqual([1, 2]);
  });

  test("a signal reaches the other nodes that follow its channel, and not the one that sent it", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const all = await Promise.all(numbers(3).map(() => nodes.open({ prefix })));
    const heard = all.map(({ log }) => {
      const bodies: string[] = [];
      log.listen?.(({ channel, body }) => bodies.push(`${channel} ${body}`));
      return bodies;
    });
    const told = await Promise.all(all.slice(0, 2).map(({ log }) => follow(log)));
    await all[2]?.log.append(LOBBY, [text("so that it is known that they listen")]);
    await until("they listen", () => told.every((one) => one.length > 0));
    all[0]?.log.notify?.({ channel: LOBBY, body: '{"typing":"ü 線"}' });
    await until("the signal was heard", () => heard[1]?.length === 1);
    expect(heard).toEqual([[], [`${LOBBY} {"typing":"ü 線"}`], []]);
  });

  test("[D5] a program without a hub publishes by the same step: the nodes hear of it, and know its keys", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const { log } = await nodes.open({ prefix });
    const told = await follow(log);
    await using events = publisher(server.connect, { prefix, warn: () => {} });
    const first = await events.publish(LOBBY, "created", { id: 7 }, { key: "order-7" });
    const again = await events.publish(LOBBY, "created", { id: 7 }, { key: "order-7" });
    await expect(events.publish(LOBBY, "created", { id: 8 }, { key: "order-7" })).rejects.toMatchObject({ code: "key_conflict" });
    await events.publish(LOBBY, "second");
    expect(again).toEqual({ ...first, duplicate: true });
    await until("both were told", () => told.length === 2);
    expect(told).toEqual(['{"id":7}', '"second"']);
  });
});

describe("A node", () => {
  test("leaves no connection behind when it is closed", async () => {
    const { server, prefix } = sharedNats();
    const opened: Awaited<ReturnType<typeof connect>>[] = [];
    const log = nats(
      async () => {
        const connection = await connect({ servers: `127.0.0.1:${server.port}` });
        opened.push(connection);
        return connection;
      },
      { prefix },
    );
    const nodes = new NatsNodes(server);
    await log.open({
      ...{
        clock: systemClock,
        random: { fraction: () => 0, letters: (length: number) => "n".repeat(length) },
        retain: (_channel, own) => own,
      },
      ...{ keysMax: 10, keySecondsMin: 10, lineageMax: 3, warn: () => {} },
    });
    await follow(log);
    await log.append(LOBBY, [text("a")]);
    await until("all three are open", () => opened.length === 3);
    await log.close();
    await until("they are gone", () => opened.every((connection) => connection.isClosed()));
    await nodes[Symbol.asyncDispose]();
  });

  test("takes a function that connects, and nothing else", () => {
    for (const one of [{}, null, "nats://localhost"]) expect(() => nats(one as never)).toThrow(/^nats\(\) takes a function that connects/);
    expect(() => nats((() => {}) as never, { prefix: "a.b" })).toThrow(/prefix/);
    expect(() => nats((() => {}) as never, { streams: 0 })).toThrow(/1 to 64 streams/);
  });

  test("[D7] deletes what is trimmed, and keeps its keys", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
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
    await using nodes = new NatsNodes(server);
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
    await using nodes = new NatsNodes(server);
    const hand = handClock();
    // minutes pass by hand, and what NATS may take to answer does not
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
    await using nodes = new NatsNodes(server);
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
    await using nodes = new NatsNodes(server);
    for (const n of numbers(6)) {
      const { log } = await nodes.open({ prefix }, { lineageMax: 3 });
      await log.append(LOBBY, [text(String(n))]);
      // as after a restart
      await server.ask(`STREAM.DELETE.${prefix}-fence`);
    }
    const { head } = await everything((await nodes.open({ prefix })).log);
    expect(head?.lineage.map(({ start }) => start)).toEqual([4, 5, 6]);
    expect(head?.lineage.map(({ epoch }) => epoch)).toEqual(head?.lineage.map(({ epoch }) => epoch).toSorted());
  });
});

describe("A node that missed a wake-up", () => {
  test("[D2] hears of it within seconds, by one look at the log, however many follow", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    // streams that do not tell: as if each message had been lost on its way
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

  test("[D2] hears of all that was stored while it heard nothing, without asking once per client", async () => {
    const { server, prefix } = sharedNats();
    await using proxy = await FaultProxy.open(server.port);
    await using nodes = new NatsNodes(server);
    await using behind = new NatsNodes(proxy);
    const [a, b] = [await nodes.open({ prefix }), await behind.open({ prefix }, { clock: WITHOUT_POLLS })];
    const told = await Promise.all(numbers(100).map(() => follow(b.log)));
    await a.log.append(LOBBY, [text("0")]);
    await until("all were told", () => told.every((one) => one.length === 1));
    const before = await server.requests();
    // whichever of its connections is back first
    for (const round of numbers(4)) {
      proxy.cut();
      await a.log.append(
        LOBBY,
        numbers(20).map((n) => text(`${round} ${n}`)),
      );
      await until("all were told", () => told.every((one) => one.length === 1 + 20 * round));
    }
    expect(told[3]).toEqual(["0", ...numbers(4).flatMap((round) => numbers(20).map((n) => `${round} ${n}`))]);
    expect((await server.requests()) - before).toBeLessThan(4 * 60);
  });

  test("[D2] that is far behind is told to read for itself", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("0")]);
    await until("it was told", () => told.length === 1);
    await a.log.append(
      LOBBY,
      numbers(2_000).map((n) => text(String(n))),
    );
    await until("it was told", () => told.at(-1) === "changed" || told.at(-1) === "2000");
    expect((await b.log.read(LOBBY, 1_999, EVERYTHING)).entries.map(({ data }) => data)).toEqual(["1999", "2000"]);
  });
});
