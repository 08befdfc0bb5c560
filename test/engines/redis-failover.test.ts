import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { describe, expect, test } from "vitest";
import { type Log, type Throughline, throughline } from "../../src/index.ts";
import { NO_TAG, parsePosition } from "../../src/protocol.ts";
import { redis } from "../../src/redis.ts";
import { codeOf, everything, follow, LOBBY, redisNodes, text } from "../support/brokers.ts";
import { freePort } from "../support/free-port.ts";
import { need } from "../support/need.ts";
import { RedisPair } from "../support/redis-pair.ts";
import { LIBRARIES } from "../support/redis-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

/** A reader in this process, and what came to it: messages, and `gap` with its reason. */
function read(tl: Throughline, after: string): { readonly got: unknown[]; end(): void } {
  const end = new AbortController();
  const got: unknown[] = [];
  const reading = async () => {
    const onGap = ({ reason }: { readonly reason: string }) => void got.push(`gap ${reason}`);
    for await (const { data } of tl.channel(LOBBY).messages({ from: { after }, signal: end.signal, onGap })) got.push(data);
  };
  void reading().catch(() => {});
  return { got, end: () => end.abort() };
}

describe.each(LIBRARIES)("A failover, with $name", (library) => {
  test("[D3] that loses the end of the log is told to every reader who holds a position in it, before any later message", async () => {
    await using pair = await RedisPair.start();
    const tl = throughline({ engine: redis(library.client(pair)), warn: () => {} });
    try {
      const channel = tl.channel(LOBBY);
      let last = "";
      for (const n of numbers(20)) last = (await channel.publish(`old ${n}`)).position;
      // WAIT covers what its own connection has written
      await pair.master.ask.set("mark", "1");
      expect(await pair.master.ask.wait(1, 5_000)).toBe(1);
      // The link between the two is cut, and the replica is made a master
      await pair.replica.ask.replicaof("NO", "ONE");
      const live = read(tl, last);
      const lost: string[] = [];
      for (const n of numbers(10)) lost.push((await channel.publish(`lost ${n}`)).position);
      await until("the live reader has them", () => live.got.length === 10);
      await pair.failOver();
      const publishAgain = async (n: number) => {
        const stored = () =>
          channel.publish("message", `new ${n}`, { key: `new ${n}` }).then(
            () => true,
            () => false,
          );
        await until("it is stored", stored);
      };
      for (const n of numbers(12)) await publishAgain(n);

      const readers = lost.map((position) => read(tl, position));
      await until("all have read to the end", () => [live, ...readers].every(({ got }) => got.at(-1) === "new 12"));
      for (const [index, { got }] of [live, ...readers].entries()) {
        // Before the gap at most what others were told before, after it everything that there is
        const gap = got.indexOf("gap truncated");
        expect(got.slice(gap)).toEqual(["gap truncated", ...numbers(12).map((n) => `new ${n}`)]);
        expect([[], numbers(10 - index, index + 1).map((n) => `lost ${n}`)]).toContainEqual(got.slice(0, gap));
      }

      // The control: by offset alone, under the epoch of the day, the same readers would have lost messages and not known it
      const { epoch } = parsePosition((await channel.publish("end")).position);
      const blind = read(tl, `${epoch}.${String(parsePosition(lost[9]!).offset).padStart(16, "0")}.${NO_TAG}`);
      await until("it has read to the end", () => blind.got.at(-1) === "end");
      expect(blind.got).toEqual(["new 11", "new 12", "end"]);
      for (const reader of [live, blind, ...readers]) reader.end();
    } finally {
      await tl.close();
    }
  });

  test("[D2] that loses nothing is told to nobody: readers go on, under another epoch", async () => {
    await using pair = await RedisPair.start();
    const tl = throughline({ engine: redis(library.client(pair), { waitReplicas: 1 }), warn: () => {} });
    try {
      const channel = tl.channel(LOBBY);
      const before = read(tl, (await channel.publish("0")).position);
      expect((await channel.publish("1")).level).toBe("replicated");
      await until("it reads", () => before.got.length === 1);
      await pair.replica.ask.replicaof("NO", "ONE");
      await pair.failOver();
      // Of two machines one is left, so that nothing is replicated; but it is stored, and told
      const answer = () =>
        channel.publish("message", "2", { key: "2" }).then(
          () => "stored",
          ({ cause }) => String(cause),
        );
      await until("it is answered", async () => (await answer()).includes("it is stored, but 0 of 1 replicas"));
      await until("it reads on", () => before.got.length === 2);
      expect(before.got).toEqual(["1", "2"]);
      before.end();
    } finally {
      await tl.close();
    }
  });

  test("[D4] where acks say replicated and Redis does not sync each write, the operator is told that a master which comes back takes them from its replicas too", async () => {
    await using pair = await RedisPair.start();
    await using nodes = redisNodes(pair, library);
    const told = async () => (await nodes.open({ waitReplicas: 1 })).sentences;
    const warning = expect.stringMatching(/master .*comes back .*replicas.* take over/);
    expect(await told(), "keeps nothing").toContainEqual(warning);
    await pair.master.ask.config("SET", "appendonly", "yes");
    expect(await told(), "everysec").toContainEqual(warning);
    await pair.master.ask.config("SET", "appendfsync", "always");
    expect(await told(), "always").toEqual([]);
  });

  test("[D4] an ack that says replicated waited for the replica; one without is unknown, and stored", async () => {
    await using pair = await RedisPair.start();
    await using nodes = redisNodes(pair, library);
    const { log } = await nodes.open({ waitReplicas: 1, waitMs: 10_000 });
    expect(log.level).toBe("replicated");
    await Promise.all(numbers(20).map((n) => log.append(`many/${n}`, [text("a")])));
    expect(await pair.replica.ask.xlen("throughline:{many/20}:log")).toBe(1);
    const { log: hasty } = await nodes.open({ waitReplicas: 1, waitMs: 100 });
    pair.replica.freeze();
    await expect(hasty.append(LOBBY, [text("b", "k")])).rejects.toMatchObject({
      code: "unknown",
      message: expect.stringMatching(/0 of 1 replicas/),
    });
    pair.replica.thaw();
    expect(await log.append(LOBBY, [text("b", "k")])).toMatchObject([{ type: "duplicate" }]);
    expect((await everything(log)).entries.length).toBe(1);
  });
});

describe.each(LIBRARIES)("A master that is made a replica and keeps its connections, with $name", (library) => {
  test("[D10] is left by a node where everybody only listens: its readers go on, and it is ready again", async () => {
    await using pair = await RedisPair.start();
    await using nodes = redisNodes(pair, library);
    const { log } = await nodes.open();
    await log.append(LOBBY, [text("0")]);
    const told = await follow(log);
    await pair.takeOver();
    const { log: other } = await nodes.open();
    await other.append(LOBBY, [text("1")]);
    await until("they are told", () => told.at(-1) === "1");
    await until("it is ready", async () => (await log.ready?.()) === null);
  }, 60_000);

  test("[D10] is left too where it hears nothing from the new one, and shows what it had", async () => {
    await using pair = await RedisPair.start();
    await using nodes = redisNodes(pair, library);
    const { log } = await nodes.open();
    await log.append(LOBBY, [text("0")]);
    const told = await follow(log);
    await pair.split();
    // As where it has no password for the new one
    await pair.replica.ask.replicaof("127.0.0.1", "1");
    const { log: other } = await nodes.open();
    await other.append(LOBBY, [text("1")]);
    await until("they are told", () => told.at(-1) === "1");
    const notices: string[] = [];
    log.listen?.(({ body }) => notices.push(body));
    const hears = async () => {
      other.notify?.({ channel: LOBBY, body: "signal" });
      return notices.length > 0;
    };
    await until("signals are heard", hears);
  }, 60_000);
});

describe.each(LIBRARIES)("Two masters, with $name", (library) => {
  test("[D2] [D10] a node one of whose connections has found the new one follows it with the others, whichever it was", async () => {
    await using pair = await RedisPair.start();
    await using nodes = redisNodes(pair, library);
    const { ask } = pair.master;
    const torn: { does: string; log: Log; told: string[]; own: string }[] = [];
    for (const does of ["set", "exists", "subscribe"]) {
      const others = idsOf(await ask.client("LIST"));
      const { log } = await nodes.open();
      const told = await follow(log);
      let own: string | undefined;
      await until(`one does ${does}`, async () => {
        await log.ready?.();
        own = idsOf(await ask.client("LIST"), `cmd=${does} `).find((id) => !others.includes(id));
        return own !== undefined;
      });
      torn.push({ does, log, told, own: String(own) });
    }
    await pair.split();
    for (const { own } of torn) await ask.client("KILL", "ID", own);
    const { log: other } = await nodes.open();
    await other.append(LOBBY, [text("new")]);
    for (const { does, log } of torn) {
      await until("all are told", () => torn.every(({ told }) => told.includes("new")));
      const append = () => codeOf(log.append(LOBBY, [text(does, does)]));
      await until("it is stored", async () => (await append()) === "stored" && (await everything(other)).entries.at(-1)?.data === does);
      expect((await everything(log)).entries.at(-1)?.data).toBe(does);
      await until("all are told", () => torn.every(({ told }) => told.includes(does)));
    }
  }, 90_000);

  test("[D10] a node that has published to the new one while it still read from the other gives its readers that message too, though none follows it", async () => {
    await using pair = await RedisPair.start();
    const engine = redis(library.client(pair));
    const tl = throughline({ engine, warn: () => {} });
    try {
      const channel = tl.channel(LOBBY);
      const { position } = await channel.publish("0");
      const reader = read(tl, position);
      await channel.publish("1");
      await until("it reads", () => reader.got.length === 1);
      const { ask } = pair.master;
      let own: string | undefined;
      await until("one writes", async () => {
        await engine.ready?.();
        own = idsOf(await ask.client("LIST"), "cmd=set ")[0];
        return own !== undefined;
      });
      await pair.split();
      await ask.client("KILL", "ID", String(own));
      await until("it is stored", async () => (await codeOf(channel.publish("message", "2", { key: "2" }))) === "stored");
      // What looks at heads finds what was published, as if it had been told
      await ask.call("CLIENT", "KILL", "TYPE", "normal");
      await until("it is given", () => reader.got.length === 2);
      expect(reader.got).toEqual(["1", "2"]);
      reader.end();
    } finally {
      await tl.close();
    }
  }, 60_000);
});

describe.each(LIBRARIES)("When of two masters one follows the other, with $name", (library) => {
  test("[D5] what is published again there is a duplicate where it is stored, whichever of them had it first, and is stored where it was lost", async () => {
    await using pair = await RedisPair.start();
    await using nodes = redisNodes(pair, library);
    const { log: one } = await nodes.open({ waitReplicas: 1 });
    await one.append(LOBBY, [text("before", "before")]);
    await pair.split();
    const { log: other } = await nodes.open();
    // Whether it is stored the first cannot say: its replica does not have it
    for (const key of ["lost", "both"]) expect(await codeOf(one.append(LOBBY, [text(key, key)]))).toBe("unknown");
    const ask = async (log: Log, ...keys: string[]) => {
      const answers = await log.append(
        LOBBY,
        keys.map((key) => text(key, key)),
      );
      return answers.map((answer) => ("position" in answer ? `${answer.type} ${answer.position.offset}` : answer.type));
    };
    expect(await ask(other, "before", "other", "both")).toEqual(["duplicate 1", "stored 2", "stored 3"]);
    await pair.replica.follow(pair.master);
    await until("it has found the new master", async () => (await codeOf(ask(one, "after"))) === "stored");
    const again = await ask(one, "before", "other", "both", "lost", "lost");
    expect(again).toEqual(["duplicate 1", "duplicate 2", "duplicate 3", "stored 5", "duplicate 5"]);
    expect((await everything(other)).entries.map(({ data }) => data)).toEqual(["before", "other", "both", "after", "lost"]);
  });
});

describe.each(LIBRARIES)("A Redis that does not let its user ask INFO, with $name", (library) => {
  test("[D3] fails over without its last messages: a node that goes on writing there before it reads there tells its readers, by the tags alone", async () => {
    await using pair = await RedisPair.start();
    for (const { ask } of [pair.master, pair.replica]) await ask.call("ACL", "SETUSER", "default", "-info");
    const engine = redis(library.client(pair));
    const tl = throughline({ engine, warn: () => {} });
    try {
      const channel = tl.channel(LOBBY);
      const { position } = await channel.publish("0");
      await pair.master.ask.set("mark", "1");
      expect(await pair.master.ask.wait(1, 5_000)).toBe(1);
      await pair.split();
      const { ask } = pair.replica;
      const reader = read(tl, position);
      for (const text of ["lost 1", "lost 2"]) await channel.publish(text);
      await until("it has them", () => reader.got.length === 2);
      const publish = (text: string) =>
        until("it is stored", async () => (await codeOf(channel.publish("message", text, { key: text }))) === "stored");
      let [writing] = [] as string[];
      await until("one writes", async () => {
        await engine.ready?.();
        [writing] = idsOf(await ask.client("LIST"), "cmd=set ");
        return writing !== undefined;
      });
      await ask.client("KILL", "ID", String(writing));
      for (const n of numbers(4)) await publish(`new ${n}`);
      await ask.call("CLIENT", "KILL", "TYPE", "normal");
      await publish("end");
      await until("it has read to the end", () => reader.got.at(-1) === "end");
      expect(reader.got).toEqual(["lost 1", "lost 2", "gap truncated", "new 3", "new 4", "end"]);
      reader.end();
    } finally {
      await tl.close();
    }
  });
});

describe("Redis Sentinel, with ioredis", () => {
  test("[D2] finds the new master by itself: publishers and readers go on, and nothing replicated is lost", async () => {
    await using pair = await RedisPair.start();
    const port = await freePort();
    await using _sentinel = await startSentinel(port, pair.master.port);
    const client = new Redis({ sentinels: [{ host: "127.0.0.1", port }], name: "line", lazyConnect: true });
    const tl = throughline({ engine: redis(client, { waitReplicas: 1 }), warn: () => {} });
    try {
      const channel = tl.channel(LOBBY);
      const { position } = await channel.publish("message", 0, { key: "0" });
      const reader = read(tl, position);
      for (const n of numbers(5)) await channel.publish("message", n, { key: String(n) });
      await pair.master.kill();
      await until(
        "the replica is master, and has the next one",
        async () => /it is stored, but 0 of 1/.test(String(await channel.publish("message", 6, { key: "6" }).catch(({ cause }) => cause))),
        20_000,
      );
      await until("the reader has all", () => reader.got.length === 6);
      expect(reader.got).toEqual(numbers(6));
      reader.end();
    } finally {
      await tl.close();
    }
  }, 40_000);
});

/** Of those in a CLIENT LIST that are doing it. */
function idsOf(list: unknown, doing = ""): string[] {
  const lines = String(list).split("\n");
  return lines.filter((line) => line.includes(doing)).flatMap((line) => /^id=(\d+)/.exec(line)?.[1] ?? []);
}

/** A Sentinel that watches one master, and acts alone. */
async function startSentinel(port: number, master: number): Promise<AsyncDisposable> {
  const directory = mkdtempSync(join(tmpdir(), "throughline-sentinel-"));
  const lines = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${directory}`,
    `sentinel monitor line 127.0.0.1 ${master} 1`,
    "sentinel down-after-milliseconds line 500",
    "sentinel failover-timeout line 2000",
  ];
  writeFileSync(join(directory, "sentinel.conf"), `${lines.join("\n")}\n`);
  const child = spawn(need("redis-server"), [join(directory, "sentinel.conf"), "--sentinel"], { stdio: "ignore" });
  const ask = new Redis(port, { retryStrategy: () => 50 });
  ask.on("error", () => {});
  const replicas = () => ask.call("SENTINEL", "replicas", "line").then(String, String);
  await until("it knows the replica", async () => (await replicas()).includes("master-link-status,ok"));
  return {
    async [Symbol.asyncDispose]() {
      ask.disconnect();
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      rmSync(directory, { recursive: true });
    },
  };
}
