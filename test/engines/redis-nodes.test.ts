import { createClientPool, createSentinel } from "redis";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import type { Clock } from "../../src/protocol.ts";
import { redis } from "../../src/redis.ts";
import { everything, follow, LOBBY, redisNodes, text } from "../support/brokers.ts";
import { RedisServer, sharedRedis, stopSharedRedis } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedRedis);

/** A node with it looks at the log when something tells it to, and never by itself: it looks for what is due every half second. */
const WITHOUT_POLLS: Clock = { ...systemClock, after: (ms, act) => (ms === 500 ? () => {} : systemClock.after(ms, act)) };

describe("A node", () => {
  test("takes no client that would send again by itself what may have been done", () => {
    const clients = [createSentinel({ name: "m", sentinelRootNodes: [{ host: "127.0.0.1", port: 1 }] }), createClientPool(), {}, null];
    for (const client of clients) expect(() => redis(client as never)).toThrow(/^redis\(\) takes a client of node-redis .* Sentinel/);
  });

  test("[D7] deletes what is trimmed, and lets Redis expire what nobody adds to", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
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

  test("[D7] finds what falls out of a full log once a call, and not after each of its messages", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open({ prefix, retain: { countMax: 500 } });
    const append = (from: number) =>
      log.append(
        LOBBY,
        numbers(250).map((n) => text(String(from + n), `k${from + n}`)),
      );
    for (const from of [0, 250, 500]) await append(from);
    const { ask } = server;
    await ask.config("RESETSTAT");
    await append(750);
    const reads = Number(/cmdstat_xrange:calls=(\d+)/.exec(await ask.info("commandstats"))?.[1]);
    // The stride to the first that is kept is doubled, and then halved
    expect(reads).toBeLessThan(2 * Math.log2(500) + 4);
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual(numbers(500).map((n) => String(500 + n)));
  });

  test("[D7] remembers lineageMax epochs, of however many", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open({ prefix }, { lineageMax: 3 });
    for (const n of numbers(6)) {
      await log.append(LOBBY, [text(String(n))]);
      // As after a restart
      await server.ask.hset(`${prefix}{${LOBBY}}:meta`, "repl", "another");
    }
    const { head } = await everything(log);
    expect(head?.lineage.map(({ start }) => start)).toEqual([4, 5, 6]);
    expect(head?.lineage.map(({ epoch }) => epoch)).toEqual(head?.lineage.map(({ epoch }) => epoch).toSorted());
  });
});

describe("A node that missed a wake-up", () => {
  test("[D10] asks again to listen where it was refused", async () => {
    await using server = new RedisServer();
    await using nodes = redisNodes(server);
    const { log } = await nodes.open();
    await server.ask.acl("SETUSER", "default", "-subscribe");
    const told = await follow(log);
    const refused = async () =>
      Number(/rejected_calls=(\d+)/.exec(/cmdstat_subscribe:.*/.exec(await server.ask.info("commandstats"))?.[0] ?? "")?.[1] ?? 0);
    await until("it is refused", async () => (await refused()) > 0);
    await server.ask.acl("SETUSER", "default", "+subscribe");
    await until(
      "it listens",
      async () => ((await server.ask.pubsub("NUMSUB", `throughline:{${LOBBY}}:wake`)) as [string, number])[1] === 1,
    );
    expect(told).toEqual([]);
  });

  test("[D2] hears of it within seconds, by one look at the log, however many follow", async () => {
    const { server, prefix } = sharedRedis();
    await using nodes = redisNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = await Promise.all(numbers(200).map(() => follow(b.log)));
    await a.log.append(LOBBY, [text("first")]);
    await until("all were told", () => told.every((one) => one.length === 1));
    const { ask } = server;
    // As if the message had been lost on its way
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
    await using nodes = redisNodes(server);
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
});
