import { describe, expect } from "vitest";
import { WebSocket } from "ws";
import type { ClientReader } from "../support/client-reader.ts";
import { positionOf } from "../support/inbox.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { numbers, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

const CHANNELS = ["a", "b/c", "d"];

describe("Many channels", () => {
  promise(
    "[D1] one pipe carries many channels, each in its own order",
    { needs: ["manyChannels"] },
    async ({ connect, publish, server }) => {
      const reader = await connect({ channels: CHANNELS });
      const sent = [];
      for (const n of numbers(30)) sent.push(...(await publish(1, { channel: CHANNELS[n % 3] ?? "" })));
      const got = await reader.next(30);
      for (const channel of CHANNELS)
        expect(got.filter((one) => one.channel === channel)).toEqual(sent.filter((one) => one.channel === channel));
      expect(server.tl.counts().connections).toBeLessThanOrEqual(1);
    },
  );

  promise("[D2] each channel begins where it is asked to, and resumes where it was", { needs: ["manyChannels"] }, async (stage) => {
    const { connect, publish, transport } = stage;
    const before = [];
    for (const channel of CHANNELS) before.push(...(await publish(2, { channel })));
    const reader = await connect({ channels: CHANNELS, from: "last:1" });
    expect(byChannel(await reader.next(3))).toEqual([before[1], before[3], before[5]]);
    reader.close();
    const missed = [...(await publish(2, { channel: "a" })), ...(await publish(3, { channel: "d" }))];
    const { lastEventId } = reader;
    const again = await connect({ after: reader, ...(transport.powers.resumesByHeader ? { lastEventId } : {}) });
    expect(byChannel(await again.next(5))).toEqual(missed);
  });

  promise(
    "[D2] cut in the middle of many channels, each goes on where it was",
    { needs: ["manyChannels", "comesBack"], on: "one" },
    async (stage) => {
      const { connect, publish, server } = stage;
      const reader = await connect({ channels: CHANNELS });
      const sent = [];
      for (const n of numbers(12)) {
        if (n % 4 === 0) server.cut();
        sent.push(...(await publish(5, { channel: CHANNELS[n % 3] ?? "" })));
      }
      const got = await reader.next(60);
      for (const channel of CHANNELS)
        expect(got.filter((one) => one.channel === channel)).toEqual(sent.filter((one) => one.channel === channel));
    },
  );

  promise(
    "[D2] a channel begun or left in mid-stream costs the others nothing",
    { needs: ["manyChannels", "comesBack"], on: "one" },
    async (stage) => {
      const { connect, publish } = stage;
      const reader = (await connect({ channels: ["a"] })) as ClientReader;
      const before = await publish(3, { channel: "a" });
      const begun = reader.subscribe("b", "start");
      const during = await publish(3, { channel: "a" });
      await begun;
      const after = [...(await publish(3, { channel: "a" })), ...(await publish(3, { channel: "b" }))];
      const got = await reader.next(12);
      expect(got.filter(({ channel }) => channel === "a")).toEqual([...before, ...during, ...after.slice(0, 3)]);
      expect(got.filter(({ channel }) => channel === "b")).toEqual(after.slice(3));
    },
  );

  promise("the same channel named twice is one", { over: "one", on: "one" }, async ({ server, connect }) => {
    await connect({ over: "sse/many", channels: ["a", "b"] });
    expect(server.tl.counts().readers).toBe(2);
    await connect({ over: "sse/frames", channels: ["c", "c"] }).catch(() => undefined);
    expect(server.tl.counts().readers).toBe(3);
  });

  promise("on a WebSocket channels come and go while it is open", { over: "one" }, async ({ server, keep, publish }) => {
    const socket = keep(await new SocketReader({ url: server.url, channels: [{ name: "a", from: "" }] }).open());
    socket.send({ type: "subscribe", channel: "b", id: 7, from: "start" });
    await until("b has begun", () => socket.frames.others.some(({ type, id }) => type === "subscribed" && id === 7));
    const b = await publish(2, { channel: "b" });
    expect(await socket.next(2)).toEqual(b);
    socket.send({ type: "unsubscribe", channel: "a" });
    await until("a is left", () => socket.frames.others.some(({ type, channel }) => type === "unsubscribed" && channel === "a"));
    await publish(2, { channel: "a" });
    const more = await publish(1, { channel: "b" });
    expect(await socket.next(1)).toEqual(more);
    expect(server.tl.counts().readers).toBe(1);
  });

  promise("a channel subscribed again is begun anew", { over: "one" }, async ({ server, keep, publish }) => {
    const socket = keep(await new SocketReader({ url: server.url, channels: [{ name: "a", from: "" }] }).open());
    const sent = await publish(3, { channel: "a" });
    expect(await socket.next(3)).toEqual(sent);
    socket.send({ type: "subscribe", channel: "a", id: 8, from: `after:${sent[0]?.position}` });
    expect(await socket.next(2)).toEqual(sent.slice(1));
    expect(server.tl.counts().readers).toBe(1);
  });

  promise("a subscription says once that it is live, after everything that was stored", { over: "one" }, async ({ publish, connect }) => {
    await publish(400, { channel: "a" });
    const socket = (await connect({ over: "websocket", channels: ["a"], from: "start" })) as SocketReader;
    await until("it is live", () => socket.lives > 0);
    expect(socket.inbox.waiting).toBe(400);
    await publish(5, { channel: "a" });
    await socket.next(405);
    expect(socket.lives).toBe(1);
  });

  promise("a bare WebSocket with its channels in the URL is a reader too", { over: "one" }, async ({ server, publish, keep }) => {
    const sent = [...(await publish(2, { channel: "a" })), ...(await publish(1, { channel: "b/c" }))];
    const got: Record<string, string>[] = [];
    const socket = keep(new WebSocket(`${server.url.replace("http", "ws")}/socket?channel=a&channel=b/c&from=start`));
    socket.on("message", (text: Buffer) => got.push(JSON.parse(text.toString("utf8"))));
    await until("all have come", () => got.filter(({ id }) => id?.includes(".")).length === 3);
    expect(got[0]?.["type"]).toBe("connected");
    const epochs = new Map(got.filter(({ type }) => type === "subscribed").map(({ channel = "", position = "" }) => [channel, position]));
    const messages = got.filter(({ type }) => type === undefined);
    expect(byPosition(messages.map(({ channel = "", id = "" }) => positionOf(epochs.get(channel)?.slice(0, 20) ?? "", id)))).toEqual(
      byPosition(sent.map(({ position }) => position)),
    );
  });
});

function byChannel<T extends { readonly channel: string }>(messages: readonly T[]): T[] {
  return [...messages].sort((one, other) => CHANNELS.indexOf(one.channel) - CHANNELS.indexOf(other.channel));
}

function byPosition(positions: readonly string[]): string[] {
  return [...positions].sort();
}
