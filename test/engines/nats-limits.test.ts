import { connect } from "@nats-io/transport-node";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { Channels } from "../../src/engines/nats/channels.ts";
import { NO_FLOORS } from "../../src/engines/nats/floors.ts";
import { type Inspection, inspect } from "../../src/engines/nats/inspect.ts";
import { JetStream } from "../../src/engines/nats/jetstream.ts";
import { KeyTable } from "../../src/engines/nats/keys.ts";
import type { Line } from "../../src/engines/nats/line.ts";
import { Places } from "../../src/engines/nats/places.ts";
import { planAppend } from "../../src/engines/nats/plan.ts";
import type { Sheet } from "../../src/engines/nats/record.ts";
import { NOTHING } from "../../src/engines/nats/standing.ts";
import { nats } from "../../src/nats.ts";
import type { Clock } from "../../src/protocol.ts";
import { codeOf, everything, follow, LOBBY, natsNodes, text } from "../support/brokers.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { NatsServer, sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { isNats } from "../support/nats-version.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedNats);

const CONTEXT = {
  ...{ clock: systemClock, random: systemRandom, retain: (_channel: string, own: object) => own as never },
  ...{ keysMax: 1_000_000, keySecondsMin: 86_400, lineageMax: 32, warn: () => {} },
};

/** Everybody is let in as a user of an account of such limits. */
function accountOf(limits: string): string[] {
  return [`accounts { A { jetstream { ${limits} }, users [{ user: a, password: a }] } }`, "no_auth_user: a"];
}

describe("What one message of NATS may hold", () => {
  test("[D4] a burst of messages with long names of events and keys, whose headers are more than the 64 kB that JetStream takes, is stored", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ prefix });
    const drafts = numbers(500).map((n) => ({ ...text(String(n), String(n)), event: "€".repeat(42) }));
    const answers = await log.append(LOBBY, drafts);
    expect(answers.map((answer) => answer.type === "stored" && answer.position.offset)).toEqual(numbers(500));
    expect((await everything(log)).entries.every(({ event }) => event === "€".repeat(42))).toBe(true);
  });

  test("[D4] [D5] [D7] a server that takes little is given little at a time: messages, and keys that are put away", async () => {
    await using server = new NatsServer({ lines: ["max_payload: 64KB"] });
    await using nodes = natsNodes(server);
    const { log } = await nodes.open({ streams: 1, retain: { countMax: 10 } });
    const padding = "x".repeat(2_000);
    await log.append(
      LOBBY,
      numbers(200).map((n) => text(`${n} ${padding}`)),
    );
    for (const round of numbers(4)) {
      await log.append(
        LOBBY,
        numbers(500).map((n) => text(`${round} ${n}`, `${round} ${n}`)),
      );
    }
    await until("keys are put away, and so what is trimmed can be deleted", async () => {
      await log.append(
        LOBBY,
        numbers(300).map((n) => text(String(n))),
      );
      const { state } = await server.ask<{ state: { subjects: Record<string, number> } }>("STREAM.INFO.throughline-0", {
        subjects_filter: ">",
      });
      return (state.subjects["throughline.0.keys.chat.lobby"] ?? 0) > 1;
    });
    const other = await nodes.open({ streams: 1, retain: { countMax: 10 } });
    expect((await other.log.append(LOBBY, [text("1 1", "1 1")]))[0]?.type).toBe("duplicate");
  });

  test("one that takes hardly more than headers is refused, and said why", async () => {
    await using server = new NatsServer({ lines: ["max_payload: 8KB"] });
    await using nodes = natsNodes(server);
    await expect(nodes.open()).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/8192 bytes .*max_payload.* 2MB/),
    });
  });

  test("[D10] an account that may have one consumer at a time is read by many all the same", async () => {
    await using server = new NatsServer({ lines: accountOf("max_mem: 1MB, max_file: 100MB, max_consumers: 1") });
    await using nodes = natsNodes(server);
    const [{ log }, other] = [await nodes.open(), await nodes.open()];
    for (const n of numbers(20)) await log.append(LOBBY, [text(String(n), String(n))]);
    const pages = await Promise.all(numbers(10).map(() => everything(log)));
    for (const { entries } of pages) expect(entries.map(({ data }) => Number(data))).toEqual(numbers(20));
    const again = numbers(20).map((n) => other.log.append(LOBBY, [text(String(n), String(n))]));
    expect((await Promise.all(again)).every(([one]) => one?.type === "duplicate")).toBe(true);
  });

  test("[D4] an account that is full refuses, and its operator is told where that takes what was acknowledged, and how it does not", async () => {
    await using server = new NatsServer({ lines: accountOf("max_mem: 1MB, max_file: 1MB") });
    await using nodes = natsNodes(server);
    const { sentences } = await nodes.open({ streams: 1 });
    expect(sentences.some((sentence) => /may keep 1048576 bytes.*loses sight.*max_bytes/.test(sentence))).toBe(!isNats("2.11"));
    const { config } = await server.ask<{ config: object }>("STREAM.INFO.throughline-0");
    await server.ask("STREAM.UPDATE.throughline-0", { ...config, max_bytes: 1_000_000 });
    const { log, sentences: now } = await nodes.open({ streams: 1 });
    expect(now.some((sentence) => /loses sight/.test(sentence))).toBe(false);
    const stored: string[] = [];
    for (const n of numbers(20)) stored.push(await codeOf(log.append(LOBBY, [text(`${n} ${"x".repeat(100_000)}`)])));
    expect([...new Set(stored)]).toEqual(["stored", "not_stored"]);
    expect((await everything(log)).entries).toHaveLength(stored.lastIndexOf("stored") + 1);
  });

  test("[D4] while it is away a large message is not stored, and may be later: it is not told to be too large", async () => {
    await using server = new NatsServer();
    await using nodes = natsNodes(server);
    const { log } = await nodes.open();
    const large = text("x".repeat(1_048_500));
    await server.kill();
    await until("it is noticed", async () => (await codeOf(log.append("other", [text("a")]))) === "not_stored");
    expect(await codeOf(log.append(LOBBY, [large]))).toBe("not_stored");
  });

  test("[D7] notices that it does not take are dropped, and not kept for it", async () => {
    await using server = new NatsServer();
    let said = 0;
    const log = nats(async () => {
      const connection = await connect({ servers: `127.0.0.1:${server.port}` });
      const publish = connection.publish.bind(connection);
      connection.publish = (subject, ...rest) => {
        if (subject.includes(".told.")) said++;
        publish(subject, ...rest);
      };
      return connection;
    });
    await log.open(CONTEXT);
    try {
      // What it has tried at the start is none
      said = 0;
      await server.freeze();
      for (const n of numbers(5_000)) {
        log.notify?.({ channel: LOBBY, body: String(n) });
        if (n % 100 === 0) await new Promise(setImmediate);
      }
      expect(said).toBe(1_000);
      server.thaw();
      await until("it takes them again", () => {
        log.notify?.({ channel: LOBBY, body: "again" });
        return said > 1_000;
      });
    } finally {
      await log.close();
    }
  });
});

describe("A read that NATS breaks off", () => {
  test("[D5] its consumer gone before it gave anything, leaves no key table in which keys are lacking: what is published again is known", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const { log: first } = await nodes.open({ prefix });
    for (const n of numbers(3)) await first.append(LOBBY, [text(String(n), String(n))]);
    let broken = 0;
    const log = nats(
      async () => {
        const connection = await connect({ servers: `127.0.0.1:${server.port}` });
        const requestMany = connection.requestMany.bind(connection);
        connection.requestMany = async (subject, ...rest) => {
          if (!subject.includes("CONSUMER.MSG.NEXT") || broken++ > 0) return requestMany(subject, ...rest);
          return [{ headers: { code: 409, description: "Consumer Deleted" }, data: new Uint8Array(0), subject }] as never;
        };
        return connection;
      },
      { prefix },
    );
    await log.open(CONTEXT);
    try {
      expect(await log.append(LOBBY, [text("2", "2")])).toMatchObject([{ type: "duplicate", position: { offset: 2 } }]);
      expect(broken).toBeGreaterThan(0);
      expect((await everything(log)).head?.top).toBe(3);
    } finally {
      await log.close();
    }
  });
});

/** What is found of a nats-server of this version, whose streams have one copy. */
function inspected(storage: string, version: string, isSynced: boolean): Promise<Inspection> {
  const info = async () => ({ config: { storage, republish: { dest: "told" } }, state: { last_seq: 0 } });
  const js = { line: { version, payloadBytesMax: 2_097_152, takesHeaders: true }, account: async () => ({}), info } as unknown as JetStream;
  return inspect(js, new Places("line", 1), 1, isSynced);
}

describe("What is told of NATS", () => {
  test("[D4] an ack of the JetStream of another domain says nothing of what is stored in this one", async () => {
    const answers = [{ domain: "hub" }, { stream: "s", seq: 7, domain: "hub" }, { stream: "s", seq: 8, domain: "leaf" }];
    const line = { request: async () => ({ data: Buffer.from(JSON.stringify(answers.shift())) }) } as unknown as Line;
    const js = new JetStream(line, "$JS.API");
    await js.account();
    expect(await js.publish("a", undefined, Buffer.from("a"))).toBe(7);
    await expect(js.publish("a", undefined, Buffer.from("a"))).rejects.toThrow(/domain leaf has answered/);
  });

  test("[D4] acks say disk where NATS can sync each write, it is vouched that it does, and it writes to disk at all", async () => {
    const at = async (storage: string, version: string, isSynced: boolean) => (await inspected(storage, version, isSynced)).level;
    expect(await at("file", "2.10.0", true)).toBe("disk");
    expect([await at("file", "2.10.0", false), await at("file", "2.9.25", true), await at("memory", "2.10.0", true)]).toEqual(
      Array(3).fill("memory"),
    );
  });

  test("whoever is told that a power cut takes messages is told what this nats-server can do about it, and no more", async () => {
    const told = async (version: string) => (await inspected("file", version, false)).sentences.join(" ");
    expect(await told("2.9.25")).toMatch(/power cut.*2\.9\.25 cannot do otherwise: update it to 2\.11 or later\.$/);
    expect(await told("2.10.4")).toMatch(/power cut.*Set it to always.*or update it to 2\.11 or later and have 3 replicas\.$/);
    expect(await told("2.11.0")).toMatch(/power cut.*Set it to always.*; or have 3 replicas\.$/);
  });

  test("[D4] streams that somebody has made, in memory or so that they throw away, are told of", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const subjects = [`${prefix}.0.log.>`, `${prefix}.0.keys.>`];
    await server.ask(`STREAM.CREATE.${prefix}-0`, { name: `${prefix}-0`, subjects, storage: "memory", max_age: 60_000_000_000 });
    const { log, sentences } = await nodes.open({ prefix, streams: 1, synced: true });
    expect(log.level).toBe("memory");
    expect(sentences.some((sentence) => /are in memory/.test(sentence))).toBe(true);
    expect(sentences.some((sentence) => /throw away .*max_age/.test(sentence))).toBe(true);
  });

  test("[D5] a publish that is under way when the engine is closed is unknown, for it may be stored", async () => {
    await using server = new NatsServer();
    await using proxy = await FaultProxy.open(server.port);
    // Close does not wait
    let isClosing = false;
    const clock: Clock = { ...systemClock, after: (ms, act) => systemClock.after(isClosing ? Math.min(ms, 50) : ms, act) };
    await using nodes = natsNodes(proxy);
    await using direct = natsNodes(server);
    const [{ log }, other] = [await nodes.open({}, { clock }), await direct.open()];
    await log.append(LOBBY, [text("first")]);
    proxy.set({ down: { flow: "hole" } });
    const answer = codeOf(log.append(LOBBY, [text("second")]));
    await until("it is stored", async () => (await everything(other.log)).entries.length === 2);
    isClosing = true;
    await log.close();
    expect(await answer).toBe("unknown");
  });

  test("what is no message of the engine, where its messages are told, disturbs nobody, and says so", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ prefix, streams: 1 }), await nodes.open({ prefix, streams: 1 })];
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("first")]);
    await until("it was told", () => told.length === 1);
    const stranger = await connect({ servers: `127.0.0.1:${server.port}` });
    // As if NATS had stored it, and were telling it
    const headers = { encode: () => Buffer.from("NATS/1.0\r\nNats-Sequence: 7\r\nThroughline-Log: 2\r\n\r\n") };
    stranger.publish(`${prefix}.0.told.chat.lobby`, "x", { headers: headers as never });
    await stranger.flush();
    await stranger.close();
    await a.log.append(LOBBY, [text("second")]);
    await until("it was told", () => told.length === 2);
    expect(told).toEqual(["first", "second"]);
    expect(b.sentences.some((sentence) => /not one of this engine/.test(sentence))).toBe(true);
  });
});

describe("A log that NATS has lost the end of", () => {
  test("[D3] [D4] is not gone on with by a publish that was in doubt meanwhile, though another node has brought it as far as that", async () => {
    const { server, prefix } = sharedNats();
    await using proxy = await FaultProxy.open(server.port);
    await using behind = natsNodes(proxy);
    await using nodes = natsNodes(server);
    const a = await behind.open({ prefix });
    for (const n of numbers(3)) await a.log.append(LOBBY, [text(String(n), String(n))]);
    proxy.set({ up: { flow: "hole" } });
    const answer = codeOf(a.log.append(LOBBY, [text("fourth", "4")]));
    await server.rewind(prefix, 2);
    const b = await nodes.open({ prefix });
    await b.log.append(LOBBY, [text("another third")]);
    proxy.cut();
    proxy.heal();
    expect(await answer).toBe("stored");
    const { entries } = await everything(b.log);
    expect(entries.map(({ data }) => data)).toEqual(["1", "2", "another third", "fourth"]);
  });

  test("[D3] [D4] is not gone on with by a node that looks again, and finds that another has brought it further", async () => {
    const { server, prefix } = sharedNats();
    await using proxy = await FaultProxy.open(server.port);
    await using behind = natsNodes(proxy);
    await using nodes = natsNodes(server);
    const [a, b] = [await behind.open({ prefix }), await nodes.open({ prefix })];
    for (const n of numbers(3)) await a.log.append(LOBBY, [text(String(n), String(n))]);
    const lost = (await everything(b.log)).head!;
    await server.rewind(prefix, 2);
    for (const n of [3, 4]) await b.log.append(LOBBY, [text(`another ${n}`, `another ${n}`)]);
    proxy.cut();
    await until("it is back", async () => (await codeOf(a.log.append(LOBBY, [text("5", "5")]))) === "stored");
    // What it knew of keys is gone too
    const [third, fourth] = await a.log.append(LOBBY, [text("3", "3"), text("another 4", "another 4")]);
    expect([third, fourth]).toMatchObject([
      { type: "stored", position: { offset: 6 } },
      { type: "duplicate", position: { offset: 4 } },
    ]);
    const { head, entries } = await everything(b.log);
    expect(entries.map(({ data }) => data)).toEqual(["1", "2", "another 3", "another 4", "5", "3"]);
    expect(head?.lineage).toEqual([...lost.lineage, { epoch: expect.any(String), start: 5, isUnvouched: true }]);
  });

  test("[D10] can be read on, though a node that does not follow it has taken for its own what another has put there", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    for (const n of numbers(3)) await a.log.append(LOBBY, [text(String(n))]);
    const { head } = await everything(b.log);
    await server.rewind(prefix, 2);
    await b.log.append(LOBBY, [text("another third")]);
    const told = await follow(b.log);
    await a.log.append(LOBBY, [text("fourth")]);
    await until("who follows is told", () => told.length === 1);
    expect(told).toEqual(["fourth"]);
    const page = await everything(b.log);
    expect(page.entries.map(({ data }) => data)).toEqual(["1", "2", "another third", "fourth"]);
    // Whoever had what was lost finds another tag there
    expect(page.entries[2]?.tag).not.toBe(head?.topTag);
  });

  test("[D4] [D5] is looked at anew by a node that is told of what stands behind it, and has not heard of the message before", () => {
    const channels = new Channels();
    const sheet = (offset: number, tag: string, tagBefore: string): Sheet => {
      const entry = { offset, tag, at: offset, event: "message", kind: "text" as const, data: "", size: 7 };
      const lines = [{ entry, below: 7 * (offset - 1), key: null, print: "" }];
      const standing = { fence: "f", born: "e", bornAt: 1, lineage: [{ epoch: "e", start: 1 }], floors: NO_FLOORS, keyTop: 0 };
      return { seq: offset, previous: offset - 1, node: "n", ...standing, tagBefore, first: offset, below: 7 * (offset - 1), lines };
    };
    const known = channels.use(LOBBY);
    known.apply(sheet(3, "c", "b"));
    known.generation = 1;
    channels.release(known);
    channels.heard(LOBBY, sheet(4, "d", "c"));
    expect([known.standing.top, known.generation]).toEqual([4, 1]);
    channels.heard(LOBBY, sheet(5, "e", "other"));
    expect([known.standing.top, known.generation]).toEqual([4, 0]);
  });

  test("[D3] is vouched for up to where it ended by who wrote it under a word that one server kept, and by no other", () => {
    const before = { ...NOTHING, seq: 3, born: "e", bornAt: 1, lineage: [{ epoch: `${"0".repeat(12)}abcdefgh`, start: 1 }], top: 3 };
    const plan = {
      retention: { countMax: 9, bytesMax: 999, secondsMax: 9 },
      keysMax: 9,
      keyMsMin: 9,
      lineageMax: 9,
      node: "n",
      letters: "12345678",
    };
    const era = (fence: string, now: string, hasLost = false) => {
      const context = { ...plan, nowMs: 1, fence: now, tags: ["t"], hasLost };
      return planAppend({ ...before, fence }, new KeyTable(), [text("a")], context).sheet?.lineage[1];
    };
    const vouched = { epoch: expect.any(String), start: 4 };
    const unvouched = { ...vouched, isUnvouched: true };
    expect([era("alone", "alone"), era("alone", "new"), era("alone", "new?")]).toEqual([undefined, vouched, vouched]);
    // One of several servers, or none, kept it
    expect([era("one?", "new?"), era("one?", "new"), era("-", "new"), era("alone", "alone", true)]).toEqual(Array(4).fill(unvouched));
  });

  test("[D3] [D4] is not gone on with by a node that was told of what another has put there", async () => {
    const { server, prefix } = sharedNats();
    await using nodes = natsNodes(server);
    const [a, b] = [await nodes.open({ prefix }), await nodes.open({ prefix })];
    const told = await follow(a.log);
    for (const n of numbers(3)) await a.log.append(LOBBY, [text(String(n))]);
    await server.rewind(prefix, 2);
    await b.log.append(LOBBY, [text("another third")]);
    await until("it was told", () => told.at(-1) === "changed");
    await a.log.append(LOBBY, [text("fourth")]);
    expect((await everything(b.log)).entries.map(({ data }) => data)).toEqual(["1", "2", "another third", "fourth"]);
  });
});
