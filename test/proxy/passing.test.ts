import { connect as connectHttp2 } from "node:http2";
import { createParser } from "eventsource-parser";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClientReader } from "../support/client-reader.ts";
import { ask, type Call, demand } from "../support/http.ts";
import { PlainReader } from "../support/raw-sse.ts";
import { numbers, offsets } from "../support/story.ts";
import { TRANSPORTS } from "../support/transports.ts";
import { until } from "../support/until.ts";
import { type Behind, behind } from "./behind.ts";
import { PROXIES } from "./proxies.ts";

const JSON_PAGE = { headers: { accept: "application/json" } };
const MESSAGE_BYTES_MAX = 400_000;

/** What is asked by every proxy and without one; the answers must be the same. */
const CALLS: readonly { readonly path: string; readonly call?: Call; readonly status: number }[] = [
  { path: "/channels/answers?limit=2", call: JSON_PAGE, status: 200 },
  { path: "/channels/answers?wait=0&from=start", status: 200 },
  { path: "/none", status: 404 },
  { path: "/channels/answers", call: { method: "PUT", body: "x" }, status: 405 },
  { path: "/channels/answers", call: { method: "POST", body: "x".repeat(MESSAGE_BYTES_MAX + 1) }, status: 413 },
  { path: "/channels/answers", call: { method: "POST", body: "{", headers: { "content-type": "application/json" } }, status: 400 },
  { path: "/channels/answers?from=never", call: JSON_PAGE, status: 400 },
  { path: "/socket", status: 426 },
];

describe.each(PROXIES)("Behind $name", (proxy) => {
  let stage: Behind;
  beforeAll(async () => {
    stage = await behind(proxy, { limits: { messageBytesMax: MESSAGE_BYTES_MAX } });
  });
  afterAll(() => stage.close());

  test("[D2] every transport that it lets through brings what was stored and what follows, once, in order", async () => {
    const { asked, keep, publish } = stage;
    const passing = TRANSPORTS.filter(({ name }) => proxy.powers.webSocket || !name.includes("websocket"));
    const stored = await publish("transports", 20);
    const readers = await Promise.all(passing.map(async (transport) => keep(await transport.open(asked("transports", "start")))));
    const following = await publish("transports", 20);
    for (const [index, reader] of readers.entries()) {
      expect(await reader.next(40), passing[index]?.name).toEqual([...stored, ...following]);
      expect(reader.inbox.waiting).toBe(0);
      reader.close();
    }
  });

  test("[D2] an event stream goes on behind Last-Event-ID", async () => {
    const { asked, keep, publish } = stage;
    const first = keep(await new PlainReader(asked("resumed")).open());
    await publish("resumed", 3);
    await first.next(3);
    first.close();
    const missed = await publish("resumed", 3);
    const second = keep(await new PlainReader({ ...asked("resumed"), lastEventId: first.lastEventId }).open());
    const following = await publish("resumed", 3);
    expect(await second.next(6)).toEqual([...missed, ...following]);
  });

  const told = proxy.powers.webSocket ? "moves up to WebSocket" : "stays on SSE, and does not notice";
  test(`[D6] a client that talks back ${told}; nothing is lost`, async () => {
    const { asked, keep, publish } = stage;
    const reader = keep(await new ClientReader(asked("auto"), "auto").open());
    const { client } = reader;
    expect(client.transport).toBe("sse");
    const before = await publish("auto", 5);
    client.channel("auto").signal("typing");
    const during = await publish("auto", 5);
    if (proxy.powers.webSocket) await until("it has moved", () => client.transport === "websocket");
    else await until("it has given up", () => client.reason === "WebSocket is blocked");
    const after = await publish("auto", 5);
    expect(await reader.next(15)).toEqual([...before, ...during, ...after]);
    const { switches, reconnects, gaps } = client.counts;
    expect({ transport: client.transport, switches, reconnects, gaps, waiting: reader.inbox.waiting }).toEqual({
      transport: proxy.powers.webSocket ? "websocket" : "sse",
      switches: proxy.powers.webSocket ? 1 : 0,
      reconnects: 0,
      gaps: 0,
      waiting: 0,
    });
  });

  test("[D5] what is published with a key is stored once", async () => {
    const url = `${stage.proxy.url}/channels/keys?event=order`;
    const post = (): ReturnType<typeof ask> => ask(url, { method: "POST", body: "hello", headers: { "idempotency-key": "one" } });
    const [first, second] = [await post(), await post()];
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(second.json).toEqual({ ...first.json, duplicate: true });
    const { client } = stage.keep(new ClientReader(stage.asked("keys"), "sse"));
    const { position } = await client.channel("keys").publish("order", { total: 12 });
    const { messages } = await client.channel("keys").history();
    expect(messages.map(({ event, data }) => ({ event, data }))).toEqual([
      { event: "order", data: "hello" },
      { event: "order", data: { total: 12 } },
    ]);
    expect(messages.at(-1)?.position).toBe(position);
  });

  test("[D5] a full outbox is stored whole, and a message that is too large is refused, whoever refuses it", async () => {
    const { client } = stage.keep(new ClientReader(stage.asked("large"), "sse"));
    const channel = client.channel("large");
    // nginx takes bodies of 1 MiB as it comes, and refuses others in its own words; in UTF-8 these are 1.8 MB together, and then 1.2 MB
    const published = await Promise.all(numbers(6).map((n) => channel.publish("message", { n, text: "é".repeat(150_000) })));
    expect(offsets(published)).toEqual(numbers(6));
    await expect(channel.publish("é".repeat(600_000))).rejects.toMatchObject({ code: "too_large" });
  });

  test("pages and errors arrive as they were sent", async () => {
    await stage.publish("answers", 3);
    for (const { path, call, status } of CALLS) {
      const [direct, proxied] = [await ask(stage.server.url + path, call), await ask(stage.proxy.url + path, call)];
      expect(shown(proxied), path).toEqual(shown(direct));
      expect(proxied.status, path).toBe(status);
    }
    // It takes gzip
    const [direct, proxied] = [
      await fetch(`${stage.server.url}/channels/answers`, JSON_PAGE),
      await fetch(`${stage.proxy.url}/channels/answers`, JSON_PAGE),
    ];
    expect(await proxied.text()).toBe(await direct.text());
  });

  test(proxy.headByGet ? "HEAD, which it asks as GET, is answered" : "HEAD arrives as it was sent", async () => {
    await stage.publish("head", 3);
    const call = { method: "HEAD", ...JSON_PAGE };
    const [direct, proxied] = [await ask(`${stage.server.url}/channels/head`, call), await ask(`${stage.proxy.url}/channels/head`, call)];
    expect(direct.headers["throughline-first"]).toBe("1");
    if (!proxy.headByGet) {
      expect(shown(proxied)).toEqual(shown(direct));
      return;
    }
    // What only HEAD tells is lost, and a page tells it too (PROTOCOL.md §4)
    expect([proxied.status, proxied.headers["throughline-position"]]).toEqual([200, undefined]);
    const pages = ["last:1", "start"].map((from) => demand(`${stage.proxy.url}/channels/head?from=${from}&limit=1`, JSON_PAGE));
    const [end, start] = await Promise.all(pages);
    expect(end?.json.position).toBe(direct.headers["throughline-position"]);
    expect(offsets(start?.json.messages)).toEqual([Number(direct.headers["throughline-first"])]);
  });

  test("nothing of a channel that grows is answered from a cache", async () => {
    const { proxy, publish, asked, keep } = stage;
    for (let count = 1; count <= 3; count++) {
      const [message] = await publish("growing", 1);
      const page = await demand(`${proxy.url}/channels/growing?from=start`, JSON_PAGE);
      const poll = await demand(`${proxy.url}/channels/growing?wait=0&from=start`);
      const stream = keep(await new PlainReader(asked("growing", "start")).open());
      const streamed = await stream.next(count);
      stream.close();
      for (const { length } of [page.json.messages, poll.json.messages, streamed]) expect(length).toBe(count);
      expect([page.json.position, poll.json.position, stream.position]).toEqual(Array(3).fill(message?.position));
    }
  });

  test("[D2] HTTP/2 from the reader to the proxy carries the stream as well", async () => {
    const { proxy, publish } = stage;
    const session = connectHttp2(proxy.http2Url ?? "");
    try {
      const stored = await publish("http2", 3);
      const stream = session.request({ ":path": "/channels/http2?from=start", accept: "text/event-stream" });
      const ids: string[] = [];
      const parser = createParser({ onEvent: ({ event, id }) => event === undefined && ids.push(id ?? "") });
      stream.setEncoding("utf8").on("data", (text: string) => parser.feed(text));
      await until("what was stored has come", () => ids.length === 3);
      for (let n = 4; n <= 13; n++) {
        stored.push(...(await publish("http2", 1)));
        await until("the event has come, and nothing follows it", () => ids.length === n);
      }
      expect(ids).toEqual(stored.map(({ position }) => position));
    } finally {
      session.destroy();
    }
  });
});

/** What matters of an answer. What proxies add and take, as `Server` and `Connection`, is their own affair. */
function shown({ status, headers, text }: Awaited<ReturnType<typeof ask>>) {
  const names = ["content-type", "cache-control", "x-content-type-options", "allow", "throughline-position", "throughline-first"] as const;
  return { status, headers: Object.fromEntries(names.map((name) => [name, headers[name]])), text };
}
