import { afterAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import type { Clock } from "../../src/protocol.ts";
import { codeOf, everything, follow, givenAfter, LOBBY, natsNodes, text } from "../support/brokers.ts";
import { NatsServer, sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedNats);

/** Time passes five times as fast for whoever waits by it. */
const FAST: Clock = { ...systemClock, elapsed: () => systemClock.elapsed() * 5, after: (ms, act) => systemClock.after(ms / 5, act) };

describe("A NATS that fails", () => {
  test("[D4] one that is away for long leaves what it was given unknown, and what it was not given not stored; it goes on when it is back", async () => {
    await using server = new NatsServer();
    await using nodes = natsNodes(server);
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
    await using nodes = natsNodes(server);
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

  test("[D3] a stream that an operator deleted is made anew by whoever asks whether it is ready, though nobody publishes, and followers are told", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix });
    await log.append(LOBBY, [text("old")]);
    const told = await follow(log);
    for (const name of await server.streams(prefix)) await server.ask(`STREAM.DELETE.${name}`);
    expect(await log.ready?.()).toBeNull();
    await until("it was told", () => told.at(-1) === "changed");
    expect((await everything(log)).head).toBeNull();
  });

  test.each([
    ["a stream", {}],
    ["a channel of a stream", { filter: "throughline.*.log.chat.lobby" }],
  ])("[D3] %s that an operator purged is told to followers who have had all, though nobody publishes", async (_, what) => {
    await using server = new NatsServer();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({}, { clock: FAST });
    await log.append(LOBBY, [text("old")]);
    const told = await follow(log);
    const asked = async () => (await server.ask<{ api: { total: number } }>("INFO")).api.total;
    const before = await asked();
    let own = 0;
    // What a look asks, and what the next asks, which finds that nothing has changed
    await until("it has looked in vain", async () => (await asked()) - before - ++own >= 3);
    for (const name of await server.streams("throughline")) await server.ask(`STREAM.PURGE.${name}`, what);
    await until("it was told", () => told.at(-1) === "changed");
    expect((await everything(log)).head).toBeNull();
  });

  test("[D2] [D3] a log in which a message was deleted is given up to it, and then behind it with a gap, each once", async () => {
    await using server = new NatsServer();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open();
    for (const n of numbers(12)) await log.append(LOBBY, [text(String(n))]);
    for (const name of await server.streams("throughline"))
      for (const seq of [6, 7]) await server.ask(`STREAM.MSG.DELETE.${name}`, { seq });
    expect(await givenAfter(log, 0)).toEqual([undefined, undefined, numbers(5)]);
    expect(await givenAfter(log, 3)).toEqual([undefined, undefined, [4, 5]]);
    expect(await givenAfter(log, 5)).toEqual(["trimmed", 2, numbers(5, 8)]);
    expect(await givenAfter(log, 6)).toEqual(["trimmed", 1, numbers(5, 8)]);
    expect(await givenAfter(log, 7)).toEqual([undefined, undefined, numbers(5, 8)]);
    expect(await givenAfter(log, 8)).toEqual([undefined, undefined, numbers(4, 9)]);
  });

  test("[D3] a stream that an operator deleted under it is made anew, and its channels with it", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix });
    const [before] = await log.append(LOBBY, [text("old")]);
    for (const name of await server.streams(prefix)) await server.ask(`STREAM.DELETE.${name}`);
    const [after] = await log.append(LOBBY, [text("new")]);
    expect([before, after]).toMatchObject([{ position: { offset: 1 } }, { position: { offset: 1 } }]);
    expect(before?.type === "stored" && after?.type === "stored" && after.position.epoch > before.position.epoch).toBe(true);
  });

  test("[D3] a log that lost its end goes on under a new epoch, on the node that knew of it and on every other", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = await follow(b.log);
    for (const n of numbers(3)) await a.log.append(LOBBY, [text(String(n))]);
    await until("it was told", () => told.length === 3);
    const before = (await everything(a.log)).head;
    // As an operator does it who restores an older backup
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
    await using nodes = natsNodes(server);
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

  test("a channel can be removed where there is no room left, not even for the word that it is", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix, streams: 1 });
    for (const n of numbers(5)) await log.append(LOBBY, [text(String(n), String(n))]);
    const { config } = await server.ask<{ config: object }>(`STREAM.INFO.${prefix}-0`);
    await server.ask(`STREAM.UPDATE.${prefix}-0`, { ...config, max_msgs: 5 });
    expect(await codeOf(log.append(LOBBY, [text("6")]))).toBe("not_stored");
    await log.remove?.(LOBBY);
    expect(await everything(log)).toEqual({ head: null, entries: [] });
    expect((await log.append(LOBBY, [text("1", "1")]))[0]).toMatchObject({ type: "stored", position: { offset: 1 } });
  });

  test("a message larger than NATS takes is refused, and the others of its time are not", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix });
    const [large, small] = [codeOf(log.append(LOBBY, [text("x".repeat(4_194_304))])), codeOf(log.append(LOBBY, [text("small")]))];
    expect([await large, await small]).toEqual(["too_large", "stored"]);
  });
});

describe("What NATS is set up to keep", () => {
  test("[D4] alone and with its own ways acks say memory, and the operator is told what that means", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
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
    await using nodes = natsNodes(server);
    const { log, sentences } = await nodes.open();
    expect(sentences[0]).toMatch(/^NATS takes messages of 1048576 bytes with their headers \(max_payload\)/);
    expect(await codeOf(log.append(LOBBY, [text("x".repeat(1_048_576))]))).toBe("too_large");
  });

  test("streams that are in the way of its own are told of, and many nodes that start at once are in no other's", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
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
    await using nodes = natsNodes(server);
    const { log, sentences } = await nodes.open();
    expect(sentences[0]).toMatch(/no stream in memory.*tags alone/);
    for (const n of numbers(20)) await log.append(LOBBY, [text(String(n), String(n))]);
    expect((await everything(log)).entries.map(({ data }) => Number(data))).toEqual(numbers(20));
    const other = await nodes.open();
    expect((await other.log.append(LOBBY, [text("7", "7")]))[0]).toMatchObject({ type: "duplicate", position: { offset: 7 } });
  });

  test("one that takes no headers is refused, for each publish would cost the connection", async () => {
    await using server = new NatsServer({ lines: ["no_header_support: true"] });
    await expect(natsNodes(server).open()).rejects.toMatchObject({ code: "internal", message: expect.stringMatching(/no_header_support/) });
  });

  test("one without JetStream keeps nothing, and is refused", async () => {
    await using server = new NatsServer({ isPlain: true });
    const refused = natsNodes(server).open();
    await expect(refused).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/^NATS keeps no messages here .*JetStream/),
    });
  });
});
