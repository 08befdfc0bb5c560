import { createServer } from "node:http";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { attach } from "../../src/node.ts";
import { alone, counted, type Host, nodeHost, run, siteOf } from "../adapters/host.ts";
import { EventReader, FrameClient, RawClient } from "../support/raw-clients.ts";
import { until } from "../support/until.ts";

const JSON_TYPE = { "content-type": "application/json" };

async function told(asked: Promise<Response>): Promise<[status: number, code: string]> {
  const response = await asked;
  const text = await response.text();
  return [response.status, response.ok ? "" : JSON.parse(text).error.code];
}

function post(body: unknown): RequestInit {
  return { method: "POST", headers: JSON_TYPE, body: JSON.stringify(body) };
}

/** An array in an array, so many deep. */
function nested(depth: number): unknown {
  return JSON.parse("[".repeat(depth) + "]".repeat(depth));
}

/** What a publish over this WebSocket is answered, as a status and a code. */
async function sent(client: FrameClient, data: unknown): Promise<[status: number, code: string]> {
  client.send({ type: "publish", channel: "a", id: 1, data });
  const answer = await client.next();
  return answer["type"] === "ack" ? [201, ""] : [400, String(answer["code"])];
}

/** The plainest host, and the sockets that it has taken. */
function watched(): { host: Host; sockets: Socket[] } {
  const sockets: Socket[] = [];
  const serve: Host["serve"] = (tl) => {
    const server = createServer();
    server.on("connection", (socket) => sockets.push(socket));
    attach(tl, server);
    return siteOf(server, "");
  };
  return { host: { ...nodeHost, serve }, sockets };
}

describe("Limits of names and sizes", () => {
  test("[D7] channelNameCharsMax: a longer name is bad_channel, each way in", async () => {
    const { ask, socketUrl } = await run(nodeHost, { limits: { channelNameCharsMax: 5 } });
    expect(await told(ask("/channels/abcde", post(1)))).toEqual([201, ""]);
    for (const path of ["/channels/abcdef", "/events?channel=abcdef", "/channels/abcdef?wait=1"])
      expect(await told(ask(path))).toEqual([400, "bad_channel"]);
    expect(await (await ask("/publish", post({ channel: "abcdef", data: 1 }))).json()).toMatchObject([{ error: { code: "bad_channel" } }]);
    await expect(FrameClient.open(socketUrl("/socket?channel=abcdef"))).rejects.toThrow(/^400 .*bad_channel/);
    const client = await FrameClient.open(socketUrl("/socket"));
    for (const type of ["subscribe", "publish", "signal", "request"]) {
      client.send({ type, channel: "abcdef", id: 1, event: "x", name: "x", data: 1 });
      expect([type, await client.next("error")]).toMatchObject([type, { code: "bad_channel" }]);
    }
  });

  test("[D7] eventBytesMax: a longer event is bad_event, each way in", async () => {
    const { ask, socketUrl } = await run(nodeHost, { limits: { eventBytesMax: 4 } });
    expect(await told(ask("/channels/a?event=%C3%A9%C3%A9", post(1)))).toEqual([201, ""]);
    for (const path of ["/channels/a?event=%C3%A9%C3%A9x", "/signals/a?event=abcde"])
      expect(await told(ask(path, post(1)))).toEqual([400, "bad_event"]);
    expect(await (await ask("/publish", post({ channel: "a", event: "abcde", data: 1 }))).json()).toMatchObject([
      { error: { code: "bad_event" } },
    ]);
    const client = await FrameClient.open(socketUrl("/socket"));
    for (const type of ["publish", "signal"]) {
      client.send({ type, channel: "a", id: 1, event: "abcde", data: 1 });
      expect([type, await client.next("error")]).toMatchObject([type, { code: "bad_event" }]);
    }
  });

  test("[D7] keyBytesMax: a longer key is bad_key, each way in", async () => {
    const { ask, socketUrl } = await run(nodeHost, { limits: { keyBytesMax: 4 } });
    const keyed = (key: string) => ask("/channels/a", { ...post(1), headers: { ...JSON_TYPE, "idempotency-key": key } });
    expect(await told(keyed("abcd"))).toEqual([201, ""]);
    expect(await told(keyed("abcde"))).toEqual([400, "bad_key"]);
    expect(await (await ask("/publish", post({ channel: "a", key: "abcde", data: 1 }))).json()).toMatchObject([
      { error: { code: "bad_key" } },
    ]);
    const client = await FrameClient.open(socketUrl("/socket"));
    client.send({ type: "publish", channel: "a", id: 1, key: "abcde", data: 1 });
    expect(await client.next("error")).toMatchObject({ code: "bad_key", id: 1 });
  });

  test("[D7] messageBytesMax: larger data is too_large, each way in, and as much is taken, each way in", async () => {
    const { ask, socketUrl, tl } = await run(nodeHost, { limits: { messageBytesMax: 100 } });
    const client = await FrameClient.open(socketUrl("/socket"));
    for (const [length, status] of [
      [98, 201],
      [99, 413],
    ] as const) {
      const data = "x".repeat(length);
      expect((await ask("/channels/a", post(data))).status).toBe(status);
      const [result] = await (await ask("/publish", post({ channel: "a", data }))).json();
      client.send({ type: "publish", channel: "a", id: length, data });
      const answer = await client.next(status === 201 ? "ack" : "error");
      expect([result.error?.code, answer["code"]]).toEqual(status === 201 ? [undefined, undefined] : ["too_large", "too_large"]);
    }
    expect((await tl.channel("a").history()).messages).toHaveLength(3);
  });

  test("[D7] jsonDepthMax: JSON that nests deeper is bad_json, each way in, and as deep is taken, each way in", async () => {
    const { ask, socketUrl, tl } = await run(nodeHost, { limits: { jsonDepthMax: 4 } });
    tl.handle("a", "echo", ({ data }) => data);
    const client = await FrameClient.open(socketUrl("/socket"));
    await client.next("connected");
    const ways: [own: number, way: (data: unknown) => Promise<[number, string]>][] = [
      [0, (data) => told(ask("/channels/a", post(data)))],
      [0, (data) => told(ask("/signals/a?event=x", post(data)))],
      [0, (data) => told(ask("/requests/a?name=echo", post(data)))],
      [2, (data) => told(ask("/publish", post([{ channel: "a", data }])))],
      [1, (data) => told(ask("/publish", { ...post({ channel: "a", data }), headers: { "content-type": "application/x-ndjson" } }))],
      [3, (data) => told(ask("/events?wait=0", post({ channels: [{ name: "a", unknown: data }] })))],
      [1, async (data) => sent(client, data)],
    ];
    for (const [own, way] of ways) {
      const [allowed] = await way(nested(4 - own));
      expect([way.toString(), allowed < 300]).toEqual([way.toString(), true]);
      expect([way.toString(), ...(await way(nested(5 - own)))]).toEqual([way.toString(), 400, "bad_json"]);
    }
    await expect(tl.channel("a").publish(nested(5))).rejects.toMatchObject({ code: "bad_json" });
    expect((await tl.channel("a").publish(nested(4))).position).toMatch(/\.000/);
  });

  test("[D7] signalBytesMax: larger data is too_large, each way in", async () => {
    const { ask, socketUrl } = await run(nodeHost, { limits: { signalBytesMax: 100 } });
    const client = await FrameClient.open(socketUrl("/socket?channel=a"));
    await client.next("live");
    expect(await told(ask("/signals/a?event=x", post("x".repeat(98))))).toEqual([202, ""]);
    expect(await client.next("signal")).toMatchObject({ event: "x" });
    for (const length of [99, 1_000]) expect(await told(ask("/signals/a?event=x", post("x".repeat(length))))).toEqual([413, "too_large"]);
    client.send({ type: "signal", channel: "a", event: "x", data: "x".repeat(99) });
    expect(await client.next("error")).toMatchObject({ code: "too_large" });
  });

  test("[D7] batchCountMax: more envelopes are too_large, and nothing of them is stored", async () => {
    const { ask, tl } = await run(nodeHost, { limits: { batchCountMax: 2 } });
    const envelope = { channel: "a", data: 1 };
    expect(await told(ask("/publish", post([envelope, envelope, envelope])))).toEqual([413, "too_large"]);
    const lines = { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: `${JSON.stringify(envelope)}\n`.repeat(3) };
    expect(await told(ask("/publish", lines))).toEqual([413, "too_large"]);
    // What stands behind them is not even looked at
    expect(await told(ask("/publish", { ...lines, body: `${lines.body}{` }))).toEqual([413, "too_large"]);
    expect((await tl.channel("a").history()).messages).toEqual([]);
    expect(await told(ask("/publish", post([envelope, envelope])))).toEqual([200, ""]);
  });

  test("[D7] bodyBytesMax: a larger body is too_large, and a larger frame closes its WebSocket with 1009", async () => {
    const { ask, port, socketUrl, tl } = await run(nodeHost, { limits: { bodyBytesMax: 1_000 } });
    const envelope = { channel: "a", data: "x".repeat(1_000) };
    for (const path of ["/publish", "/events"]) expect(await told(ask(path, post(envelope)))).toEqual([413, "too_large"]);
    // One whose length nobody says.
    const raw = await RawClient.open(port);
    raw.ask("POST /publish", "Content-Type: application/json", "Transfer-Encoding: chunked");
    for (let part = 0; part < 100; part++) raw.write(`64\r\n${"x".repeat(100)}\r\n`);
    expect((await raw.answer()).status).toBe(413);
    const client = await FrameClient.open(socketUrl("/socket"));
    client.send({ type: "publish", ...envelope });
    expect(await client.closed).toMatchObject({ code: 1009 });
    expect((await tl.channel("a").history()).messages).toEqual([]);
  });
});

describe("Limits of one connection", () => {
  test("[D7] streamChannelsMax and streamIdBytesMax: more channels on one GET /events are too_many_channels", async () => {
    const { ask } = await run(nodeHost, { limits: { streamChannelsMax: 3, streamIdBytesMax: 100 } });
    const other = await run(nodeHost, { limits: { streamChannelsMax: 2 } });
    const response = await ask("/events?channel=a&channel=b&channel=a");
    expect(response.status).toBe(200);
    await new EventReader(response).close();
    // Three ids of 46 bytes are 140.
    for (const one of [ask, other.ask])
      expect(await told(one("/events?channel=a&channel=b&channel=c"))).toEqual([400, "too_many_channels"]);
  });

  test("[D7] connectionChannelsMax: more channels on a WebSocket or POST /events are too_many_channels, and the others are read on", async () => {
    const { ask, socketUrl, tl } = await run(nodeHost, { limits: { connectionChannelsMax: 2 } });
    const channels = ["a", "b", "c"].map((name) => ({ name }));
    for (const path of ["/events", "/events?wait=1"]) expect(await told(ask(path, post({ channels })))).toEqual([400, "too_many_channels"]);
    const client = await FrameClient.open(socketUrl("/socket?channel=a&channel=b"));
    await client.next("live");
    await client.next("live");
    client.send({ type: "subscribe", channel: "c", id: 1 });
    expect(await client.next("error")).toMatchObject({ code: "too_many_channels", channel: "c", id: 1 });
    client.send({ type: "subscribe", channel: "b", id: 2 });
    expect(await client.next("subscribed")).toBeDefined();
    await tl.channel("a").publish(1);
    expect(await client.next("message")).toMatchObject({ channel: "a" });
  });

  test("[D7] connectionChannelsMax: nor does a WebSocket that names them in its URL get more, however long the gate thinks", async () => {
    const authorize = () => new Promise<boolean>((resolve) => setImmediate(resolve, true));
    const { socketUrl, tl } = await run(nodeHost, { authorize, limits: { connectionChannelsMax: 2 } });
    const client = await FrameClient.open(socketUrl(`/socket?${["a", "b", "c", "d"].map((name) => `channel=${name}`).join("&")}`));
    for (let n = 0; n < 2; n++) expect(await client.next("error")).toMatchObject({ code: "too_many_channels" });
    expect(tl.counts()).toMatchObject({ connections: 1, readers: 2 });
  });

  test("[D7] badFramesMax: one more closes the WebSocket with 4400 after bye", async () => {
    const { socketUrl } = await run(nodeHost, { limits: { badFramesMax: 3 } });
    const client = await FrameClient.open(socketUrl("/socket"));
    for (let n = 0; n < 4; n++) client.send("{");
    for (let n = 0; n < 4; n++) expect(await client.next("error")).toMatchObject({ code: "bad_json" });
    expect(await client.next("bye")).toMatchObject({ code: "bad_frame" });
    expect(await client.closed).toEqual({ code: 4400, reason: "bad_frame" });
  });

  test("[D7] framesPendingMax: behind a slow authorize the socket is no longer read, and then all is done in order", async () => {
    const { host, sockets } = watched();
    let allow = (): void => undefined;
    const allowed = new Promise<boolean>((resolve) => {
      allow = () => resolve(true);
    });
    const { socketUrl, tl } = await run(host, { limits: { framesPendingMax: 2 }, authorize: () => allowed });
    const client = await FrameClient.open(socketUrl("/socket"));
    const padding = "x".repeat(300_000);
    for (let id = 1; id <= 40; id++) client.send({ type: "publish", channel: "a", id, data: { id, padding } });
    await until("the socket is no longer read", () => sockets[0]!.isPaused());
    expect(sockets[0]!.bytesRead).toBeLessThan(10_000_000);
    allow();
    for (let id = 1; id <= 40; id++) expect(await client.next("ack")).toMatchObject({ id });
    const { messages } = await tl.channel("a").history<{ id: number }>();
    expect(messages.slice(0, 2).map(({ data }) => data.id)).toEqual([1, 2]);
  });

  test("[D7] framesPendingMax: nor are more bytes of them than messageBytesMax read on", async () => {
    const { host, sockets } = watched();
    let allow = (): void => undefined;
    const allowed = new Promise<boolean>((resolve) => {
      allow = () => resolve(true);
    });
    const { socketUrl, tl } = await run(host, { authorize: () => allowed, limits: { messageBytesMax: 300_000 } });
    const client = await FrameClient.open(socketUrl("/socket"));
    for (let id = 1; id <= 100; id++) client.send({ type: "publish", channel: "a", id, data: "x".repeat(200_000) });
    await until("the socket is no longer read", () => sockets[0]!.isPaused());
    expect(sockets[0]!.bytesRead).toBeLessThan(1_500_000);
    allow();
    for (let id = 1; id <= 100; id++) expect(await client.next("ack")).toMatchObject({ id });
    expect((await tl.channel("a").history()).upToDate).toBe(false);
  });

  test("[D7] requestsPendingMax: one more request is too_many_requests, until one is answered", async () => {
    const { socketUrl, tl } = await run(nodeHost, { limits: { requestsPendingMax: 2 } });
    const answers: (() => void)[] = [];
    tl.handle("a", "wait", () => new Promise((resolve) => answers.push(() => resolve("done"))));
    const client = await FrameClient.open(socketUrl("/socket"));
    const request = (id: number) => client.send({ type: "request", channel: "a", name: "wait", id, data: null });
    for (const id of [1, 2, 3]) request(id);
    expect(await client.next("error")).toMatchObject({ code: "too_many_requests", id: 3 });
    answers[0]!();
    expect(await client.next("response")).toMatchObject({ id: 1, data: "done" });
    request(4);
    await until("the fourth is asked", () => answers.length === 3);
    for (const answer of answers) answer();
    expect([(await client.next("response"))["id"], (await client.next("response"))["id"]]).toEqual([2, 4]);
  });

  test("[D7] requestSecondsMax: a request without an answer fails with request_timeout, each way in", async () => {
    const { ask, socketUrl, tl } = await run(nodeHost, { limits: { requestSecondsMax: 0.05 } });
    tl.handle("a", "never", () => new Promise(() => undefined));
    expect(await told(ask("/requests/a?name=never", post(1)))).toEqual([504, "request_timeout"]);
    const client = await FrameClient.open(socketUrl("/socket"));
    client.send({ type: "request", channel: "a", name: "never", id: 1, data: null });
    expect(await client.next("error")).toMatchObject({ code: "request_timeout", id: 1 });
  });

  test("[D7] [D8] gateSecondsMax: an authenticate or authorize without an answer is overloaded, and never a yes", async () => {
    const never = () => new Promise<never>(() => undefined);
    for (const hook of [{ authenticate: never }, { authorize: never }]) {
      const { ask, socketUrl, tl } = await run(nodeHost, { ...hook, limits: { gateSecondsMax: 0.05 } });
      for (const path of ["/channels/a", "/channels/a?wait=0"]) expect(await told(ask(path))).toEqual([503, "overloaded"]);
      expect(await told(ask("/channels/a", post(1)))).toEqual([503, "overloaded"]);
      if ("authenticate" in hook) await expect(FrameClient.open(socketUrl("/socket"))).rejects.toThrow(/^503 .*overloaded/);
      else expect(await (await FrameClient.open(socketUrl("/socket?channel=a"))).next("error")).toMatchObject({ code: "overloaded" });
      expect((await tl.channel("a").history()).messages).toEqual([]);
    }
  });
});

describe("Limits of delivery", () => {
  test("[D7] stalledSecondsMax: a client that takes nothing of an answer is cut", async () => {
    const { host, sockets } = watched();
    const { port, tl } = await run(host, { limits: { stalledSecondsMax: 0.1, pageBytesMax: 1e9 } });
    // More than the kernel takes for either end
    for (let n = 0; n < 15; n++) await tl.channel("a").publish("x".repeat(1_000_000));
    const client = await RawClient.open(port);
    client.socket.pause();
    client.ask("GET /channels/a", "Accept: application/json");
    await until("it is answered", () => (sockets[0]?.writableLength ?? 0) > 0);
    await until("it is cut", () => sockets[0]!.destroyed);
  });

  test("[D7] waitSecondsMax: a longer wait is cut to it", async () => {
    const { ask, tl } = await run(nodeHost, { limits: { waitSecondsMax: 0.05 } });
    expect(await (await ask("/channels/a?wait=9999")).json()).toMatchObject({ messages: [] });
    const { frames } = await (await ask("/events?wait=9999", post({ channels: [{ name: "a" }] }))).json();
    expect(frames).toContainEqual(expect.objectContaining({ type: "subscribed", channel: "a" }));
    await alone(tl);
  });

  test("[D7] pageCountMax: a larger page of history is cut to it", async () => {
    const { ask, tl } = await run(nodeHost, { limits: { pageCountMax: 2 } });
    for (const n of [1, 2, 3]) await tl.channel("a").publish(n);
    const page = await (await ask("/channels/a?limit=1000", { headers: { accept: "application/json" } })).json();
    expect(page).toMatchObject({ messages: [{ data: 1 }, { data: 2 }], upToDate: false });
  });

  test("[D7] pageBytesMax: a page of history has that many bytes, or one message", async () => {
    const { ask, tl } = await run(nodeHost, { limits: { pageBytesMax: 100 } });
    for (const length of [30, 30, 300, 30]) await tl.channel("a").publish("x".repeat(length));
    const lengths: number[][] = [];
    for (let from = "start", upToDate = false; !upToDate; ) {
      const page = await (await ask(`/channels/a?from=${from}`, { headers: { accept: "application/json" } })).json();
      lengths.push(page.messages.map(({ data }: { data: string }) => data.length));
      from = `after:${page.position}`;
      upToDate = page.upToDate;
    }
    expect(lengths).toEqual([[30, 30], [300], [30]]);
  });

  test("[D7] connectionsMax: one more connection is overloaded on each transport, and those that are there read on", async () => {
    const { ask, socketUrl, tl } = await run(nodeHost, { limits: { connectionsMax: 1 } });
    const reader = new EventReader(await ask("/channels/a"));
    await counted(tl, 1);
    for (const [path, init] of [
      ["/channels/a?wait=5", {}],
      ["/events?wait=5", post({ channels: [{ name: "a" }] })],
    ] as const) {
      const response = await ask(path, init);
      expect([path, response.status, response.headers.get("retry-after")]).toEqual([path, 503, "5"]);
    }
    await expect(FrameClient.open(socketUrl("/socket"))).rejects.toThrow(/^503 .*overloaded/);
    for (const path of ["/channels/a", "/events?channel=a"]) {
      expect(await new EventReader(await ask(path)).next()).toMatchObject({ event: "bye", data: expect.stringContaining("overloaded") });
    }
    await tl.channel("a").publish(1);
    expect(await reader.take(1)).toEqual(["1"]);
  });
});
