import { describe, expect, test } from "vitest";
import { fakeWorld, follow, range } from "../../test/support/fake-client.ts";
import type { Transport } from "./options.ts";

const TRANSPORTS: readonly Transport[] = ["sse", "websocket", "long-poll"];

describe("A switch in mid-stream", () => {
  for (const from of TRANSPORTS) {
    for (const to of TRANSPORTS) {
      if (from === to) continue;
      test(`[D6] from ${from} to ${to} loses nothing and repeats nothing`, async () => {
        const { client, server, settle } = fakeWorld({ transport: from });
        const a = follow(client, "a");
        const b = follow(client, "b", { from: "start" });
        await settle();
        let published = 0;
        for (const transport of [to, from, to]) {
          for (const _ of range(1, 3)) server.publish("a", ++published);
          client.switchTo(transport);
          for (const _ of range(1, 3)) server.publish("a", ++published);
          server.publish("b", published);
          await settle();
          server.publish("a", ++published);
          await settle();
          expect([client.transport, client.state]).toEqual([transport, "connected"]);
        }
        expect(a.story).toEqual(range(1, published));
        expect(b.story).toEqual([1, 2, 3]);
        expect(server.pipes.size).toBe(1);
        expect(client.counts).toMatchObject({ received: published + 3, gaps: 0, switches: 3, reconnects: 0 });
        client.close();
      });
    }
  }

  test("[D6] the old pipe runs on until the new one has all channels and has come as far (R5)", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const a = follow(client, "a");
    const b = follow(client, "b");
    await settle();
    for (const data of range(1, 5)) server.publish("a", data);
    await settle();
    server.faults.held = true;
    client.switchTo("websocket");
    await settle();
    // The old one goes on alone
    for (const data of range(6, 8)) server.publish("a", data);
    server.flow(Number.POSITIVE_INFINITY, 0);
    await settle();
    expect([client.transport, a.story]).toEqual(["sse", range(1, 8)]);
    // Connected, subscribed a, live a; but not b
    server.flow(3, 1);
    await settle();
    expect([client.transport, client.state, server.pipes.size]).toEqual(["sse", "connected", 2]);
    server.flow(Number.POSITIVE_INFINITY, 1);
    await settle();
    expect([client.transport, server.pipes.size]).toEqual(["websocket", 1]);
    server.faults.held = false;
    server.publish("a", 9);
    server.publish("b", 1);
    expect([a.story, b.story]).toEqual([range(1, 9), [1]]);
    expect(client.counts.duplicates).toBe(3);
    client.close();
  });

  test("[D6] a failed upgrade leaves the old pipe untouched, and the wish is pursued with patience", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "sse" });
    const states: string[] = [];
    const { story } = follow(client, "a");
    await settle();
    client.on("state", (state) => states.push(state));
    server.faults.noWebSocket = true;
    client.switchTo("websocket");
    await settle();
    server.publish("a", 1);
    await settle();
    expect([client.transport, story, states, server.pipes.size]).toEqual(["sse", [1], [], 1]);
    for (let beat = 0; beat < 6; beat++) {
      await clock.advanceAsync(10_000);
      server.say({ type: "heartbeat" });
    }
    expect(server.calls.filter((call) => call === "GET /socket").length).toBeLessThan(25);
    expect([client.transport, states]).toEqual(["sse", []]);
    server.faults.noWebSocket = false;
    await clock.advanceAsync(20_000);
    await settle();
    server.publish("a", 2);
    expect([client.transport, story, states]).toEqual(["websocket", [1, 2], []]);
    client.close();
  });

  test("a new pipe that is cut before it has proven itself costs nothing", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const { story } = follow(client, "a");
    await settle();
    server.faults.held = true;
    client.switchTo("websocket");
    await settle();
    server.flow(1, 1);
    server.cut("websocket");
    server.faults.held = false;
    await settle();
    server.publish("a", 1);
    await settle();
    expect([client.transport, client.state, story]).toEqual(["sse", "connected", [1]]);
    client.close();
  });

  test("the old pipe may be cut while the new one proves itself", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const { story } = follow(client, "a");
    await settle();
    server.publish("a", 1);
    await settle();
    server.faults.held = true;
    client.switchTo("websocket");
    await settle();
    server.cut("sse");
    await settle();
    expect(client.state).toBe("reconnecting");
    server.publish("a", 2);
    server.flow();
    server.faults.held = false;
    await settle();
    expect([client.transport, client.state, story, client.counts.reconnects]).toEqual(["websocket", "connected", [1, 2], 1]);
    client.close();
  });

  test("publishes that wait for their answers on the old pipe are stored once", async () => {
    const { client, server, settle } = fakeWorld({ transport: "websocket" });
    const { channel, story } = follow(client, "a");
    await settle();
    server.faults.held = true;
    const publishes = range(1, 5).map((data) => channel.publish(data));
    await settle();
    client.switchTo("sse");
    server.faults.held = false;
    await settle();
    const answers = await Promise.all(publishes);
    expect(answers.map(({ position }) => Number(position.slice(21, 37)))).toEqual(range(1, 5));
    expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual(range(1, 5));
    expect(story).toEqual(range(1, 5));
    client.close();
  });

  test("signals are told once while two pipes overlap", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const told: unknown[] = [];
    client.channel("a").on("signal", ({ data }) => told.push(data));
    await settle();
    server.faults.held = true;
    client.switchTo("websocket");
    await settle();
    server.say({ type: "signal", channel: "a", event: "typing", data: 1, sender: "~1" });
    server.flow(1, 0);
    server.flow(1, 1);
    server.flow(1, 0);
    await settle();
    expect(told).toEqual([1]);
    client.close();
  });
});

describe("A client that chooses", () => {
  test("starts on SSE, and moves up to WebSocket when the application talks back", async () => {
    const { client, server, settle } = fakeWorld();
    const { channel, story } = follow(client, "a");
    const transports: unknown[] = [];
    client.on("transport", (transport) => transports.push(transport));
    await settle();
    expect([client.transport, client.reason]).toEqual(["sse", "SSE is enough"]);
    void channel.publish(1);
    await settle();
    expect(client.transport).toBe("sse");
    channel.signal("typing");
    await settle();
    server.publish("a", 2);
    expect([client.transport, client.reason, transports]).toEqual(["websocket", "the app talks back", ["sse", "websocket"]]);
    expect(story).toEqual([1, 2]);
    client.close();
  });

  test("stays on SSE where WebSocket does not get through, and does not try without end", async () => {
    const { client, server, clock, settle } = fakeWorld();
    server.faults.noWebSocket = true;
    const { channel } = follow(client, "a");
    await settle();
    for (let second = 0; second < 300; second++) {
      void channel.publish(second);
      await clock.advanceAsync(1_000);
    }
    expect([client.transport, client.state, client.reason]).toEqual(["sse", "connected", "WebSocket is blocked"]);
    expect(server.calls.filter((call) => call === "GET /socket")).toHaveLength(3);
    client.close();
  });

  test("falls back from a WebSocket that is cut and does not come back", async () => {
    const { client, server, clock, settle } = fakeWorld();
    const { channel, story } = follow(client, "a");
    channel.signal("typing");
    await settle();
    expect(client.transport).toBe("websocket");
    server.faults.noWebSocket = true;
    server.cut();
    server.publish("a", 1);
    await clock.advanceAsync(2_000);
    expect([client.transport, story]).toEqual(["sse", [1]]);
    client.close();
  });

  test("takes to long-polling where something on the way holds events back", async () => {
    const { client, server, clock, settle } = fakeWorld();
    server.faults.buffered = true;
    const { story } = follow(client, "a");
    await settle();
    server.publish("a", 1);
    await clock.advanceAsync(11_000);
    server.publish("a", 2);
    await settle();
    expect([client.transport, client.state, client.reason]).toEqual(["long-poll", "connected", "events are held back"]);
    // From "now", and now is when the first pipe that told it was opened
    expect(story).toEqual([2]);
    client.close();
  });

  test("publishes without a pipe, and opens a WebSocket once that is a conversation", async () => {
    const { client, server, settle } = fakeWorld();
    const channel = client.channel("a");
    await Promise.all([channel.publish(1), settle()]);
    expect([client.state, server.calls]).toEqual(["idle", ["POST /publish"]]);
    await Promise.all([channel.publish(2), channel.publish(3), channel.publish(4), settle()]);
    expect([client.state, client.transport]).toEqual(["connected", "websocket"]);
    expect(server.logs.get("a")?.entries.map(({ data }) => data)).toEqual([1, 2, 3, 4]);
    client.close();
  });
});
