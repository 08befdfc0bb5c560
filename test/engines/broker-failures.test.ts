import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LogContext } from "../../src/core/log.ts";
import { throughline } from "../../src/index.ts";
import { BROKERS, type Broker, codeOf, engineAt, everything, follow, LOBBY, Nodes, text } from "../support/brokers.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { startServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

describe.each(BROKERS)("A broker that fails: $name", (kind) => {
  let broker: Broker;

  beforeAll(async () => {
    broker = await kind.begin();
  });
  afterAll(() => broker.stop());

  const isAway = (sentences: readonly string[]) => sentences.some((sentence) => sentence.startsWith(`${kind.called} cannot be reached`));

  test("[D4] [D5] killed again and again while many publish by two nodes, it loses nothing acknowledged, and nothing stands twice", async () => {
    await using nodes = Nodes.at(broker.address);
    const all = [await nodes.open({ prefix: "kills" }), await nodes.open({ prefix: "kills" })];
    const told = await follow(all[0]!.log);
    const acknowledged = new Map<string, string>();
    let isOver = false;
    const publish = async (publisher: number) => {
      const { log } = all[publisher % 2]!;
      for (let n = 1; !isOver; n++) {
        const key = `${publisher} ${n}`;
        // Once more with the same key until it is known to be stored
        for (let answer = ""; answer !== "stored" && !isOver; ) {
          answer = await codeOf(
            log.append(LOBBY, [text(key, key)]).then(([one]) => {
              if (one !== undefined && "position" in one) acknowledged.set(key, one.position.tag);
            }),
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
      await broker.kill();
      await broker.start();
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

  test("[D4] an answer that is lost on its way leaves the message stored once, and its publish unknown or, where it is looked for, stored", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    await using nodes = Nodes.at({ ...broker.address, port: proxy.port });
    await using direct = Nodes.at(broker.address);
    const [{ log }, other] = [await nodes.open({ prefix: "lost" }), await direct.open({ prefix: "lost" })];
    await log.append(LOBBY, [text("first")]);
    for (const round of numbers(5)) {
      proxy.set({ down: { flow: "hole" } });
      const answer = codeOf(log.append(LOBBY, [text(`lost ${round}`)]));
      await until("it is stored", async () => (await everything(other.log)).entries.length === 2 * round);
      proxy.cut();
      proxy.heal();
      expect(await answer).toBe(kind.findsWhatIsLost ? "stored" : "unknown");
      await until("it goes on", async () => (await codeOf(log.append(LOBBY, [text(`told ${round}`)]))) === "stored");
    }
    await until("it can be read", async () => (await codeOf(everything(log))) === "stored");
    expect((await everything(log)).entries.map(({ data }) => data)).toEqual([
      "first",
      ...numbers(5).flatMap((n) => [`lost ${n}`, `told ${n}`]),
    ]);
  });

  test("[D7] a retention that an application cannot tell is an error of that publish, and of no other", async () => {
    await using nodes = Nodes.at(broker.address);
    let isBroken = true;
    const retain: LogContext["retain"] = (_channel, own) => {
      if (isBroken) throw new Error("no such tenant");
      return own;
    };
    const { log } = await nodes.open({ prefix: "retain" }, { retain });
    expect(await codeOf(log.append(LOBBY, [text("a")]))).toBe("not_stored");
    isBroken = false;
    expect(await codeOf(log.append(LOBBY, [text("b")]))).toBe("stored");
  });

  test("[D3] readers keep their pipes while it is away, and read on when it is back", async () => {
    const http = await startServer(() => engineAt(broker.address, { prefix: "away" }), { limits: { publishSecondsMax: 1 } });
    try {
      const channel = http.tl.channel(LOBBY);
      const got: unknown[] = [];
      using _reading = channel.subscribe(({ data }) => void got.push(data), { from: "start" });
      await channel.publish(0);
      await until("it reads", () => got.length === 1);
      await broker.kill();
      await until("it is noticed", () => isAway(http.sentences));
      // One connection may have noticed it before the other; then this may be stored yet
      expect(["not_stored", "unknown"]).toContain(await codeOf(channel.publish("lost")));
      await broker.start();
      await until("it is back", async () => (await codeOf(channel.publish("message", 1, { key: "1" }))) === "stored");
      await until("it reads on", () => got.at(-1) === 1);
      await until("it is said", () => http.sentences.includes(`${kind.called} is back.`));
      expect(got.filter((data) => data !== "lost")).toEqual([0, 1]);
    } finally {
      await http.dispose();
    }
  });

  test("[D4] readers of one that stands still keep their pipes; what it was given is unknown, what it was not is not stored, and nothing comes twice", async () => {
    const http = await startServer(() => engineAt(broker.address, { prefix: "still" }), { limits: { publishSecondsMax: 0.3 } });
    try {
      const channel = http.tl.channel(LOBBY);
      const got: unknown[] = [];
      using _reading = channel.subscribe(({ data }) => void got.push(data), { from: "start" });
      await channel.publish(0);
      await until("it reads", () => got.length === 1);
      await broker.freeze();
      const first = codeOf(channel.publish("message", 1, { key: "1" }));
      expect(await first).toBe("unknown");
      expect(await codeOf(channel.publish("message", 2, { key: "2" }))).toBe("not_stored");
      broker.thaw();
      for (const n of [1, 2])
        await until("it is stored", async () => (await codeOf(channel.publish("message", n, { key: String(n) }))) === "stored");
      await until("it has read on", () => got.length === 3);
      expect(got).toEqual([0, 1, 2]);
    } finally {
      broker.thaw();
      await http.dispose();
    }
  });

  test("readers are not sent to a node whose broker stands still, which lives all the same; when it goes on they are", async () => {
    const http = await startServer(() => engineAt(broker.address, { prefix: "ready" }), { limits: { readySecondsMax: 0.2 } });
    const probe = async (path: string) => (await fetch(http.url + path)).status;
    try {
      await until("it is ready", async () => (await probe("/readyz")) === 200);
      await broker.freeze();
      await until("it is not ready", async () => (await probe("/readyz")) === 503);
      expect(await probe("/livez")).toBe(200);
      broker.thaw();
      await until("it is ready", async () => (await probe("/readyz")) === 200);
    } finally {
      broker.thaw();
      await http.dispose();
    }
  });

  test("[D7] a connection to it that is lost costs a node what one reader costs, however many it has", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    const cost = async (readers: number): Promise<number> => {
      const address = { ...broker.address, port: proxy.port };
      const http = await startServer(() => engineAt(address, { prefix: `cost-${readers}` }));
      const writer = throughline({ engine: engineAt(broker.address, { prefix: `cost-${readers}` }), warn: () => {} });
      try {
        const got = numbers(readers).map((): unknown[] => []);
        const reading = got.map((one) => http.tl.channel(LOBBY).subscribe(({ data }) => void one.push(data), { from: "start" }));
        await writer.channel(LOBBY).publish(0);
        await until("all read", () => got.every((one) => one.length === 1));
        const before = await broker.questions();
        for (const round of numbers(5)) {
          proxy.cut();
          await writer.channel(LOBBY).publish(round);
          await until("all have read on", () => got.every((one) => one.length === 1 + round));
        }
        const asked = (await broker.questions()) - before;
        for (const one of reading) one[Symbol.dispose]();
        return asked;
      } finally {
        await http.dispose();
        await writer.close();
      }
    };
    const [alone, among] = [await cost(1), await cost(300)];
    console.info(`${kind.name}: five cuts cost ${alone} questions with one reader, ${among} with 300`);
    // They may come at other moments of the redialling and the polls, but not for each reader
    expect(among).toBeLessThan(alone + 60);
  });

  test("the operator is told once that it is away and once that it is back, each time, whichever connection noticed first", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    await using nodes = Nodes.at({ ...broker.address, port: proxy.port });
    const { log, sentences } = await nodes.open({ prefix: "told" });
    const told = await follow(log);
    await log.append(LOBBY, [text("0")]);
    await until("it listens", () => proxy.links.size === 3 && told.length === 1);
    const count = (what: string) => sentences.filter((sentence) => sentence.startsWith(`${kind.called} ${what}`)).length;
    for (const round of numbers(3)) {
      // Whichever it is: the one that listens is none without which nothing is stored
      for (const link of [...proxy.links]) {
        link.cut();
        await until("there are three", () => proxy.links.size === 3);
        await until("it is as it was", () => count("cannot be reached") === count("is back"));
        await until("it is written", async () => (await codeOf(log.append(LOBBY, [text(`a ${round}`)]))) === "stored");
      }
      const before = count("cannot be reached");
      proxy.refusing = true;
      proxy.cut();
      await until("it is told", () => count("cannot be reached") === before + 1);
      proxy.refusing = false;
      await until("it is back", () => count("is back") === before + 1);
      await until("there are three", () => proxy.links.size === 3);
    }
    // Two of three cut alone, and all of them together, three times
    expect(count("cannot be reached")).toBe(9);
  });

  test("[D10] one that takes a connection and says nothing more is tried again, and not waited for", async () => {
    await using proxy = await FaultProxy.open(broker.address.port);
    await using nodes = Nodes.at({ ...broker.address, port: proxy.port });
    const { log } = await nodes.open({ prefix: "dumb" });
    proxy.set({ down: { flow: "hole" } });
    proxy.cut();
    await until("both try to come in", () => proxy.links.size === 2);
    // Others may come in
    proxy.heal();
    await until("it goes on", async () => (await codeOf(log.append(LOBBY, [text("a")]))) === "stored");
    await until("it is read", async () => (await codeOf(everything(log))) === "stored");
  });

  test("without it a server does not start, and says where it looked", async () => {
    const tl = throughline({ engine: engineAt({ ...broker.address, port: 1 }, {}), warn: () => {} });
    await expect(tl.open()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(new RegExp(`^${kind.called} cannot be reached: .*refused`, "i")),
    });
    await tl.close();
  });
});
