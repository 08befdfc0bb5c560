import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import type { Clock } from "../../src/protocol.ts";
import { BROKERS, type Broker, codeOf, EVERYTHING, everything, follow, LOBBY, Nodes, publisherAt, text } from "../support/brokers.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

/** A node with it looks at the log when something tells it to, and never by itself: it looks for what is due every half second. */
const WITHOUT_POLLS: Clock = { ...systemClock, after: (ms, act) => (ms === 500 ? () => {} : systemClock.after(ms, act)) };

describe.each(BROKERS)("Nodes on one broker: $name", (kind) => {
  let broker: Broker;
  let prefix = "";
  let prefixes = 0;

  beforeAll(async () => {
    broker = await kind.begin();
  });
  afterAll(() => broker.stop());

  /** Nodes on channels of a test's own. */
  function begin(): Nodes {
    prefix = `test-${++prefixes}`;
    return Nodes.at(broker.address);
  }

  test("[D1] [D2] two nodes that publish to one channel at once are told one order, every message once", async () => {
    await using nodes = begin();
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
    await using nodes = begin();
    const all = await Promise.all(numbers(3).map(() => nodes.open({ prefix })));
    // One call at a time from each, so that they meet
    await Promise.all(
      all.map(async ({ log }, node) => {
        for (const n of numbers(40)) await log.append(LOBBY, [text(`${node} ${n}`, `${node} ${n}`)]);
      }),
    );
    const data = (await everything(all[0]!.log)).entries.map((entry) => String(entry.data));
    for (const node of [0, 1, 2]) expect(data.filter((one) => one.startsWith(`${node} `))).toEqual(numbers(40).map((n) => `${node} ${n}`));
  });

  test("[D10] a node with a longer way is not kept out by another that publishes to the same channel without a pause", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    proxy.set({ up: { delayMs: 2 }, down: { delayMs: 2 } });
    await using nodes = begin();
    await using far = Nodes.at({ ...broker.address, port: proxy.port });
    const [a, b] = [await nodes.open({ prefix }), await far.open({ prefix })];
    let isOver = false;
    let count = 0;
    const busy = async () => {
      while (!isOver) await a.log.append(LOBBY, [text(`near ${++count}`)]);
    };
    const publishing = busy();
    const codes: string[] = [];
    for (const n of numbers(10)) codes.push(await codeOf(b.log.append(LOBBY, [text(`far ${n}`)])));
    isOver = true;
    await publishing;
    expect(codes).toEqual(codes.map(() => "stored"));
    const data = (await everything(b.log)).entries.map((entry) => String(entry.data));
    for (const [name, all] of [
      ["near", count],
      ["far", 10],
    ] as const)
      expect(data.filter((one) => one.startsWith(name))).toEqual(numbers(all).map((n) => `${name} ${n}`));
  });

  test("[D2] a node is told what another stored, in order and at once", async () => {
    await using nodes = begin();
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix }, { clock: WITHOUT_POLLS })];
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("0")]);
    await until("it listens", () => told.length === 1);
    for (const n of numbers(50)) await a.log.append(LOBBY, [text(`${n} a`), text(`${n} b`)]);
    await until("all were told", () => told.length === 101);
    expect(told.slice(1)).toEqual(numbers(50).flatMap((n) => [`${n} a`, `${n} b`]));
  });

  test("[D5] a key that one node has stored is a duplicate on every other", async () => {
    await using nodes = begin();
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const answers = (await Promise.all([a, b, a, b].map(({ log }) => log.append(LOBBY, [text("once", "k")])))).flat();
    expect(answers.map(({ type }) => type).sort()).toEqual(["duplicate", "duplicate", "duplicate", "stored"]);
    expect(new Set(answers.map((answer) => "position" in answer && answer.position.tag)).size).toBe(1);
  });

  test("[D5] what one node trims away keeps its keys on every other, and on one that comes later", async () => {
    await using nodes = begin();
    const settings = { prefix, retain: { countMax: 10 } };
    const [a, b] = [await nodes.open(settings), await nodes.open(settings)];
    const keyed = numbers(300).map((n) => text(String(n), String(n)));
    await b.log.append(LOBBY, keyed.slice(0, 5));
    for (let from = 5; from < 300; from += 5) await a.log.append(LOBBY, keyed.slice(from, from + 5));
    for (const { log } of [b, await nodes.open(settings), a]) {
      const answers = await log.append(LOBBY, keyed);
      expect(answers.map((answer) => answer.type === "duplicate" && answer.position.offset)).toEqual(numbers(300));
    }
    expect((await everything(b.log)).entries.length).toBe(10);
  });

  test("[D3] a removal on one node is told on the others, and so is what follows it", async () => {
    await using nodes = begin();
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
    await using nodes = begin();
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
    await using nodes = begin();
    const { log } = await nodes.open({ prefix });
    const told = await follow(log);
    await using events = publisherAt(broker.address, { prefix, warn: () => {} });
    const first = await events.publish(LOBBY, "created", { id: 7 }, { key: "order-7" });
    const again = await events.publish(LOBBY, "created", { id: 7 }, { key: "order-7" });
    await expect(events.publish(LOBBY, "created", { id: 8 }, { key: "order-7" })).rejects.toMatchObject({ code: "key_conflict" });
    await events.publish(LOBBY, "second");
    expect(again).toEqual({ ...first, duplicate: true });
    await until("both were told", () => told.length === 2);
    expect(told).toEqual(['{"id":7}', '"second"']);
  });

  test("a node leaves no connection behind when it is closed", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    await using nodes = Nodes.at({ ...broker.address, port: proxy.port });
    const { log } = await nodes.open({ prefix: "closed" });
    await follow(log);
    await log.append(LOBBY, [text("a")]);
    await until("all three are open", () => proxy.links.size === 3);
    await log.close();
    await until("they are gone", () => proxy.links.size === 0);
  });

  test("[D2] a node that heard nothing for a while hears of all that was stored meanwhile, without asking once per client", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    await using nodes = begin();
    await using behind = Nodes.at({ ...broker.address, port: proxy.port });
    const [a, b] = [await nodes.open({ prefix }), await behind.open({ prefix }, { clock: WITHOUT_POLLS })];
    const told = await Promise.all(numbers(100).map(() => follow(b.log)));
    await a.log.append(LOBBY, [text("0")]);
    await until("all were told", () => told.every((one) => one.length === 1));
    const before = await broker.questions();
    // Whichever of its connections is back first
    for (const round of numbers(6)) {
      proxy.cut();
      await a.log.append(
        LOBBY,
        numbers(20).map((n) => text(`${round} ${n}`)),
      );
      await until("all were told", () => told.every((one) => one.length === 1 + 20 * round));
    }
    expect(told[3]).toEqual(["0", ...numbers(6).flatMap((round) => numbers(20).map((n) => `${round} ${n}`))]);
    expect((await broker.questions()) - before).toBeLessThan(6 * 60);
  });

  test("[D2] a node that is far behind is told to read for itself", async () => {
    await using nodes = begin();
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
