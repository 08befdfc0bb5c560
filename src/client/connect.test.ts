import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fakeWorld, follow, range } from "../../test/support/fake-client.ts";
import { connect, ThroughlineError } from "../client.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { LIMITS } from "../protocol/limits.ts";
import { CLIENT_LIMITS, type Transport } from "./options.ts";

const TRANSPORTS: readonly Transport[] = ["sse", "websocket", "long-poll"];

describe("A client", () => {
  test("is inert until a channel is read or published to, so that a server may render with it", async () => {
    const client = connect("/realtime");
    const channel = client.channel("chat/lobby");
    expect([client.state, client.transport, channel.state, channel.position]).toEqual(["idle", null, "closed", null]);
    client.close();
    expect(client.state).toBe("closed");
  });

  test("has the limits of the law", () => {
    expect(LIMITS).toMatchObject(CLIENT_LIMITS);
  });

  test("refuses a name of which another path could be made, and takes every name of the law", () => {
    const client = connect("/realtime");
    for (const name of [
      "",
      "..",
      "a/../b",
      "../a",
      "a/..",
      "a/.",
      "./a",
      ".",
      "a b",
      "ä",
      "a?b",
      "a#b",
      "a%2fb",
      "$a",
      "a\\b",
      "a\nb",
      "a\n",
    ]) {
      expect(() => client.channel(name), name).toThrow(expect.objectContaining({ code: "bad_channel" }));
    }
    for (const name of ["a", "a/b", "a.b", "a/...", "x".repeat(200), "A-Z_0:9@~+=,", ".a", "a:", "..a/b.."]) {
      expect(client.channel(checkChannelName(name)).name).toBe(name);
    }
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9_.:@~+=,/-]{1,12}$/), (name) => {
        try {
          checkChannelName(name);
        } catch {
          return;
        }
        expect(client.channel(name).name).toBe(name);
        expect(new URL(`http://x/m/channels/${name}?a=b`)).toMatchObject({ pathname: `/m/channels/${name}`, search: "?a=b", hash: "" });
      }),
      { numRuns: 2_000 },
    );
  });

  test("gives the same channel for the same name", () => {
    const client = connect("/realtime");
    expect(client.channel("a")).toBe(client.channel("a"));
  });

  for (const transport of TRANSPORTS) {
    describe(`over ${transport}`, () => {
      test("hands out every message once, in order, from where it was told to begin", async () => {
        const { client, server, settle } = fakeWorld({ transport });
        for (const data of range(1, 5)) server.publish("a", data);
        const { channel, messages } = follow(client, "a", { from: { last: 3 } });
        expect([client.state, channel.state]).toEqual(["idle", "subscribing"]);
        await settle();
        server.publish("a", 6, { event: "order" });
        await settle();
        expect(messages.map(({ data }) => data)).toEqual([3, 4, 5, 6]);
        expect(messages[3]).toEqual({ channel: "a", event: "order", data: 6, at: 1_000, offset: 6, position: server.position("a") });
        expect([client.state, client.transport, channel.state]).toEqual(["connected", transport, "live"]);
        expect(channel.position).toBe(server.position("a"));
        client.close();
      });

      test("reads many channels on one pipe, and adds and leaves channels without a gap", async () => {
        const { client, server, settle } = fakeWorld({ transport });
        const a = follow(client, "a");
        const b = follow(client, "b");
        await settle();
        expect(server.calls.length).toBeLessThanOrEqual(transport === "long-poll" ? 2 : 1);
        server.publish("a", 1);
        server.publish("b", 1);
        const c = follow(client, "c", { from: "start" });
        server.publish("a", 2);
        await settle();
        server.publish("c", 1);
        server.publish("a", 3);
        b.subscription.unsubscribe();
        await settle();
        server.publish("b", 2);
        server.publish("a", 4);
        await settle();
        expect([a.story, b.story, c.story]).toEqual([[1, 2, 3, 4], [1], [1]]);
        expect([b.channel.state, server.pipes.size]).toEqual(["closed", 1]);
        expect([...server.pipes].flatMap(({ readers }) => [...readers.keys()])).toEqual(["a", "c"]);
        client.close();
        await settle();
        expect(server.pipes.size).toBe(0);
      });

      test("carries bytes, text and JSON", async () => {
        const { client, server, settle } = fakeWorld({ transport });
        const { channel, messages } = follow(client, "a");
        await settle();
        const values = [new Uint8Array([0, 128, 255]), "text", null, { deep: [1, "ä€😀"] }, 0, false];
        for (const value of values) await Promise.all([channel.publish(value), settle()]);
        expect(messages.map(({ data }) => data)).toEqual(values);
        expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual(values);
        client.close();
      });

      test("publishes with an answer, and says if the key was known", async () => {
        const { client, server, settle } = fakeWorld({ transport });
        const { channel } = follow(client, "a");
        await settle();
        const first = channel.publish("order", { total: 12 }, { key: "k" });
        const second = channel.publish("order", { total: 12 }, { key: "k" });
        await settle();
        expect(await first).toEqual({ position: server.position("a"), level: "memory", duplicate: false });
        expect(await second).toMatchObject({ position: server.position("a"), duplicate: true });
        client.close();
      });

      test("asks and signals", async () => {
        const { client, server, settle } = fakeWorld({ transport });
        const signals: unknown[] = [];
        const channel = client.channel("a/b");
        channel.on("signal", ({ event, data, sender }) => signals.push([event, data, sender]));
        await settle();
        const answer = channel.request("rename", { title: "x" });
        channel.signal("typing", { user: "ada" });
        await settle();
        expect(await answer).toEqual({ asked: { title: "x" } });
        expect(JSON.stringify(server.received)).toContain("typing");
        server.say({ type: "signal", channel: "a/b", event: "typing", data: 1, sender: "~1" });
        if (transport === "long-poll") server.publish("a/b", "so that the poll ends");
        await settle();
        expect(signals).toContainEqual(["typing", 1, "~1"]);
        client.close();
      });

      test("sends its token, asked anew for every attempt, never in the URL", async () => {
        let asked = 0;
        const { client, server, clock, settle } = fakeWorld({ transport, token: async () => `töken-${++asked}` });
        follow(client, "a");
        await settle();
        server.cut();
        await clock.advanceAsync(300);
        await settle();
        const [first, second] = transport === "long-poll" ? [server.tokens[0], server.tokens.at(-1)] : server.tokens;
        expect(first).toMatch(/töken-1$/);
        expect(second).toMatch(transport === "long-poll" ? /töken-[2-9]$/ : /töken-2$/);
        expect(server.calls.join()).not.toContain("ken");
        client.close();
      });

      test("ends a channel that may not be read, and lets the others live", async () => {
        const { client, server, settle, errors } = fakeWorld({ transport });
        server.faults.forbidden.set("secret", "forbidden");
        const a = follow(client, "a");
        const secret = follow(client, "secret");
        const iterated = (async () => {
          for await (const _ of client.channel("secret")) expect.unreachable();
        })();
        iterated.catch(() => {});
        await settle();
        server.publish("a", 1);
        await settle();
        await expect(iterated).rejects.toMatchObject({ code: "forbidden" });
        expect([a.story, a.channel.state, secret.channel.state, client.state]).toEqual([[1], "live", "closed", "connected"]);
        expect(errors).toMatchObject([{ code: "forbidden" }]);
        client.close();
      });

      test("survives a handler that throws, and reports what it threw", async () => {
        const { client, server, settle, errors } = fakeWorld({ transport });
        const fault = new Error("the application's");
        const channel = client.channel("a");
        channel.subscribe(() => {
          throw fault;
        });
        channel.subscribe(async () => {
          throw fault;
        });
        const { story } = follow(client, "a");
        await settle();
        server.publish("a", 1);
        server.publish("a", 2);
        await settle();
        expect(story).toEqual([1, 2]);
        expect(errors).toEqual([fault, fault, fault, fault]);
        client.close();
      });

      test("tells a gap before any later message, and goes on behind it", async () => {
        const { client, server, clock, settle } = fakeWorld({ transport });
        for (const data of range(1, 10)) server.publish("a", data);
        const { story, channel } = follow(client, "a");
        await settle();
        server.publish("a", 11);
        await settle();
        server.faults.refuse = () => "network";
        server.cut();
        await settle();
        for (const data of range(12, 20)) server.publish("a", data);
        server.trim("a", 15);
        server.faults.refuse = null;
        await clock.advanceAsync(20_000);
        await settle();
        expect(story).toEqual([11, "gap:trimmed>15", ...range(16, 20)]);
        expect([channel.state, client.counts.gaps]).toEqual(["live", 1]);
        client.close();
      });

      test("closes for good: no frame, no timer, no pipe is left, and what waited is rejected", async () => {
        const { client, server, clock, settle } = fakeWorld({ transport });
        const { channel, story } = follow(client, "a");
        const ended = (async () => {
          for await (const _ of channel);
        })();
        await settle();
        server.faults.loseAcks = true;
        const waiting = channel.publish("x");
        waiting.catch(() => {});
        client.close();
        client.close();
        await expect(waiting).rejects.toMatchObject({ code: "closed" });
        await ended;
        await expect(channel.publish("y")).rejects.toMatchObject({ code: "closed" });
        channel.subscribe(() => expect.unreachable());
        server.publish("a", 1);
        await clock.advanceAsync(600_000);
        expect([story, client.state, channel.state, clock.timers, server.pipes.size]).toEqual([[], "closed", "closed", 0, 0]);
      });
    });
  }

  test("closes when its signal fires", async () => {
    const abort = new AbortController();
    const { client, settle } = fakeWorld({ signal: abort.signal });
    follow(client, "a");
    await settle();
    abort.abort();
    expect(client.state).toBe("closed");
    expect(connect("/x", { signal: abort.signal }).state).toBe("closed");
  });

  test("an error of its own is a ThroughlineError", () => {
    expect(() => connect("/x").channel("a b")).toThrow(ThroughlineError);
  });
});
