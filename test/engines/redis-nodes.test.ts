import { createClientPool, createSentinel } from "redis";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import type { Clock } from "../../src/protocol.ts";
import { publisher, redis } from "../../src/redis.ts";
import { EVERYTHING, everything, follow, LOBBY, Nodes, text } from "../support/redis-nodes.ts";
import { LIBRARIES, RedisServer, sharedRedis, stopSharedRedis } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedRedis);

/** A node with it looks at the log when something tells it to, and never by itself: it looks for what is due every half second. */
const WITHOUT_POLLS: Clock = { ...systemClock, after: (ms, act) => (ms === 500 ? () => {} : systemClock.after(ms, act)) };

describe.each(LIBRARIES)("Nodes on one Redis, with $name", (library) => {
  test("[D1] [D2] two nodes that publish to one channel at once are told one order, every message once", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const [a, b] = [await nodes.open({ prefix }, {}, library), await nodes.open({ prefix }, {}, library)];
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

  test("[D2] a node is told what another stored, in order and at once", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const [a, b] = [await nodes.open({ prefix }, {}, library), await nodes.open({ prefix }, { clock: WITHOUT_POLLS }, library)];
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("0")]);
    await until("it listens", () => told.length === 1);
    for (const n of numbers(50)) await a.log.append(LOBBY, [text(`${n} a`), text(`${n} b`)]);
    await until("all were told", () => told.length === 101);
    expect(told.slice(1)).toEqual(numbers(50).flatMap((n) => [`${n} a`, `${n} b`]));
  });

  test("[D5] a key that one node has stored is a duplicate on every other", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const [a, b] = [await nodes.open({ prefix }, {}, library), await nodes.open({ prefix }, {}, library)];
    const answers = (await Promise.all([a, b, a, b].map(({ log }) => log.append(LOBBY, [text("once", "k")])))).flat();
    expect(answers.map(({ type }) => type).sort()).toEqual(["duplicate", "duplicate", "duplicate", "stored"]);
    expect(new Set(answers.map((answer) => "position" in answer && answer.position.tag)).size).toBe(1);
  });

  test("[D3] a removal on one node is told on the others, and so is what follows it", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const [a, b] = [await nodes.open({ prefix }, {}, library), await nodes.open({ prefix }, {}, library)];
    await a.log.append(LOBBY, [text("old")]);
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("older")]);
    await until("it was told", () => told.length === 1);
    await a.log.remove?.(LOBBY);
    await until("the removal was told", () => told.at(-1) === "changed");
    await a.log.append(LOBBY, [text("new")]);
    await until("what follows was told", () => told.at(-1) === "new" || told.length > 2);
    expect((await everything(b.log)).entries.map(({ data }) => data)).toEqual(["new"]);
  });

  test("a signal reaches the other nodes that follow its channel, and not the one that sent it", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const all = await Promise.all(numbers(3).map(() => nodes.open({ prefix }, {}, library)));
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
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({ prefix }, {}, library);
    const told = await follow(log);
    await using events = publisher(library.client(server), { prefix, warn: () => {} });
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
  test.each(LIBRARIES)("leaves no connection behind when it is closed, with $name", async ({ client }) => {
    await using server = new RedisServer();
    const nodes = new Nodes(server);
    const { log } = await nodes.open({}, {}, { name: "", client, cluster: () => client(server) });
    await follow(log);
    await log.append(LOBBY, [text("a")]);
    const connections = async () =>
      String(await server.ask.call("CLIENT", "LIST"))
        .trim()
        .split("\n").length;
    await until("all three are open", async () => (await connections()) === 4);
    await nodes[Symbol.asyncDispose]();
    await until("they are gone", async () => (await connections()) === 1);
  });

  test("takes no client that would send again by itself what may have been done", () => {
    const clients = [createSentinel({ name: "m", sentinelRootNodes: [{ host: "127.0.0.1", port: 1 }] }), createClientPool(), {}, null];
    for (const client of clients) expect(() => redis(client as never)).toThrow(/^redis\(\) takes a client of node-redis .* Sentinel/);
  });

  test("[D7] deletes what is trimmed, and lets Redis expire what nobody adds to", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({ prefix, retain: { countMax: 100, secondsMax: 3_600 } });
    for (const n of numbers(40))
      await log.append(
        LOBBY,
        numbers(100).map((m) => text(`${n} ${m}`, `${n} ${m}`)),
      );
    expect((await everything(log)).entries.length).toBe(100);
    const place = `${prefix}{${LOBBY}}:`;
    expect(await server.ask.xlen(`${place}log`)).toBeLessThan(300);
    const seconds = await Promise.all(["log", "keys", "ages", "meta"].map((key) => server.ask.ttl(place + key)));
    expect(seconds.map((left) => (left < 0 ? "never" : Math.round(left / 60)))).toEqual([61, 1_441, 1_441, "never"]);
    await log.remove?.(LOBBY);
    expect(await server.ask.keys(`${place}*`)).toEqual([`${place}meta`]);
    expect(await server.ask.ttl(`${place}meta`)).toBeGreaterThan(86_000);
  });

  test("[D7] remembers lineageMax epochs, of however many", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({ prefix }, { lineageMax: 3 });
    for (const n of numbers(6)) {
      await log.append(LOBBY, [text(String(n))]);
      // as after a restart
      await server.ask.hset(`${prefix}{${LOBBY}}:meta`, "repl", "another");
    }
    const { head } = await everything(log);
    expect(head?.lineage.map(({ start }) => start)).toEqual([4, 5, 6]);
    expect(head?.lineage.map(({ epoch }) => epoch)).toEqual(head?.lineage.map(({ epoch }) => epoch).toSorted());
  });
});

describe("A node that missed a wake-up", () => {
  test("[D2] hears of it within seconds, by one look at the log, however many follow", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = await Promise.all(numbers(200).map(() => follow(b.log)));
    await a.log.append(LOBBY, [text("first")]);
    await until("all were told", () => told.every((one) => one.length === 1));
    const { ask } = server;
    // as if the message had been lost on its way
    await ask.xadd(`${prefix}{${LOBBY}}:log`, "2-0", `${Date.now()} abcdefgh 12 13 tmessage`, "second");
    await ask.hset(`${prefix}{${LOBBY}}:meta`, "top", "2", "topTag", "abcdefgh", "bytesTop", "25");
    await ask.config("RESETSTAT");
    await until("all were told", () => told.every((one) => one.length === 2));
    expect(told[7]).toEqual(["first", "second"]);
    const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(await ask.info("commandstats"))?.[1]);
    expect(calls).toBeLessThanOrEqual(2);
  });

  test("[D2] hears of all that was stored while its Pub/Sub was away, without asking once per client", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix }, { clock: WITHOUT_POLLS })];
    const told = await Promise.all(numbers(100).map(() => follow(b.log)));
    await a.log.append(LOBBY, [text("0")]);
    await until("all were told", () => told.every((one) => one.length === 1));
    const { ask } = server;
    await ask.config("RESETSTAT");
    await ask.call("CLIENT", "KILL", "TYPE", "pubsub");
    await a.log.append(
      LOBBY,
      numbers(20).map((n) => text(String(n))),
    );
    await until("all were told", () => told.every((one) => one.length === 21));
    expect(told[3]).toEqual(["0", ...numbers(20).map(String)]);
    const stats = await ask.info("commandstats");
    const calls = (name: string) => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
    expect([calls("subscribe"), calls("evalsha") + calls("hmget") < 12]).toEqual([1, true]);
  });

  test("[D2] that is far behind is told to read for itself", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
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
