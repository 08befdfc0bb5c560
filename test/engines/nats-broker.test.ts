import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import { throughline } from "../../src/index.ts";
import { nats } from "../../src/nats.ts";
import type { Clock } from "../../src/protocol.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { NatsNodes } from "../support/nats-nodes.ts";
import { connectTo, NatsServer, sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { everything, follow, LOBBY, text } from "../support/redis-nodes.ts";
import { startServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedNats);

/** Time passes five times as fast for whoever waits by it. */
const FAST: Clock = { ...systemClock, elapsed: () => systemClock.elapsed() * 5, after: (ms, act) => systemClock.after(ms / 5, act) };

const codeOf = (promise: Promise<unknown>) => promise.then(() => "stored").catch(({ code }) => code as string);

describe("A NATS that fails", () => {
  test("[D4] [D5] killed again and again while many publish, it loses nothing acknowledged, and nothing stands twice", async () => {
    await using server = new NatsServer();
    await using nodes = new NatsNodes(server);
    const all = await Promise.all(numbers(2).map(() => nodes.open()));
    const told = await follow(all[0]!.log);
    const acknowledged = new Map<string, string>();
    let isOver = false;
    const publish = async (publisher: number) => {
      const { log } = all[publisher % 2]!;
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
    }
    await some();
    isOver = true;
    await Promise.all(publishing);
    await until("it can be read again", async () => (await codeOf(everything(all[0]!.log))) === "stored");
    const { entries, head } = await everything(all[0]!.log);
    const tags = new Map(entries.map(({ data, tag }) => [data, tag]));
    expect(tags.size, "each key once").toBe(entries.length);
    expect([...acknowledged].filter(([key, tag]) => tags.get(key) !== tag)).toEqual([]);
    expect(head?.lineage.length, "a new epoch after each restart").toBe(6);
    await until("the follower has heard of the end", () => told.at(-1) === entries.at(-1)?.data || told.at(-1) === "changed");
  }, 30_000);

  test("[D4] an answer that is lost on its way is found in the log: the message is stored once, and its publish says so", async () => {
    await using server = new NatsServer();
    await using proxy = await FaultProxy.open(server.port);
    await using nodes = new NatsNodes(proxy);
    const { log } = await nodes.open();
    await log.append(LOBBY, [text("first")]);
    const direct = await new NatsNodes(server).open();
    for (const round of numbers(5)) {
      proxy.set({ down: { flow: "hole" } });
      const answer = codeOf(log.append(LOBBY, [text(`lost ${round}`)]));
      await until("it is stored", async () => (await everything(direct.log)).entries.length === 2 * round);
      proxy.cut();
      proxy.heal();
      expect(await answer).toBe("stored");
      await until("it goes on", async () => (await codeOf(log.append(LOBBY, [text(`told ${round}`)]))) === "stored");
    }
    await direct.log.close();
    await until("it can be read", async () => (await codeOf(everything(log))) === "stored");
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual([
      "first",
      ...numbers(5).flatMap((n) => [`lost ${n}`, `told ${n}`]),
    ]);
  });

  test("[D4] one that is away for long leaves what it was given unknown, and what it was not given not stored; it goes on when it is back", async () => {
    await using server = new NatsServer();
    await using nodes = new NatsNodes(server);
    const { log, sentences } = await nodes.open({}, { clock: FAST });
    await log.append(LOBBY, [text("before", "1")]);
    await server.freeze();
    const [within, behind] = [codeOf(log.append(LOBBY, [text("within", "2")])), codeOf(log.append("other", [text("other", "3")]))];
    expect([await within, await behind]).toEqual(["unknown", "not_stored"]);
    await server.kill();
    await until("it is noticed", () => sentences.some((sentence) => sentence.startsWith("NATS cannot be reached")));
    expect(await codeOf(log.append(LOBBY, [text("after", "4")]))).toBe("not_stored");
    expect(await log.ready?.()).toBe("NATS cannot be reached.");
    server.start();
    await until("it is back", async () => (await codeOf(log.append(LOBBY, [text("after", "4")]))) === "stored");
    expect(await codeOf(log.append(LOBBY, [text("within", "2")]))).toBe("stored");
    expect((await everything(log)).entries.map(({ data }) => data).sort()).toEqual(["after", "before", "within"]);
    expect(sentences.at(-1)).toBe("NATS is back.");
  }, 40_000);

  test("[D3] one whose store was wiped begins all channels anew, under a later epoch, and followers are told", async () => {
    await using server = new NatsServer();
    await using nodes = new NatsNodes(server);
    const { log } = await nodes.open();
    await log.append(LOBBY, [text("old"), text("older", "k")]);
    const told = await follow(log);
    const [before] = await log.append(LOBBY, [text("oldest")]);
    await server.kill();
    server.wipe();
    server.start();
    let after: Awaited<ReturnType<typeof log.append>> = [];
    await until(
      "it is back",
      async () => (await codeOf(log.append(LOBBY, [text("older", "k")]).then((one) => (after = one)))) === "stored",
    );
    await until("it was told", () => told.at(-1) === "changed" || told.at(-1) === "older");
    expect([before, after[0]]).toMatchObject([{ position: { offset: 3 } }, { type: "stored", position: { offset: 1 } }]);
    expect(before?.type === "stored" && after[0]?.type === "stored" && after[0].position.epoch > before.position.epoch).toBe(true);
  });

  test("[D3] a stream that an operator deleted under it is made anew, and its channels with it", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const { log } = await nodes.open({ prefix });
    const [before] = await log.append(LOBBY, [text("old")]);
    for (const name of await server.streams(prefix)) await server.ask(`STREAM.DELETE.${name}`);
    const [after] = await log.append(LOBBY, [text("new")]);
    expect([before, after]).toMatchObject([{ position: { offset: 1 } }, { position: { offset: 1 } }]);
    expect(before?.type === "stored" && after?.type === "stored" && after.position.epoch > before.position.epoch).toBe(true);
  });

  test("[D3] a log that lost its end goes on under a new epoch, on the node that knew of it and on every other", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = await follow(b.log);
    for (const n of numbers(3)) await a.log.append(LOBBY, [text(String(n))]);
    await until("it was told", () => told.length === 3);
    const before = (await everything(a.log)).head;
    // as an operator does it who restores an older backup
    await server.rewind(prefix, 2);
    const [after] = await a.log.append(LOBBY, [text("another third")]);
    expect(after).toMatchObject({ type: "stored", position: { offset: 3 } });
    const { head, entries } = await everything(b.log);
    expect(entries.map(({ data }) => data)).toEqual(["1", "2", "another third"]);
    expect(head?.lineage.map(({ start }) => start)).toEqual([1, 3]);
    expect(head?.topTag).not.toBe(before?.topTag);
    await until("the follower was told", () => told.at(-1) === "changed");
  });

  test("[D4] a full stream refuses, and says that nothing was stored", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const { log } = await nodes.open({ prefix, streams: 1 });
    await log.append(LOBBY, [text("before")]);
    const { config } = await server.ask<{ config: object }>(`STREAM.INFO.${prefix}-0`);
    await server.ask(`STREAM.UPDATE.${prefix}-0`, { ...config, max_msgs: 1 });
    expect(await log.ready?.()).toBe("NATS refuses to be written.");
    await expect(log.append(LOBBY, [text("refused")])).rejects.toMatchObject({
      code: "not_stored",
      message: expect.stringMatching(/^NATS did not take the message for chat\/lobby: maximum messages exceeded\. Nothing was stored/),
    });
    await server.ask(`STREAM.UPDATE.${prefix}-0`, { ...config, max_msgs: -1 });
    await log.append(LOBBY, [text("after")]);
    expect(await log.ready?.()).toBe(null);
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual(["before", "after"]);
  });

  test("a message larger than NATS takes is refused, and the others of its time are not", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const { log } = await nodes.open({ prefix });
    const [large, small] = [codeOf(log.append(LOBBY, [text("x".repeat(4_194_304))])), codeOf(log.append(LOBBY, [text("small")]))];
    expect([await large, await small]).toEqual(["too_large", "stored"]);
  });
});

describe("Readers of a NATS that fails", () => {
  test("[D3] keep their pipes while it is away, and read on when it is back", async () => {
    await using server = new NatsServer();
    const http = await startServer(() => nats(server.connect), { limits: { publishSecondsMax: 1 } });
    try {
      const channel = http.tl.channel(LOBBY);
      const got: unknown[] = [];
      using _reading = channel.subscribe(({ data }) => void got.push(data), { from: "start" });
      await channel.publish(0);
      await until("it reads", () => got.length === 1);
      await server.kill();
      await until("it is noticed", () => http.sentences.some((sentence) => sentence.startsWith("NATS cannot be reached")));
      // one connection may have noticed it before the other; then this may be stored yet
      expect(["not_stored", "unknown"]).toContain(await codeOf(channel.publish("lost")));
      server.start();
      await until("it is back", async () => (await codeOf(channel.publish(1))) === "stored");
      await until("it reads on", () => got.at(-1) === 1);
      expect([got.filter((data) => data !== "lost"), http.sentences.includes("NATS is back.")]).toEqual([[0, 1], true]);
    } finally {
      await http.dispose();
    }
  });

  test("[D4] of one that stands still keep their pipes; what it was given is unknown, what it was not is not stored, and nothing comes twice", async () => {
    await using server = new NatsServer();
    const http = await startServer(() => nats(server.connect), { limits: { publishSecondsMax: 0.3 } });
    try {
      const channel = http.tl.channel(LOBBY);
      const got: unknown[] = [];
      using _reading = channel.subscribe(({ data }) => void got.push(data), { from: "start" });
      await channel.publish(0);
      await until("it reads", () => got.length === 1);
      await server.freeze();
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
});

describe("What NATS is set up to keep", () => {
  test("[D4] alone and with its own ways acks say memory, and the operator is told what that means", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    const plain = await nodes.open({ prefix });
    expect([plain.log.level, plain.sentences]).toEqual([
      "memory",
      [expect.stringMatching(/power cut.*sync_interval|sync_interval.*power cut/)],
    ]);
    const wished = await nodes.open({ prefix, replicas: 3 });
    expect([wished.log.level, wished.sentences[0]]).toEqual(["memory", expect.stringMatching(/have 1 copy, not 3/)]);
  });

  test("[D4] one that takes less than a channel may is said to", async () => {
    await using server = new NatsServer({ lines: ["max_payload: 1MB"] });
    await using nodes = new NatsNodes(server);
    const { log, sentences } = await nodes.open();
    expect(sentences[0]).toMatch(/^NATS takes messages of 1048576 bytes with their headers \(max_payload\)/);
    expect(await codeOf(log.append(LOBBY, [text("x".repeat(1_048_576))]))).toBe("too_large");
  });

  test("streams that are in the way of its own are told of, and many nodes that start at once are in no other's", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = new NatsNodes(server);
    await Promise.all(numbers(12).map(() => nodes.open({ prefix })));
    await server.ask(`STREAM.CREATE.${prefix}-other`, { name: `${prefix}-other`, subjects: [`${prefix}-x.0.log.a`] });
    await expect(nodes.open({ prefix: `${prefix}-x` })).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^NATS does not give the engine its streams .*overlap/),
    });
  });

  test("[D4] an account that may keep nothing in memory is served, and told what it does without", async () => {
    const account =
      "accounts { A { jetstream { max_mem: 0, max_file: 1GB, max_streams: 20, max_consumers: 100 }, users [{ user: a, password: a }] } }";
    await using server = new NatsServer({ lines: [account, "no_auth_user: a"] });
    await using nodes = new NatsNodes(server);
    const { log, sentences } = await nodes.open();
    expect(sentences[0]).toMatch(/no stream in memory.*tags alone/);
    for (const n of numbers(20)) await log.append(LOBBY, [text(String(n), String(n))]);
    expect((await everything(log)).entries.map(({ data }) => Number(data))).toEqual(numbers(20));
    const other = await nodes.open();
    expect((await other.log.append(LOBBY, [text("7", "7")]))[0]).toMatchObject({ type: "duplicate", position: { offset: 7 } });
  });

  test("one without JetStream keeps nothing, and is refused", async () => {
    await using server = new NatsServer({ isPlain: true });
    const refused = new NatsNodes(server).open();
    await expect(refused).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^NATS keeps no messages here .*JetStream/),
    });
  });

  test("without a NATS a server does not start, and says where it looked", async () => {
    const tl = throughline({ engine: nats(connectTo({ port: 1 })), warn: () => {} });
    await expect(tl.open()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^NATS cannot be reached: .*refused/i),
    });
    await tl.close();
  });
});
