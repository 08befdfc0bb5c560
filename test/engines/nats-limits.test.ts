import { connect } from "@nats-io/transport-node";
import { afterAll, describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { type Inspection, inspect } from "../../src/engines/nats/inspect.ts";
import type { JetStream } from "../../src/engines/nats/jetstream.ts";
import { Places } from "../../src/engines/nats/places.ts";
import { nats } from "../../src/nats.ts";
import type { Clock } from "../../src/protocol.ts";
import { codeOf, everything, follow, LOBBY, natsNodes, text } from "../support/brokers.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { NatsServer, sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

afterAll(stopSharedNats);

const CONTEXT = {
  ...{ clock: systemClock, random: systemRandom, retain: (_channel: string, own: object) => own as never },
  ...{ keysMax: 1_000_000, keySecondsMin: 86_400, lineageMax: 32, warn: () => {} },
};

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

/** What is found of a nats-server of this version, whose streams have one copy. */
function inspected(storage: string, version: string, isSynced: boolean): Promise<Inspection> {
  const info = async () => ({ config: { storage, republish: { dest: "told" } }, state: { last_seq: 0 } });
  const js = { line: { version, payloadBytesMax: 2_097_152 }, account: async () => ({}), info } as unknown as JetStream;
  return inspect(js, new Places("line", 1), 1, isSynced);
}

describe("What is told of NATS", () => {
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
    // Close does not wait; but a connection may take its time
    let isClosing = false;
    const clock: Clock = { ...systemClock, after: (ms, act) => systemClock.after(isClosing && ms === 5_000 ? 50 : ms, act) };
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
