import { afterAll, describe, expect, test } from "vitest";
import { throughline } from "../../src/index.ts";
import { redis } from "../../src/redis.ts";
import { freePort } from "../server/program.ts";
import { handClock } from "../support/clock.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { everything, follow, LOBBY, Nodes, text } from "../support/redis-nodes.ts";
import { LIBRARIES, RedisServer, SYNCED, sharedRedis, stopSharedRedis } from "../support/redis-server.ts";
import { startServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedRedis);

const codeOf = (promise: Promise<unknown>) => promise.then(() => "stored").catch(({ code }) => code as string);

describe.each(LIBRARIES)("A Redis that fails, with $name", (library) => {
  test("[D4] one that is read-only, full or without replicas stores nothing and says so; what was stored is read; it goes on when it may", async () => {
    await using server = new RedisServer();
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({}, {}, library);
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
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({}, {}, library);
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

  test("[D4] [D5] killed again and again while it syncs each write, it loses nothing acknowledged, and nothing stands twice", async () => {
    await using server = new RedisServer(SYNCED);
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({}, {}, library);
    expect(log.level).toBe("disk");
    const told = await follow(log);
    const acknowledged = new Map<string, string>();
    let isOver = false;
    const publish = async (publisher: number) => {
      for (let n = 1; !isOver; n++) {
        const key = `${publisher} ${n}`;
        // once more with the same key until it is known to be stored
        for (let answer = ""; answer !== "stored" && !isOver; ) {
          answer = await log.append(LOBBY, [text(key, key)]).then(
            ([one]) => {
              if (one !== undefined && "position" in one) acknowledged.set(key, one.position.tag);
              return "stored";
            },
            ({ code }) => code as string,
          );
          expect(["stored", "not_stored", "unknown"]).toContain(answer);
          if (answer !== "stored") await new Promise((resolve) => setTimeout(resolve, 2));
        }
      }
    };
    const publishing = numbers(4).map(publish);
    const some = async () => {
      const before = acknowledged.size;
      await until("some more were stored", () => acknowledged.size >= before + 40);
    };
    for (const _ of numbers(5)) {
      await some();
      await server.kill();
      server.start();
      await server.rewrite();
    }
    await some();
    isOver = true;
    await Promise.all(publishing);
    await until("it can be read again", async () => (await codeOf(log.read(LOBBY, 0, { count: 0, bytes: 0 }))) === "stored");
    const { entries, head } = await everything(log);
    const tags = new Map(entries.map(({ data, tag }) => [data, tag]));
    expect(tags.size, "each key once").toBe(entries.length);
    expect([...acknowledged].filter(([key, tag]) => tags.get(key) !== tag)).toEqual([]);
    expect(head?.lineage.length, "a new epoch after each restart").toBe(6);
    await until("the follower has heard of the end", () => told.at(-1) === entries.at(-1)?.data || told.at(-1) === "changed");
  });

  test("[D4] an answer that is lost on its way leaves the message stored once, and its publish unknown", async () => {
    await using server = new RedisServer({ port: await freePort() });
    await using proxy = await FaultProxy.open(server.port);
    await using nodes = new Nodes(proxy);
    const { log } = await nodes.open({}, {}, library);
    await log.append(LOBBY, [text("first")]);
    for (const round of numbers(5)) {
      proxy.set({ down: { flow: "hole" } });
      const answer = codeOf(log.append(LOBBY, [text(`lost ${round}`)]));
      await until("it is stored", async () => (await server.ask.xlen(`throughline:{${LOBBY}}:log`)) === 2 * round);
      proxy.cut();
      expect(await answer).toBe("unknown");
      proxy.heal();
      await until("it goes on", async () => (await codeOf(log.append(LOBBY, [text(`told ${round}`)]))) === "stored");
    }
    await until("it can be read", async () => (await codeOf(everything(log))) === "stored");
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual([
      "first",
      ...numbers(5).flatMap((n) => [`lost ${n}`, `told ${n}`]),
    ]);
  });

  test("[D3] [D4] a master that was made a replica is neither written nor read: it may be behind", async () => {
    await using server = new RedisServer();
    await using nodes = new Nodes(server);
    const { log } = await nodes.open({}, {}, library);
    await log.append(LOBBY, [text("before")]);
    await server.ask.replicaof("127.0.0.1", 1);
    expect([await codeOf(log.append(LOBBY, [text("refused")])), await codeOf(everything(log))]).toEqual(["not_stored", "overloaded"]);
    await server.ask.replicaof("NO", "ONE");
    await until("it is written again", async () => (await codeOf(log.append(LOBBY, [text("after")]))) === "stored");
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual(["before", "after"]);
  });

  test("[D4] one that does not answer is given up after a while: what it was given is unknown, and another connection goes on", async () => {
    await using server = new RedisServer();
    await using nodes = new Nodes(server);
    const clock = handClock();
    const { log, sentences } = await nodes.open({}, { clock }, library);
    await log.append(LOBBY, [text("before", "1")]);
    server.freeze();
    const answer = codeOf(log.append(LOBBY, [text("within", "2")]));
    clock.advance(16_500);
    expect(await answer).toBe("unknown");
    server.thaw();
    await until("it is back", async () => {
      clock.advance(2_000);
      return (await codeOf(log.append(LOBBY, [text("after", "3")]))) === "stored";
    });
    expect(await codeOf(log.append(LOBBY, [text("within", "2")]))).toBe("stored");
    expect((await everything(log)).entries.map(({ data }) => data).sort()).toEqual(["after", "before", "within"]);
    expect(sentences.at(-2)).toMatch(/^Redis cannot be reached: Redis has not answered for 15 s\. Nothing is stored or read/);
    expect(sentences.at(-1)).toBe("Redis is back.");
  });
});

describe("Readers of a Redis that fails", () => {
  test("[D3] keep their pipes while it is away, and read on when it is back", async () => {
    await using server = new RedisServer(SYNCED);
    const http = await startServer(() => redis(LIBRARIES[0]!.client(server)));
    try {
      const channel = http.tl.channel(LOBBY);
      const got: unknown[] = [];
      using _reading = channel.subscribe(({ data }) => void got.push(data), { from: "start" });
      await channel.publish(0);
      await until("it reads", () => got.length === 1);
      await server.kill();
      await until("it is noticed", () => http.sentences.some((sentence) => sentence.startsWith("Redis cannot be reached")));
      // one connection may have noticed it before the other
      expect(["not_stored", "unknown"]).toContain(await codeOf(channel.publish("lost")));
      server.start();
      await until("it is back", async () => (await codeOf(channel.publish(1))) === "stored");
      await until("it reads on", () => got.length === 2);
      expect([got, http.sentences.includes("Redis is back.")]).toEqual([[0, 1], true]);
    } finally {
      await http.dispose();
    }
  });

  test("[D4] of one that stands still keep their pipes; what it was given is unknown, what it was not is not stored, and nothing comes twice", async () => {
    await using server = new RedisServer();
    const http = await startServer(() => redis(LIBRARIES[1]!.client(server)), { limits: { publishSecondsMax: 0.3 } });
    try {
      const channel = http.tl.channel(LOBBY);
      const got: unknown[] = [];
      using _reading = channel.subscribe(({ data }) => void got.push(data), { from: "start" });
      await channel.publish(0);
      await until("it reads", () => got.length === 1);
      server.freeze();
      const first = codeOf(channel.publish("message", 1, { key: "1" }));
      expect(await first).toBe("unknown");
      expect(await codeOf(channel.publish("message", 2, { key: "2" }))).toBe("not_stored");
      server.thaw();
      for (const n of [1, 2])
        await until("it is stored", async () => (await codeOf(channel.publish("message", n, { key: String(n) }))) === "stored");
      await until("it has read on", () => got.length === 3);
      expect(got).toEqual([0, 1, 2]);
    } finally {
      await http.dispose();
    }
  });

  test("are not sent to a node whose Redis stands still, which lives all the same; when it goes on they are", async () => {
    await using server = new RedisServer();
    const http = await startServer(() => redis(LIBRARIES[0]!.client(server)), { limits: { readySecondsMax: 0.2 } });
    const probe = async (path: string) => (await fetch(http.url + path)).status;
    try {
      expect([await probe("/livez"), await probe("/readyz")]).toEqual([200, 200]);
      server.freeze();
      await until("it is not ready", async () => (await probe("/readyz")) === 503);
      expect(await probe("/livez")).toBe(200);
      server.thaw();
      await until("it is ready", async () => (await probe("/readyz")) === 200);
    } finally {
      await http.dispose();
    }
  });

  test("[D3] are told of a wipe by a gap, and read what comes then", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
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

  test("[D3] of a log that was evicted are told that it is gone, exactly", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = new Nodes(server);
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
    await using nodes = new Nodes(server);
    const node = await nodes.open();
    expect(node.log.level).toBe(level);
    expect(node.sentences).toEqual(sentences.map((sentence) => expect.stringMatching(sentence)));
  });

  test("[D4] one that is set up in another way when it comes back is looked at again", async () => {
    await using server = new RedisServer();
    await using nodes = new Nodes(server);
    const { log } = await nodes.open();
    expect(log.level).toBe("memory");
    await server.ask.config("SET", "appendonly", "yes", "appendfsync", "always");
    await server.ask.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await until("its acks say more", () => log.level === "disk");
  });

  test("[D4] a user that may neither ask how it is set up nor for its lineage is told so, and served", async () => {
    await using server = new RedisServer();
    await server.ask.call("ACL", "SETUSER", "default", "-config", "-info");
    await using nodes = new Nodes(server);
    const { log, sentences } = await nodes.open();
    await log.append(LOBBY, [text("a")]);
    expect([(await everything(log)).entries.length, log.level]).toEqual([1, "memory"]);
    expect(sentences).toEqual([expect.stringMatching(/INFO.*failover/), expect.stringMatching(/CONFIG GET.*memory/)]);
  });

  test("without a Redis a server does not start, and says where it looked", async () => {
    const tl = throughline({ engine: redis(LIBRARIES[1]!.client({ port: 1 })), warn: () => {} });
    await expect(tl.open()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^Redis cannot be reached: .*ECONNREFUSED.*/),
    });
    await tl.close();
  });
});
