import { afterEach, describe, expect, test } from "vitest";
import { fakeWorld, follow, range } from "../../test/support/fake-client.ts";
import type { Transport } from "./options.ts";

const TRANSPORTS: readonly Transport[] = ["sse", "websocket", "long-poll"];

describe("A client that is cut", () => {
  for (const transport of TRANSPORTS) {
    test(`[D2] comes back over ${transport} at its position, again and again`, async () => {
      const { client, server, clock, settle } = fakeWorld({ transport });
      const { story } = follow(client, "a");
      await settle();
      for (let round = 0; round < 20; round++) {
        server.publish("a", round);
        server.cut();
        server.publish("a", round);
        await clock.advanceAsync(20_000);
      }
      await settle();
      expect(story).toEqual(range(1, 40));
      expect(client.counts).toMatchObject({ received: 40, gaps: 0 });
      // A poll that brings something is over before it can be cut
      if (transport !== "long-poll") expect(client.counts.reconnects).toBe(20);
      client.close();
    });
  }

  test("comes back within 300 ms at first", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "sse" });
    const { channel } = follow(client, "a");
    await settle();
    server.cut();
    await settle();
    expect([client.state, client.transport, channel.state]).toEqual(["reconnecting", null, "subscribing"]);
    await clock.advanceAsync(300);
    expect([client.state, channel.state]).toEqual(["connected", "live"]);
    client.close();
  });

  test("does not storm a server that is down, and does not give up", async () => {
    const { client, server, clock } = fakeWorld({ transport: "sse" });
    server.faults.refuse = () => "network";
    follow(client, "a");
    await clock.advanceAsync(600_000);
    expect(server.calls.length).toBeGreaterThan(30);
    expect(server.calls.length).toBeLessThan(120);
    server.faults.refuse = null;
    await clock.advanceAsync(20_000);
    expect(client.state).toBe("connected");
    client.close();
  });

  test("does not storm a server that accepts and cuts", async () => {
    const { client, server, clock } = fakeWorld({ transport: "websocket" });
    follow(client, "a");
    for (let round = 0; round < 6_000; round++) {
      await clock.advanceAsync(100);
      server.cut();
    }
    expect(server.calls.length).toBeLessThan(120);
    client.close();
  });

  test("gives up after retriesMax, and says so", async () => {
    const { client, server, clock, errors } = fakeWorld({ transport: "sse", retriesMax: 3 });
    server.faults.refuse = () => "network";
    const { channel } = follow(client, "a");
    const waiting = client.channel("b").publish(1);
    waiting.catch(() => {});
    await clock.advanceAsync(600_000);
    expect([client.state, channel.state, server.calls.filter((call) => call === "POST /events").length]).toEqual(["failed", "closed", 4]);
    expect(errors.at(-1)).toMatchObject({ code: "retries_exhausted" });
    expect(client.error).toBe(errors.at(-1));
    await expect(waiting).rejects.toMatchObject({ code: "retries_exhausted" });
    await expect(channel.publish(1)).rejects.toMatchObject({ code: "retries_exhausted" });
    expect(clock.timers).toBe(0);
    client.close();
  });

  test("fails at a refusal that cannot change, and comes back when the application asks", async () => {
    const { client, server, clock, settle, errors } = fakeWorld({ transport: "sse" });
    server.faults.refuse = () => ({ status: 401, body: { error: { code: "unauthenticated", message: "no" } } });
    follow(client, "a");
    await clock.advanceAsync(60_000);
    expect([client.state, server.calls.length]).toEqual(["failed", 1]);
    expect(errors).toMatchObject([{ code: "unauthenticated", message: "no" }]);
    server.faults.refuse = null;
    client.switchTo("sse");
    const { story } = follow(client, "a");
    await settle();
    server.publish("a", 1);
    await settle();
    expect([client.state, story]).toEqual(["connected", [1]]);
    client.close();
  });

  test("obeys a goodbye: comes back when it says, or not at all", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    follow(client, "a");
    await settle();
    server.bye("restart", 5_000);
    await clock.advanceAsync(4_999);
    expect(client.state).toBe("reconnecting");
    await clock.advanceAsync(1);
    expect(client.state).toBe("connected");
    server.bye("revoked");
    await clock.advanceAsync(60_000);
    expect([client.state, client.error?.code]).toEqual(["failed", "revoked"]);
    // Not by a POST either
    await expect(client.channel("a").request("x")).rejects.toMatchObject({ code: "revoked" });
  });

  test("obeys Retry-After", async () => {
    const { client, server, clock } = fakeWorld({ transport: "sse" });
    server.faults.refuse = () => ({ status: 503, body: { error: { code: "overloaded", message: "" } }, headers: { "Retry-After": "7" } });
    follow(client, "a");
    await clock.advanceAsync(6_999);
    expect(server.calls).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(server.calls).toHaveLength(2);
    client.close();
  });

  test("[D8] comes back at once with a fresh token when the old one expired (R17)", async () => {
    let made = 0;
    const { client, server, clock, settle } = fakeWorld({ transport: "sse", token: () => `t${++made}` });
    const { story } = follow(client, "a");
    await settle();
    server.bye("expired", 0);
    server.publish("a", 1);
    await clock.advanceAsync(0);
    await settle();
    expect([client.state, story, server.tokens]).toEqual(["connected", [1], ["Bearer t1", "Bearer t2"]]);
    client.close();
  });

  test("a token that cannot be had is an attempt that failed", async () => {
    let broken = true;
    const token = async (): Promise<string> => {
      if (broken) throw new Error("no token today");
      return "t";
    };
    const { client, clock, errors } = fakeWorld({ transport: "websocket", token });
    follow(client, "a");
    await clock.advanceAsync(100);
    expect(errors[0]).toMatchObject({ code: "disconnected", cause: { message: "no token today" } });
    broken = false;
    await clock.advanceAsync(20_000);
    expect(client.state).toBe("connected");
    client.close();
  });

  test("a pipe that says nothing for two heartbeats is dead", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    const { story } = follow(client, "a");
    await settle();
    server.faults.held = true;
    server.publish("a", 1);
    await clock.advanceAsync(29_000);
    expect(client.state).toBe("connected");
    server.faults.held = false;
    await clock.advanceAsync(1_300);
    expect([client.state, story]).toEqual(["connected", [1]]);
    expect(client.counts.reconnects).toBe(1);
    for (let beat = 0; beat < 10; beat++) {
      server.say({ type: "heartbeat" });
      await clock.advanceAsync(20_000);
    }
    expect(client.counts.reconnects).toBe(1);
    client.close();
  });

  test("an attempt without a frame is given up after connectSecondsMax", async () => {
    const { client, server, clock } = fakeWorld({ transport: "sse", limits: { connectSecondsMax: 2 } });
    server.faults.refuse = () => "hang";
    follow(client, "a");
    await clock.advanceAsync(1_900);
    expect(server.calls).toHaveLength(1);
    server.faults.refuse = null;
    await clock.advanceAsync(500);
    expect(client.state).toBe("connected");
    client.close();
  });

  test("asks again from its position where a pipe leaves a hole", async () => {
    for (const transport of ["sse", "websocket"] as const) {
      const { client, server, settle } = fakeWorld({ transport });
      const { story } = follow(client, "a");
      await settle();
      server.publish("a", 1);
      server.faults.held = true;
      server.publish("a", 2);
      for (const pipe of server.pipes) pipe.queue.length = 0;
      server.faults.held = false;
      server.publish("a", 3);
      await settle();
      server.publish("a", 4);
      await settle();
      expect([transport, story]).toEqual([transport, [1, 2, 3, 4]]);
      expect(client.counts.gaps).toBe(0);
      client.close();
    }
  });

  test("does not ask without end a server that always leaves the same hole", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    const { story } = follow(client, "a");
    await settle();
    server.publish("a", 1);
    const broken = () => {
      for (const pipe of server.pipes) pipe.write({ channel: "a", id: "9.xxxxxxx9", at: 1, data: "from nowhere" });
    };
    for (let second = 0; second < 100; second++) {
      broken();
      await clock.advanceAsync(1_000);
    }
    expect(story).toEqual([1]);
    expect(server.received.length).toBeLessThan(150);
    client.close();
  });

  test("a frame that is none cuts the pipe, and nothing else", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    const { story } = follow(client, "a");
    await settle();
    for (const frame of [null, [], 1, { type: "subscribed" }, { type: "gap", channel: "a" }, { channel: "a" }]) {
      for (const pipe of server.pipes) pipe.write(frame as never);
      await clock.advanceAsync(20_000);
    }
    for (const pipe of server.pipes) pipe.write({ type: "from the future", channel: "a" } as never);
    server.publish("a", 1);
    await settle();
    expect([client.state, story]).toEqual(["connected", [1]]);
    client.close();
  });

  test("tells that the log lost its tail, and takes what stands there now", async () => {
    for (const noticed of [true, false]) {
      const { client, server, clock, settle } = fakeWorld({ transport: "sse" });
      const { story, messages } = follow(client, "a");
      await settle();
      for (const data of range(1, 5)) server.publish("a", data);
      await settle();
      server.cut();
      server.lose("a", 3, { noticed });
      for (const data of ["x", "y", "z"]) server.publish("a", data);
      await clock.advanceAsync(300);
      await settle();
      expect(story).toEqual([...range(1, 5), noticed ? "gap:truncated>3" : "gap:truncated>5", ...(noticed ? [4, 5, 6] : [6])]);
      expect(messages.at(-1)?.data).toBe("z");
      client.close();
    }
  });

  test("tells that the log was removed and made anew", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    const { story } = follow(client, "a");
    await settle();
    for (const data of range(1, 3)) server.publish("a", data);
    await settle();
    server.cut();
    server.remove("a");
    server.publish("a", "new");
    await clock.advanceAsync(300);
    await settle();
    expect(story).toEqual([1, 2, 3, "gap:epoch>0", 1]);
    client.close();
  });
});

describe("In a page", () => {
  class Page extends EventTarget {
    listeners = 0;
    override addEventListener(name: string, act: EventListener, options?: AddEventListenerOptions): void {
      this.listeners++;
      options?.signal?.addEventListener("abort", () => this.listeners--);
      super.addEventListener(name, act, options);
    }
    say(name: string, fields: object = {}): void {
      this.dispatchEvent(Object.assign(new Event(name), fields));
    }
  }

  function openPage(): { page: Page; document: Page & { hidden: boolean } } {
    const page = new Page();
    const document = Object.assign(new Page(), { hidden: false });
    Object.assign(globalThis, { addEventListener: page.addEventListener.bind(page), document });
    return { page, document };
  }

  afterEach(() => {
    Reflect.deleteProperty(globalThis, "addEventListener");
    Reflect.deleteProperty(globalThis, "document");
  });

  test("tries again as soon as the network is back", async () => {
    const { page } = openPage();
    const { client, server, clock, settle } = fakeWorld({ transport: "sse" });
    const { story } = follow(client, "a");
    await settle();
    page.say("offline");
    expect(client.state).toBe("offline");
    server.faults.refuse = () => "network";
    server.cut();
    await clock.advanceAsync(5_000);
    expect(client.state).toBe("offline");
    server.publish("a", 1);
    server.faults.refuse = null;
    page.say("online");
    await settle();
    expect([client.state, story]).toEqual(["connected", [1]]);
    client.close();
  });

  test("comes back all the same, if later, where the browser errs and there is a network", async () => {
    const { page } = openPage();
    const { client, server, clock, settle } = fakeWorld({ transport: "sse" });
    const { story } = follow(client, "a");
    await settle();
    page.say("offline");
    server.publish("a", 1);
    await clock.advanceAsync(20_000);
    await settle();
    expect([client.state, story, client.counts.reconnects]).toEqual(["connected", [1], 1]);
    client.close();
  });

  test("has no pipe open in the back/forward cache, and comes back from it at its position", async () => {
    const { page } = openPage();
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    const { story } = follow(client, "a");
    await settle();
    page.say("pagehide", { persisted: true });
    await settle();
    expect([client.state, server.pipes.size, clock.timers]).toEqual(["offline", 0, 1]);
    server.publish("a", 1);
    page.say("pageshow", { persisted: true });
    await settle();
    expect([client.state, story]).toEqual(["connected", [1]]);
    client.close();
  });

  test("asks its socket whether it lives when it is looked at again", async () => {
    const { document } = openPage();
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    follow(client, "a");
    await settle();
    document.say("visibilitychange");
    await settle();
    expect(server.received).toContainEqual({ type: "ping" });
    await clock.advanceAsync(10_000);
    expect(client.counts.reconnects).toBe(0);
    server.faults.held = true;
    document.say("visibilitychange");
    await clock.advanceAsync(5_000);
    server.faults.held = false;
    await clock.advanceAsync(300);
    expect([client.state, client.counts.reconnects]).toEqual(["connected", 1]);
    client.close();
  });

  test("leaves no listener behind", async () => {
    const { page, document } = openPage();
    const abort = new AbortController();
    const { client, settle } = fakeWorld({ transport: "sse", signal: abort.signal });
    expect([page.listeners, document.listeners]).toEqual([0, 0]);
    const { subscription } = follow(client, "a");
    await settle();
    expect([page.listeners, document.listeners]).toEqual([4, 1]);
    subscription.unsubscribe();
    await settle();
    expect([client.state, page.listeners, document.listeners]).toEqual(["idle", 0, 0]);
    follow(client, "a");
    await settle();
    client.close();
    expect([page.listeners, document.listeners]).toEqual([0, 0]);
  });
});
