import { afterAll, describe, expect, test } from "vitest";
import { redis } from "../../src/redis.ts";
import { codeOf, everything, follow, givenAfter, LOBBY, Nodes, redisNodes, text } from "../support/brokers.ts";
import { handClock } from "../support/clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { LIBRARIES, RedisServer, sharedRedis, stopSharedRedis } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedRedis);

describe.each(LIBRARIES)("A Redis that fails, with $name", (library) => {
  test("[D4] one that is read-only, full or without replicas stores nothing and says so; what was stored is read; it goes on when it may", async () => {
    await using server = new RedisServer();
    await using nodes = redisNodes(server, library);
    const { log } = await nodes.open();
    await log.append(LOBBY, [text("before")]);
    const { ask } = server;
    const troubles: [on: () => Promise<unknown>, off: () => Promise<unknown>][] = [
      [() => ask.config("SET", "maxmemory", "1mb"), () => ask.config("SET", "maxmemory", "0")],
      [() => ask.config("SET", "min-replicas-to-write", "1"), () => ask.config("SET", "min-replicas-to-write", "0")],
      [() => ask.call("SCRIPT", "FLUSH"), async () => undefined],
    ];
    for (const [index, [on, off]] of troubles.entries()) {
      await on();
      expect(await codeOf(log.append(LOBBY, [text("refused")]))).toBe(index === 2 ? "stored" : "not_stored");
      expect((await everything(log)).entries[0]?.data).toBe("before");
      await off();
      await log.append(LOBBY, [text(`after ${index}`)]);
    }
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual(["before", "after 0", "after 1", "refused", "after 2"]);
  });

  test("is not ready while it is away, read-only, full or without replicas, though nobody publishes; and is again when it may", async () => {
    await using server = new RedisServer();
    await using nodes = redisNodes(server, library);
    const { log } = await nodes.open();
    const { ask } = server;
    expect(await log.ready?.()).toBeNull();
    const troubles: [on: () => Promise<unknown>, off: () => Promise<unknown>][] = [
      [() => ask.config("SET", "maxmemory", "1mb"), () => ask.config("SET", "maxmemory", "0")],
      [() => ask.config("SET", "min-replicas-to-write", "1"), () => ask.config("SET", "min-replicas-to-write", "0")],
      [() => ask.replicaof("127.0.0.1", 1), () => ask.replicaof("NO", "ONE")],
    ];
    for (const [on, off] of troubles) {
      await on();
      expect(await log.ready?.()).toBe("Redis refuses to be written.");
      await off();
      expect(await log.ready?.()).toBeNull();
    }
    await server.kill();
    await until("it is noticed", async () => (await log.ready?.()) === "Redis cannot be reached.");
    server.start();
    await until("it is back", async () => (await log.ready?.()) === null);
    expect((await everything(log)).head, "no channel came of it").toBeNull();
  });

  test("[D3] [D4] a master that was made a replica is neither written nor read: it may be behind", async () => {
    await using server = new RedisServer();
    await using nodes = redisNodes(server, library);
    const { log } = await nodes.open();
    await log.append(LOBBY, [text("before")]);
    await server.ask.replicaof("127.0.0.1", 1);
    expect([await codeOf(log.append(LOBBY, [text("refused")])), await codeOf(everything(log))]).toEqual(["not_stored", "overloaded"]);
    await server.ask.replicaof("NO", "ONE");
    await until("it is written again", async () => (await codeOf(log.append(LOBBY, [text("after")]))) === "stored");
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual(["before", "after"]);
  });

  test("[D4] one that does not answer is given up after a while: what it was given is unknown, and another connection goes on", async () => {
    await using server = new RedisServer();
    await using nodes = redisNodes(server, library);
    const clock = handClock();
    const { log, sentences } = await nodes.open({}, { clock });
    await log.append(LOBBY, [text("before", "1")]);
    server.freeze();
    const answer = codeOf(log.append(LOBBY, [text("within", "2")]));
    clock.advance(16_500);
    expect(await answer).toBe("unknown");
    server.thaw();
    await until("it is back", async () => {
      clock.advance(100);
      return (await codeOf(log.append(LOBBY, [text("after", "3")]))) === "stored";
    });
    expect(await codeOf(log.append(LOBBY, [text("within", "2")]))).toBe("stored");
    expect((await everything(log)).entries.map(({ data }) => data).sort()).toEqual(["after", "before", "within"]);
    expect(sentences.at(-2)).toMatch(/^Redis cannot be reached: Redis has not answered for 15 s\. Nothing is stored or read/);
    expect(sentences.at(-1)).toBe("Redis is back.");
  });

  test("[D10] a connection on which a node only listens, and which a network has forgotten, is given up after a while, and another listens", async () => {
    await using server = new RedisServer({ port: await freePort() });
    await using proxy = await FaultProxy.open(server.port);
    await using nodes = new Nodes((options) => redis(library.client({ port: proxy.port }), options));
    const clock = handClock();
    const { log } = await nodes.open({}, { clock });
    const before = new Set(proxy.links);
    const listening = async () => ((await server.ask.pubsub("NUMSUB", `throughline:{${LOBBY}}:wake`)) as [string, number])[1];
    await follow(log);
    await until("it listens", async () => (await listening()) === 1);
    for (const link of proxy.links) if (!before.has(link)) link.set({ up: { flow: "hole" }, down: { flow: "hole" } });
    await until("another listens", async () => {
      await clock.advanceAsync(100);
      return (await listening()) === 2;
    });
  });
});

describe("Readers of a Redis that fails", () => {
  test("[D3] are told of a wipe by a gap, and read what comes then", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open({ prefix });
    await log.append(LOBBY, [text("old"), text("older")]);
    const told = await follow(log);
    const [before] = await log.append(LOBBY, [text("oldest")]);
    await server.ask.flushall();
    const [after] = await log.append(LOBBY, [text("new")]);
    await until("it was told", () => told.at(-1) === "changed");
    expect([before, after]).toMatchObject([{ position: { offset: 3 } }, { position: { offset: 1 } }]);
    expect(before?.type === "stored" && after?.type === "stored" && after.position.epoch !== before.position.epoch).toBe(true);
  });

  test("[D3] of a log in whose place an older copy is put under living connections are told, though the same node stores as much again at once", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open({ prefix });
    await log.append(LOBBY, [text("old")]);
    const keys = ["log", "meta"].map((part) => `${prefix}{${LOBBY}}:${part}`);
    const copies = await Promise.all(keys.map((key) => server.ask.dumpBuffer(key)));
    const told = await follow(log);
    await log.append(LOBBY, [text("lost"), text("lost too")]);
    await until("it was told", () => told.length > 0);
    const { length } = told;
    for (const [index, key] of keys.entries()) await server.ask.restore(key, 0, copies[index]!, "REPLACE");
    // No more than a log that was never taken back has it: the same epoch, the same offsets
    for (const one of ["new", "newer", "newest"]) await log.append(LOBBY, [text(one)]);
    expect((await everything(log)).head).toMatchObject({ top: 4, lineage: [{ start: 1 }] });
    await until("it was told", () => told.length > length);
    expect(told[length]).toBe("changed");
  });

  test("[D2] [D3] of a log in which a message was deleted are given what stands before it, told of it, and given what stands behind it, each once", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open({ prefix });
    for (const n of numbers(12)) await log.append(LOBBY, [text(String(n))]);
    await server.ask.xdel(`${prefix}{${LOBBY}}:log`, "6-0");
    expect(await givenAfter(log, 0)).toEqual([undefined, undefined, numbers(5)]);
    expect(await givenAfter(log, 3)).toEqual([undefined, undefined, [4, 5]]);
    expect(await givenAfter(log, 5)).toEqual(["trimmed", 1, numbers(6, 7)]);
    expect(await givenAfter(log, 6)).toEqual([undefined, undefined, numbers(6, 7)]);
    expect(await givenAfter(log, 7)).toEqual([undefined, undefined, numbers(5, 8)]);
    await server.ask.xdel(`${prefix}{${LOBBY}}:log`, "12-0");
    expect(await givenAfter(log, 7)).toEqual([undefined, undefined, numbers(4, 8)]);
    expect(await givenAfter(log, 11)).toEqual(["trimmed", 1, []]);
    expect(await givenAfter(log, 12)).toEqual([undefined, undefined, []]);
  });

  test("[D5] [D7] of a channel whose order of keys was evicted are not refused for ever: keys that need not be kept make room", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const clock = handClock();
    const { log } = await nodes.open({ prefix, retain: { countMax: 1 } }, { clock, keysMax: 3, keySecondsMin: 60 });
    for (const key of ["a", "b", "c"]) await log.append(LOBBY, [text(key, key)]);
    await server.ask.del(`${prefix}{${LOBBY}}:ages`);
    expect((await log.append(LOBBY, [text("d", "d")]))[0]?.type).toBe("keys_full");
    clock.advance(61_000);
    const drafts = ["d", "e", "c", "a"].map((key) => text(key, key));
    expect((await log.append(LOBBY, drafts)).map(({ type }) => type)).toEqual(["stored", "stored", "stored", "keys_full"]);
  });

  test("[D3] of a log that was evicted are told that it is gone, exactly", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open({ prefix });
    await log.append(
      LOBBY,
      numbers(5).map((n) => text(String(n))),
    );
    await server.ask.del(`${prefix}{${LOBBY}}:log`);
    const { entries, head } = await everything(log);
    expect([entries, head?.first, head?.top, head?.boundaryTag]).toEqual([[], 6, 5, head?.topTag]);
    await log.append(LOBBY, [text("6")]);
    expect(await everything(log)).toMatchObject({
      head: { first: 6, top: 6, boundaryTag: head?.topTag },
      entries: [{ offset: 6, data: "6" }],
    });
  });
});

describe("What Redis is set up to keep", () => {
  const TOLD: [lines: [string, string][], level: string, sentences: RegExp[]][] = [
    [[["save", ""]], "memory", [/keeps nothing on disk/]],
    [[["save", "3600 1"]], "memory", [/keeps snapshots only/]],
    [
      [
        ["appendonly", "yes"],
        ["appendfsync", "everysec"],
      ],
      "memory",
      [/once a second .*appendfsync everysec/],
    ],
    [
      [
        ["appendonly", "yes"],
        ["appendfsync", "always"],
      ],
      "disk",
      [],
    ],
    [
      [
        ["appendonly", "yes"],
        ["appendfsync", "always"],
        ["maxmemory-policy", "allkeys-lru"],
      ],
      "disk",
      [/throws away keys.*allkeys-lru.*noeviction/],
    ],
  ];
  test.each(TOLD)("[D4] %j: acks say %s, and the operator is told what that means", async (lines, level, sentences) => {
    await using server = new RedisServer({ lines });
    await using nodes = redisNodes(server);
    const node = await nodes.open();
    expect(node.log.level).toBe(level);
    expect(node.sentences).toEqual(sentences.map((sentence) => expect.stringMatching(sentence)));
  });

  test("[D4] one that is set up in another way when it comes back is looked at again", async () => {
    await using server = new RedisServer();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open();
    expect(log.level).toBe("memory");
    await server.ask.config("SET", "appendonly", "yes", "appendfsync", "always");
    await server.ask.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await until("its acks say more", () => log.level === "disk");
  });

  test("[D4] a user that may neither ask how it is set up nor for its lineage is told so, and served", async () => {
    await using server = new RedisServer();
    await server.ask.call("ACL", "SETUSER", "default", "-config", "-info");
    await using nodes = redisNodes(server);
    const { log, sentences } = await nodes.open();
    await log.append(LOBBY, [text("a")]);
    expect([(await everything(log)).entries.length, log.level]).toEqual([1, "memory"]);
    expect(sentences).toEqual([expect.stringMatching(/INFO.*failover/), expect.stringMatching(/CONFIG GET.*memory/)]);
  });
});
