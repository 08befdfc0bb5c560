import { describe, expect, test } from "vitest";
import { fakeWorld, follow, range } from "../../test/support/fake-client.ts";
import type { Transport } from "./options.ts";

const TRANSPORTS: readonly Transport[] = ["sse", "websocket", "long-poll"];

for (const transport of TRANSPORTS) {
  describe(`Publishing over ${transport}`, () => {
    test("[D5] whatever waits when the connection is cut is sent again in order, and stored once", async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { channel, story } = follow(client, "a");
      await settle();
      server.faults.loseAcks = true;
      const first = range(1, 5).map((data) => channel.publish(data));
      await settle();
      expect(server.logs.get("a")?.entries).not.toHaveLength(0);
      server.cut();
      const later = range(6, 8).map((data) => channel.publish(data));
      server.faults.loseAcks = false;
      await clock.advanceAsync(60_000);
      const answers = await Promise.all([...first, ...later]);
      expect(answers.map(({ position }) => Number(position.slice(21, 37)))).toEqual(range(1, 8));
      expect(answers.some(({ duplicate }) => duplicate)).toBe(true);
      expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual(range(1, 8));
      expect(story).toEqual(range(1, 8));
      client.close();
    });

    test("an answer that may change is retried with the same key, one that cannot is told", async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      server.faults.publishErrors = [
        { code: "not_stored", message: "" },
        { code: "unknown", message: "" },
        { code: "overloaded", message: "" },
      ];
      const stored = channel.publish(1);
      await clock.advanceAsync(10_000);
      expect(await stored).toMatchObject({ duplicate: false });
      for (const code of ["forbidden", "too_large", "key_conflict", "keys_full", "bad_event"]) {
        server.faults.publishErrors = [{ code, message: `because ${code}` }];
        const refused = channel.publish(2);
        refused.catch(() => {});
        await settle();
        await expect(refused).rejects.toMatchObject({ code, message: `because ${code}` });
      }
      expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual([1]);
      client.close();
    });

    test("[D5] a publish that is refused after an attempt without an answer is told as unknown, with the refusal as its cause", async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      for (const code of ["forbidden", "unauthenticated", "too_large"]) {
        server.faults.loseAcks = true;
        const refused = channel.publish(code);
        refused.catch(() => {});
        await settle();
        server.faults.loseAcks = false;
        server.faults.publishErrors = [{ code, message: "no longer" }];
        await clock.advanceAsync(60_000);
        await expect(refused).rejects.toMatchObject({ code: "unknown", cause: { code, message: "no longer" } });
      }
      expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual(["forbidden", "unauthenticated", "too_large"]);
      client.close();
    });

    test("[D5] it depends on the answers before whether a refusal says that nothing is stored", async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      const outcomes: string[] = [];
      for (const before of ["unknown", "internal", "not_stored", "overloaded", "expired"]) {
        for (const code of ["forbidden", "key_conflict"]) {
          server.faults.publishErrors = [before, "not_stored", code].map((one) => ({ code: one, message: "" }));
          channel.publish(1).catch((error) => outcomes.push(`${before} ${code}: ${error.code}`));
          await clock.advanceAsync(60_000);
        }
      }
      expect(outcomes).toEqual([
        "unknown forbidden: unknown",
        "unknown key_conflict: key_conflict",
        "internal forbidden: unknown",
        "internal key_conflict: key_conflict",
        "not_stored forbidden: forbidden",
        "not_stored key_conflict: key_conflict",
        "overloaded forbidden: forbidden",
        "overloaded key_conflict: key_conflict",
        "expired forbidden: forbidden",
        "expired key_conflict: key_conflict",
      ]);
      client.close();
    });

    test("[D5] a client that is not let in again does not say that what it had sent is not stored", async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      server.faults.loseAcks = true;
      const sent = channel.publish(1);
      sent.catch(() => {});
      await settle();
      server.faults.refuse = () => ({ status: 401, body: { error: { code: "unauthenticated", message: "who?" } } });
      server.cut();
      client.switchTo("sse");
      await clock.advanceAsync(60_000);
      await expect(sent).rejects.toMatchObject({ code: "unknown", cause: { code: "unauthenticated" } });
      await expect(channel.publish(2)).rejects.toMatchObject({ code: "unauthenticated" });
      client.close();
    });

    test("each of a batch has its own answer", async () => {
      const { client, server, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      server.faults.publishErrors = [{ code: "forbidden", message: "" }];
      const answers = [channel.publish(1), client.channel("b").publish(2), channel.publish(3)];
      answers[0]?.catch(() => {});
      await settle();
      await expect(answers[0]).rejects.toMatchObject({ code: "forbidden" });
      expect(await answers[1]).toMatchObject({ position: server.position("b") });
      expect(await answers[2]).toMatchObject({ position: server.position("a") });
      client.close();
    });

    test("a value is published as it was when it was given", async () => {
      const { client, server, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      const value = { count: 1 };
      const bytes = new Uint8Array([1]);
      const published = [channel.publish(value), channel.publish(bytes)];
      value.count = 2;
      bytes[0] = 2;
      await settle();
      await Promise.all(published);
      expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual([{ count: 1 }, new Uint8Array([1])]);
      client.close();
    });

    test("a signal that fires stops the wait", async () => {
      const { client, server, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      const abort = new AbortController();
      server.faults.held = true;
      server.faults.refuse = () => "hang";
      const waiting = channel.publish("message", 1, { signal: abort.signal });
      const asked = channel.request("x", 1, { signal: abort.signal });
      waiting.catch(() => {});
      asked.catch(() => {});
      await settle();
      abort.abort("enough");
      await expect(waiting).rejects.toMatchObject({ code: "aborted" });
      await expect(asked).rejects.toMatchObject({ code: "aborted" });
      await expect(channel.publish("message", 1, { signal: abort.signal })).rejects.toMatchObject({ code: "aborted" });
      await expect(channel.request("x", 1, { signal: abort.signal })).rejects.toMatchObject({ code: "aborted" });
      client.close();
    });

    test("a request that is not answered fails after its time, and one that is cut, or whose client is closed, at once", async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { channel } = follow(client, "a");
      await settle();
      server.faults.held = true;
      server.faults.refuse = () => "hang";
      const asked = channel.request("x", 1, { timeoutMs: 2_000 });
      asked.catch(() => {});
      await clock.advanceAsync(2_000);
      await expect(asked).rejects.toMatchObject({ code: "timeout" });
      if (transport !== "websocket") server.faults.refuse = () => "network";
      const cut = channel.request("x", 1);
      cut.catch(() => {});
      await settle();
      server.cut();
      await settle();
      await expect(cut).rejects.toMatchObject({ code: "disconnected" });
      server.faults.refuse = () => "hang";
      const left = channel.request("x", 1);
      left.catch(() => {});
      await settle();
      client.close();
      await expect(left).rejects.toMatchObject({ code: "closed" });
      await settle();
      expect(clock.timers).toBe(0);
    });
  });
}

describe("What waits to be published", () => {
  test("is bounded by outboxCountMax", async () => {
    const { client, server, settle } = fakeWorld({ limits: { outboxCountMax: 3 } });
    server.faults.refuse = () => "hang";
    const waiting = range(1, 3).map((data) => client.channel("a").publish(data));
    for (const publish of waiting) publish.catch(() => {});
    await expect(client.channel("a").publish(4)).rejects.toMatchObject({ code: "outbox_full" });
    await settle();
    client.close();
  });

  test("is bounded by outboxBytesMax", async () => {
    const { client, server, settle } = fakeWorld({ limits: { outboxBytesMax: 1_000 } });
    server.faults.refuse = () => "hang";
    const { channel } = { channel: client.channel("a") };
    channel.publish("x".repeat(800)).catch(() => {});
    await expect(channel.publish("x".repeat(200))).rejects.toMatchObject({ code: "outbox_full" });
    channel.publish("x").catch(() => {});
    await settle();
    client.close();
  });

  test("goes out without a pipe, and comes back when the server is back", async () => {
    const { client, server, clock, settle } = fakeWorld();
    server.faults.refuse = () => "network";
    const stored = client.channel("a").publish(1);
    await clock.advanceAsync(5_000);
    expect([client.state, server.calls.length > 2, server.calls.length < 12]).toEqual(["idle", true, true]);
    server.faults.refuse = null;
    await clock.advanceAsync(20_000);
    await settle();
    expect(await stored).toMatchObject({ duplicate: false });
    client.close();
    expect(clock.timers).toBe(0);
  });

  test("a POST without an answer is given up and sent again with the same keys", async () => {
    const { client, server, clock } = fakeWorld();
    server.faults.refuse = () => "hang";
    const stored = client.channel("a").publish(1);
    await clock.advanceAsync(29_000);
    expect(server.calls).toHaveLength(1);
    server.faults.refuse = null;
    await clock.advanceAsync(2_000);
    expect(await stored).toMatchObject({ duplicate: false });
    client.close();
  });

  test("a refusal of the whole POST is the answer to each", async () => {
    const { client, server, settle } = fakeWorld();
    server.faults.refuse = () => ({ status: 403, body: { error: { code: "forbidden_origin", message: "not from here" } } });
    const refused = client.channel("a").publish(1);
    refused.catch(() => {});
    await settle();
    await expect(refused).rejects.toMatchObject({ code: "forbidden_origin", message: "not from here" });
    client.close();
  });

  test("what cannot be JSON is refused at once", async () => {
    const { client } = fakeWorld();
    const circle: unknown[] = [];
    circle.push(circle);
    await expect(client.channel("a").publish(circle)).rejects.toThrow(TypeError);
    await expect(client.channel("a").publish(1n)).rejects.toThrow(TypeError);
    client.close();
  });

  test("signals over HTTP go one after the other, and the latest of an event wins", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const { channel } = follow(client, "a");
    await settle();
    for (const data of range(1, 100)) channel.signal("move", data);
    channel.signal("typing", true);
    await settle();
    expect(server.received.map((call) => (call as { body: unknown }).body)).toEqual([1, 100, true]);
    client.close();
  });

  test("a signal over HTTP that cannot be sent, or is not answered in time, is told with a code, and the next one goes", async () => {
    const { client, server, clock, errors, settle } = fakeWorld({ transport: "sse" });
    server.heartbeatSeconds = 600;
    const { channel } = follow(client, "a");
    await settle();
    for (const fault of ["network", "hang"] as const) {
      server.faults.refuse = (_, path) => (path.startsWith("/signals/") ? fault : null);
      channel.signal("move", fault);
      await clock.advanceAsync(29_000);
      server.faults.refuse = null;
      channel.signal("move", `after ${fault}`);
      await clock.advanceAsync(2_000);
    }
    expect(server.received.map((call) => (call as { body: unknown }).body)).toEqual(["after network", "after hang"]);
    server.faults.refuse = () => "hang";
    channel.signal("move", "under way");
    await settle();
    client.close();
    await settle();
    expect(errors).toMatchObject([{ code: "disconnected", cause: expect.any(TypeError) }, { code: "timeout" }]);
    expect(clock.timers).toBe(0);
  });

  test("a request or a page that the network does not carry is refused with a code", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    server.faults.refuse = () => "network";
    const asked = [client.channel("a").request("x"), client.channel("a").history()];
    for (const one of asked) one.catch(() => {});
    await settle();
    for (const one of asked) await expect(one).rejects.toMatchObject({ code: "disconnected", cause: expect.any(TypeError) });
    client.close();
  });
});
