import { describe, expect } from "vitest";
import type { ClientReader } from "../support/client-reader.ts";
import { PUBLISHERS } from "../support/publishers.ts";
import { pack, SocketReader } from "../support/raw-socket.ts";
import { LOBBY, numbers, offsets, promise, type Stage } from "../support/story.ts";
import { transportNamed } from "../support/transports.ts";
import { until } from "../support/until.ts";

const ONCE = { over: "one", on: "one" } as const;

function socketOf({ server, keep }: Stage, channels: string[] = []): Promise<SocketReader> {
  return keep(new SocketReader({ url: server.url, channels: channels.map((name) => ({ name, from: "" })) })).open();
}

describe("Limits", () => {
  describe("of names and sizes", () => {
    const bad = [
      {
        limit: "channelNameCharsMax",
        limits: { channelNameCharsMax: 10 },
        envelope: { channel: "abcdefghijk", data: 1 },
        code: "bad_channel",
      },
      { limit: "eventBytesMax", limits: { eventBytesMax: 4 }, envelope: { channel: "a", event: "üüü", data: 1 }, code: "bad_event" },
      { limit: "keyBytesMax", limits: { keyBytesMax: 4 }, envelope: { channel: "a", data: 1, key: "12345" }, code: "bad_key" },
      { limit: "messageBytesMax", limits: { messageBytesMax: 50 }, envelope: { channel: "a", data: "x".repeat(200) }, code: "too_large" },
    ] as const;
    for (const { limit, limits, envelope, code } of bad) {
      promise(
        `[D7] beyond ${limit} a publish is refused with ${code}, by each way to publish, and nothing is stored`,
        { ...ONCE, limits },
        async (stage) => {
          const { server, keep } = stage;
          for (const publisher of PUBLISHERS) {
            const opened = keep(await publisher.open(server.url));
            await expect(opened.publish(envelope), publisher.name).rejects.toMatchObject({ code });
            await opened.publish({ channel: "a", event: "e", data: 1, key: "k" });
          }
          expect((await server.tl.channel("a").history()).messages).toHaveLength(1);
        },
      );
    }

    for (const [event, why] of [
      ...["connected", "gap", "bye", "error", "open", "$mine"].map((one) => [one, "reserved"]),
      ["a\nb", "not text"],
    ]) {
      promise(`the event ${JSON.stringify(event)}, which is ${why}, is refused with bad_event`, ONCE, async ({ server, keep }) => {
        for (const publisher of PUBLISHERS) {
          const opened = keep(await publisher.open(server.url));
          await expect(opened.publish({ channel: "a", event: event ?? "", data: 1 }), publisher.name).rejects.toMatchObject({
            code: "bad_event",
          });
        }
      });
    }

    for (const publisher of PUBLISHERS) {
      promise(
        `messageBytesMax is exact, by ${publisher.name}: so many bytes are taken, and not one more`,
        { ...ONCE, limits: { messageBytesMax: 100 } },
        async (stage) => {
          const opened = stage.keep(await publisher.open(stage.server.url));
          // Two bytes are the quotes of its JSON
          await opened.publish({ channel: "a", data: "x".repeat(98) });
          await expect(opened.publish({ channel: "a", data: "x".repeat(99) })).rejects.toMatchObject({ code: "too_large" });
          await expect(opened.publish({ channel: "a", data: "ü".repeat(50) })).rejects.toMatchObject({ code: "too_large" });
        },
      );
    }

    promise("a message as large as may be passes over every transport", { on: "one" }, async ({ connect, ask }) => {
      const reader = await connect();
      const text = `${"ü".repeat(500_000)}${"x".repeat(48_576)}`;
      expect((await ask(`/channels/${LOBBY}`, { method: "POST", headers: { "content-type": "text/plain" }, body: text })).status).toBe(201);
      expect((await reader.next(1))[0]?.data === text).toBe(true);
    });

    promise("[D7] beyond signalBytesMax a signal is refused with too_large", { ...ONCE, limits: { signalBytesMax: 50 } }, async (stage) => {
      const data = "x".repeat(60);
      const answer = await stage.ask("/signals/a?event=e", { method: "POST", body: JSON.stringify(data) });
      expect([answer.status, answer.json.error.code]).toEqual([413, "too_large"]);
      const told = (await socketOf(stage)).tell({ type: "signal", channel: "a", event: "e", data });
      await expect(told).rejects.toMatchObject({ code: "too_large" });
      expect(() => stage.server.tl.channel("a").signal("e", data)).toThrow("bytes");
    });

    promise(
      "[D7] a batch of more than batchCountMax envelopes is refused whole",
      { ...ONCE, limits: { batchCountMax: 3 } },
      async ({ ask, server }) => {
        const body = numbers(4).map((data) => ({ channel: "a", data }));
        expect((await ask("/publish", { method: "POST", body })).json.error.code).toBe("too_large");
        expect((await server.tl.channel("a").history()).messages).toHaveLength(0);
        expect((await ask("/publish", { method: "POST", body: body.slice(1) })).status).toBe(200);
      },
    );

    promise(
      "[D7] a body beyond bodyBytesMax is refused whole, and a frame closes its socket with 1009",
      { ...ONCE, limits: { bodyBytesMax: 2_000 } },
      async (stage) => {
        const data = "x".repeat(3_000);
        expect((await stage.ask("/publish", { method: "POST", body: [{ channel: "a", data }] })).json.error.code).toBe("too_large");
        const socket = await socketOf(stage);
        socket.send({ type: "publish", channel: "a", data });
        await socket.ended();
        expect(socket.closeCode).toBe(1009);
        expect((await stage.server.tl.channel("a").history()).messages).toHaveLength(0);
      },
    );
  });

  describe("of one connection", () => {
    const streams = [
      { limits: { streamChannelsMax: 2 }, name: "streamChannelsMax" },
      { limits: { streamIdBytesMax: 3 * 47 - 2 }, name: "streamIdBytesMax" },
    ];
    for (const { limits, name } of streams) {
      promise(`[D7] an event stream of more channels than ${name} allows is refused`, { ...ONCE, limits }, async ({ ask, connect }) => {
        const { status, json } = await ask("/events?channel=a&channel=b&channel=c");
        expect([status, json.error.code]).toEqual([400, "too_many_channels"]);
        await connect({ over: "sse/many", channels: ["a", "b"] });
      });
    }

    promise(
      "[D7] beyond connectionChannelsMax a connection takes no further channel, and keeps those it has",
      { ...ONCE, limits: { connectionChannelsMax: 2 } },
      async (stage) => {
        const { ask, publish } = stage;
        const three = { channels: numbers(3).map((n) => ({ name: `c${n}` })) };
        expect((await ask("/events", { method: "POST", body: three })).json.error.code).toBe("too_many_channels");
        const socket = await socketOf(stage, ["a", "b"]);
        await expect(socket.ask({ type: "subscribe", channel: "c" })).rejects.toMatchObject({ code: "too_many_channels" });
        const sent = await publish(1, { channel: "b" });
        expect(await socket.next(1)).toEqual(sent);
      },
    );

    promise(
      "[D7] after badFramesMax frames that cannot be read the next one closes the socket with 4400",
      { ...ONCE, limits: { badFramesMax: 4 } },
      async (stage) => {
        const socket = await socketOf(stage);
        const bad = ["{", '{"type":"nothing"}', '{"type":"publish"}', pack({ type: "publish" }, new Uint8Array(3))];
        for (const frame of bad) socket.send(frame);
        await until("each is answered", () => socket.frames.others.filter(({ type }) => type === "error").length === 4);
        expect(socket.frames.others.slice(1).map(({ code }) => code)).toEqual(["bad_json", "bad_frame", "bad_frame", "bad_frame"]);
        await socket.tell({ type: "ping" });
        socket.send("[]");
        expect((await socket.ended()).code).toBe("bad_frame");
        await until("it is closed", () => socket.closeCode !== 0);
        expect(socket.closeCode).toBe(4400);
      },
    );

    promise(
      "[D7] beyond requestsPendingMax a request is refused until another is answered",
      { ...ONCE, limits: { requestsPendingMax: 2 } },
      async (stage) => {
        const answers: (() => void)[] = [];
        stage.server.tl.handle("a", "wait", () => new Promise<void>((resolve) => answers.push(resolve)));
        const socket = await socketOf(stage);
        const request = () => socket.ask({ type: "request", channel: "a", name: "wait", data: 1 });
        const waiting = [request(), request()];
        await expect(request()).rejects.toMatchObject({ code: "too_many_requests" });
        for (const answer of answers) answer();
        await Promise.all(waiting);
        const again = request();
        await until("it is asked", () => answers.length === 3);
        answers[2]?.();
        await again;
      },
    );

    promise(
      "[D7] a request that is not answered within requestSecondsMax fails",
      { ...ONCE, limits: { requestSecondsMax: 0.2 } },
      async (stage) => {
        stage.server.tl.handle("a", "wait", () => new Promise(() => undefined));
        const { status, json } = await stage.ask("/requests/a?name=wait", { method: "POST", body: 1 });
        expect([status, json.error.code]).toEqual([504, "request_timeout"]);
        const asked = (await socketOf(stage)).ask({ type: "request", channel: "a", name: "wait", data: 1 });
        await expect(asked).rejects.toMatchObject({ code: "request_timeout" });
      },
    );

    const silent = { authorize: () => new Promise<boolean>(() => undefined), limits: { gateSecondsMax: 0.2 } };
    promise(
      "[D7] an authorize that does not answer within gateSecondsMax is a no for now",
      { ...silent, needs: ["toldWhy"], on: "one" },
      async (stage) => {
        await expect(stage.connect()).rejects.toMatchObject({ code: "overloaded" });
      },
    );

    const waits = new Map<string, () => void>();
    const slowly = {
      authorize: ({ channel }: { channel: string }) =>
        channel !== "slow" || new Promise<boolean>((resolve) => waits.set("slow", () => resolve(true))),
    };
    promise(
      "[D7] beyond framesPendingMax a socket is not read while an authorize takes its time, and nothing is lost",
      { ...ONCE, ...slowly, limits: { framesPendingMax: 5 } },
      async (stage) => {
        const socket = await socketOf(stage);
        const slow = socket.ask({ type: "publish", channel: "slow", data: 0 });
        const acks = numbers(100).map((n) => socket.ask({ type: "publish", channel: "a", data: n }));
        await until("the slow one is asked", () => waits.has("slow"));
        expect((await stage.server.tl.channel("a").history()).messages).toHaveLength(0);
        waits.get("slow")?.();
        await slow;
        expect(offsets((await Promise.all(acks)) as { position: string }[] as never)).toEqual(numbers(100));
      },
    );
  });

  describe("of delivery", () => {
    promise(
      "each idle connection shows every heartbeatSeconds that it lives",
      { needs: ["heartbeats"], on: "one", limits: { heartbeatSeconds: 0.1 } },
      async ({ connect }) => {
        const reader = await connect();
        await until("three heartbeats have come", () => reader.heartbeats >= 3);
        expect(reader.inbox.ending).toBe(null);
      },
    );

    promise(
      "a message does not take the place of a heartbeat, so that no silence is longer than heartbeatSeconds",
      { needs: ["heartbeats"], on: "one", limits: { heartbeatSeconds: 0.4 } },
      async ({ connect, publish }) => {
        const [reader, clock] = [await connect(), await connect({ channels: ["quiet"] })];
        const beat = async (): Promise<void> => {
          const { heartbeats } = clock;
          await until("a heartbeat has come where nothing else does", () => clock.heartbeats > heartbeats);
        };
        await beat();
        const { heartbeats } = reader;
        for (const _ of numbers(3)) {
          await publish(1);
          await beat();
        }
        expect(reader.heartbeats).toBeGreaterThan(heartbeats);
      },
    );

    promise(
      "[D7] a client that has heard nothing for two heartbeats opens a new pipe",
      { needs: ["comesBack", "stays"], on: "one", limits: { heartbeatSeconds: 0.3 }, atOnce: true },
      async ({ connect, publish, server }) => {
        const reader = (await connect()) as ClientReader;
        server.freeze();
        await until("it has opened another", () => reader.client.counts.reconnects > 0);
        const sent = await publish(2);
        expect(await reader.next(2)).toEqual(sent);
      },
    );

    promise(
      "[D7] a WebSocket whose client has vanished without a word is given up after two heartbeats",
      { ...ONCE, limits: { heartbeatSeconds: 0.1, stalledSecondsMax: 30 } },
      async (stage) => {
        const socket = await socketOf(stage, ["a"]);
        socket.pause();
        await until("it is given up", () => stage.server.tl.counts().connections === 0);
      },
    );

    promise("[D7] a long-poll waits no longer than waitSecondsMax", { ...ONCE, limits: { waitSecondsMax: 0.3 } }, async ({ ask }) => {
      const began = performance.now();
      const [page, frames] = await Promise.all([
        ask(`/channels/${LOBBY}?wait=60`),
        ask("/events?wait=60", { method: "POST", body: { channels: [{ name: LOBBY }] } }),
      ]);
      expect(performance.now() - began).toBeLessThan(5_000);
      expect([page.json.messages, page.json.upToDate]).toEqual([[], true]);
      expect(frames.json.frames).toContainEqual({ type: "subscribed", channel: LOBBY, position: page.json.position });
    });

    promise(
      "[D7] beyond connectionsMax a reader is told to come back later",
      { needs: ["toldWhy"], on: "one", limits: { connectionsMax: 2 } },
      async ({ connect, server }) => {
        const [one] = [await connect({ over: "sse" }), await connect({ over: "websocket" })];
        const refused = await connect().catch((error) => error);
        expect([refused.code, refused.retryAfterMs > 0]).toEqual(["overloaded", true]);
        expect(server.tl.counts().connections).toBe(2);
        one.close();
        await until("there is room", () => server.tl.counts().connections === 1);
        await connect();
      },
    );

    promise(
      "a stream beyond connectionsMax is answered 200, since EventSource never comes back after another status",
      { ...ONCE, limits: { connectionsMax: 1 } },
      async ({ connect, ask }) => {
        await connect();
        const { status, headers, text } = await ask(`/channels/${LOBBY}`);
        expect([status, headers["content-type"]]).toEqual([200, "text/event-stream"]);
        expect(text).toMatch(/^retry: \d+\nevent: bye\ndata: \{"type":"bye","code":"overloaded",.*\}\n\n$/);
      },
    );

    promise(
      "[D7] waiting long-polls count as connections",
      { needs: ["polls", "toldWhy"], on: "one", limits: { connectionsMax: 1 } },
      async ({ connect, server }) => {
        await connect();
        await until("it waits", () => server.tl.counts().byTransport["long-poll"] === 1);
        await expect(connect({ over: "websocket" })).rejects.toMatchObject({ code: "overloaded", status: 503 });
      },
    );

    promise(
      "[D10] a client that is shed comes back when there is room",
      { needs: ["comesBack"], on: "one", limits: { connectionsMax: 1 }, atOnce: true },
      async ({ connect, publish }) => {
        const first = await connect({ over: "sse" });
        const shed = connect();
        first.close();
        const reader = await shed;
        const sent = await publish(1);
        expect(await reader.next(1)).toEqual(sent);
      },
    );

    promise(
      "[D7] a page of history has at most pageCountMax messages and pageBytesMax bytes, and at least one",
      { ...ONCE, limits: { pageCountMax: 5, pageBytesMax: 2_000 } },
      async ({ publish, ask }) => {
        await publish(20);
        await publish(3, { channel: "large", size: 900 });
        await publish(2, { channel: "huge", size: 5_000 });
        const count = async (channel: string) =>
          (await ask(`/channels/${channel}?limit=1000`, { headers: { accept: "application/json" } })).json.messages.length;
        expect([await count(LOBBY), await count("large"), await count("huge")]).toEqual([5, 2, 1]);
      },
    );

    promise(
      "[D7] of signalsPendingMax signals and more the latest arrive",
      { ...ONCE, limits: { signalsPendingMax: 3 } },
      async ({ connect, server }) => {
        const reader = await connect();
        for (const n of numbers(9)) server.tl.channel(LOBBY).signal(`e${n}`, n);
        expect([(await reader.signal()).data, (await reader.signal()).data, (await reader.signal()).data]).toEqual([7, 8, 9]);
      },
    );
  });

  promise("[D7] a client holds at most outboxCountMax publishes, and refuses the next", ONCE, async ({ server, keep }) => {
    const { connect } = await import("../../src/client.ts");
    await server.stop();
    const client = keep(connect(server.url, { limits: { outboxCountMax: 3, outboxBytesMax: 1_000 } }));
    client.on("error", () => undefined);
    const waiting = numbers(3).map((n) =>
      client
        .channel("a")
        .publish(n)
        .catch((error) => error.code),
    );
    await expect(client.channel("a").publish(4)).rejects.toMatchObject({ code: "outbox_full" });
    client.close();
    expect(await Promise.all(waiting)).toEqual(["closed", "closed", "closed"]);
  });

  promise("a limit that does not exist, or is no number above 0, is refused when the server is made", ONCE, async () => {
    const { throughline } = await import("../../src/index.ts");
    expect(() => throughline({ limits: { sinkBytesMax: 0 } })).toThrow(RangeError);
    expect(() => throughline({ limits: { unknownMax: 1 } as never })).toThrow(RangeError);
    expect(transportNamed("sse").name).toBe("sse");
  });
});
