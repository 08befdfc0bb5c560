import { describe, expect, test } from "vitest";
import { EventReader } from "../support/raw-clients.ts";
import { connectionTests } from "./connection-tests.ts";
import { alone, counted, type Host, run } from "./host.ts";
import { JSON_TYPE, LOBBY, STREAM } from "./requests.ts";
import { socketTests } from "./socket-tests.ts";

const FIXED = { "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff" };

/** What a server adds by itself. */
const NOT_OURS = new Set(["date", "connection", "keep-alive", "transfer-encoding", "content-length", "x-powered-by"]);

/** What every adapter promises: one body of tests, over each runtime and framework. */
export function adapterTests(host: Host): void {
  const { powers } = host;
  describe(host.name, () => {
    test("a stream begins with connected, and brings each message with its position as id", async () => {
      const { ask, tl } = await run(host);
      const response = await ask(LOBBY);
      expect([response.status, oursOf(response)]).toEqual([200, STREAM]);
      const reader = new EventReader(response);
      const connected = await reader.next();
      expect(connected).toMatchObject({ event: "connected", id: expect.stringMatching(/^[\w-]{20}\.\d{16}\.[\w-]{8}$/) });
      expect(JSON.parse(connected!.data)).toMatchObject({ channel: "chat/lobby", heartbeatSeconds: 15, position: connected!.id });
      const { position } = await tl.channel("chat/lobby").publish({ text: "hello" });
      expect(await reader.next()).toEqual({ id: position, event: undefined, data: '{"text":"hello"}' });
      expect(tl.counts()).toMatchObject({ connections: 1, byTransport: { sse: 1 } });
    });

    test("[D2] a stream resumed by Last-Event-ID goes on with the message after it", async () => {
      const { ask, tl } = await run(host);
      const receipts = await Promise.all([1, 2, 3].map((n) => tl.channel("chat/lobby").publish(n)));
      const reader = new EventReader(await ask(LOBBY, { headers: { "last-event-id": receipts[0]!.position } }));
      expect(await reader.take(2)).toEqual(["2", "3"]);
    });

    test("many messages, long ones too, come whole and in order", async () => {
      const { ask, tl } = await run(host);
      const reader = new EventReader(await ask(`${LOBBY}?from=start`));
      const long = "é".repeat(200_000);
      await Promise.all(Array.from({ length: 20 }, (_, n) => tl.channel("chat/lobby").publish("message", `${n} ${long}`, { text: true })));
      expect(await reader.take(20)).toEqual(Array.from({ length: 20 }, (_, n) => `${n} ${long}`));
    });

    test("[D4] [D5] a POST is answered 201 with its position; the same key again, 200 and the same position", async () => {
      const { ask } = await run(host);
      const init = { method: "POST", headers: { ...JSON_TYPE, "idempotency-key": "one" }, body: '{"n":1}' };
      const first = await ask(`${LOBBY}?event=order`, init);
      expect([first.status, oursOf(first)]).toEqual([201, FIXED]);
      const { position, level } = await first.json();
      expect(level).toBe("memory");
      const second = await ask(`${LOBBY}?event=order`, init);
      expect([second.status, await second.json()]).toEqual([200, { position, level, duplicate: true }]);
      const page = await (await ask(LOBBY, { headers: { accept: "application/json" } })).json();
      expect(page.messages).toMatchObject([{ event: "order", data: { n: 1 }, position }]);
    });

    test("a body is taken as JSON, text or bytes, by its Content-Type", async () => {
      const { ask } = await run(host);
      const bodies: [string, string | Uint8Array<ArrayBuffer>][] = [
        ["application/json", '"a text"'],
        ["text/plain", "plain"],
        ["application/octet-stream", new Uint8Array([0, 255])],
        ["application/cloudevents+json", "[1]"],
      ];
      for (const [type, body] of bodies) {
        const { status } = await ask(LOBBY, { method: "POST", headers: { "content-type": type }, body });
        expect([type, status]).toEqual([type, 201]);
      }
      const page = await (await ask(LOBBY, { headers: { accept: "application/json" } })).json();
      expect(page.messages.map(({ data, encoding = "json" }: Record<string, unknown>) => [encoding, data])).toEqual([
        ["json", "a text"],
        ["json", "plain"],
        ["base64", "AP8="],
        ["json", [1]],
      ]);
    });

    test("a long-poll is answered as soon as there is a message, and empty when its time is over", async () => {
      const { ask, tl } = await run(host);
      const { position } = await (await ask(`${LOBBY}?wait=0`)).json();
      const polled = ask(`${LOBBY}?wait=20&from=after:${position}`);
      await tl.channel("chat/lobby").publish("now");
      const response = await polled;
      expect([response.status, oursOf(response)]).toEqual([200, { ...FIXED, vary: "Accept, Origin" }]);
      const page = await response.json();
      expect(page).toMatchObject({ messages: [{ data: "now" }], upToDate: true });
      expect(await (await ask(`${LOBBY}?wait=0&from=after:${page.position}`)).json()).toMatchObject({ messages: [], upToDate: true });
    });

    test("a long-poll of frames brings what there is for any of its channels", async () => {
      const { ask, tl } = await run(host);
      await tl.channel("b").publish(1);
      const body = JSON.stringify({ channels: [{ name: "a" }, { name: "b", from: "start" }] });
      const { frames } = await (await ask("/events?wait=20", { method: "POST", headers: JSON_TYPE, body })).json();
      expect(frames.map(({ type, channel }: Record<string, unknown>) => [type, channel])).toEqual(
        expect.arrayContaining([
          ["subscribed", "a"],
          ["subscribed", "b"],
          [undefined, "b"],
        ]),
      );
      await alone(tl);
    });

    test("a page of history says where to go on, and the next one goes on there", async () => {
      const { ask, tl } = await run(host);
      for (const n of [1, 2, 3]) await tl.channel("chat/lobby").publish(n);
      const headers = { accept: "application/json" };
      const first = await (await ask(`${LOBBY}?limit=2`, { headers })).json();
      expect([first.messages.map(({ data }: { data: number }) => data), first.upToDate]).toEqual([[1, 2], false]);
      const next = await (await ask(`${LOBBY}?from=after:${first.position}`, { headers })).json();
      expect([next.messages.map(({ data }: { data: number }) => data), next.upToDate]).toEqual([[3], true]);
    });

    test("livez and readyz answer whoever asks, without credentials: a node that stops is live, and not ready", async () => {
      const { ask, tl } = await run(host, { authenticate: () => false });
      for (const [path, name] of [
        ["/livez", "live"],
        ["/readyz", "ready"],
      ] as const) {
        const response = await ask(path);
        expect([path, response.status, oursOf(response), await response.json()]).toEqual([path, 200, FIXED, { [name]: true }]);
        const head = await ask(path, { method: "HEAD" });
        expect([path, head.status, await head.text()]).toEqual([path, 200, ""]);
        const post = await ask(path, { method: "POST" });
        expect([path, post.status, post.headers.get("allow")]).toEqual([path, 405, "GET, HEAD"]);
      }
      expect((await ask(LOBBY, { headers: { accept: "application/json" } })).status).toBe(401);
      await tl.close();
      expect((await ask("/livez")).status).toBe(200);
      const response = await ask("/readyz");
      expect([response.status, response.headers.get("retry-after"), (await response.json()).error.code]).toEqual([503, "1", "not_ready"]);
    });

    test("HEAD says where a channel stands, without a body and without a stream", async () => {
      const { ask, tl } = await run(host);
      const { position } = await tl.channel("chat/lobby").publish(1);
      const response = await ask(LOBBY, { method: "HEAD" });
      expect([response.status, oursOf(response)]).toEqual([
        200,
        {
          "cache-control": "no-store",
          "x-content-type-options": "nosniff",
          "throughline-position": position,
          "throughline-first": "1",
        },
      ]);
      expect(await response.text()).toBe("");
      expect((await ask("/events?channel=a", { method: "HEAD" })).status).toBe(405);
      expect(tl.counts().connections).toBe(0);
    });

    test("DELETE removes the log, and answers 204 also where there was none", async () => {
      const { ask, tl } = await run(host);
      await tl.channel("chat/lobby").publish(1);
      for (const _ of [1, 2]) {
        const response = await ask(LOBBY, { method: "DELETE" });
        expect([response.status, await response.text()]).toEqual([204, ""]);
      }
      expect((await tl.channel("chat/lobby").history()).messages).toEqual([]);
    });

    test("a signal reaches who is live, and a request is answered by the application", async () => {
      const { ask, tl } = await run(host);
      tl.handle("chat/:room", "shout", ({ data, params }) => `${params["room"]}: ${String(data).toUpperCase()}`);
      const reader = new EventReader(await ask(LOBBY));
      await reader.next();
      const sent = await ask("/signals/chat/lobby?event=typing", { method: "POST", headers: JSON_TYPE, body: "true" });
      expect([sent.status, await sent.text()]).toEqual([202, ""]);
      expect(await reader.next()).toMatchObject({ event: "$typing", id: undefined });
      const asked = await ask("/requests/chat/lobby?name=shout", { method: "POST", headers: JSON_TYPE, body: '"hi"' });
      expect([asked.status, await asked.json()]).toEqual([200, "lobby: HI"]);
    });

    test("[D8] a page of a foreign origin gets 403 and nothing else, whatever it asks", async () => {
      const { ask, tl } = await run(host, { origins: ["https://app.example"] });
      const origin = "https://evil.example";
      for (const [path, init] of requests()) {
        const response = await ask(path, { ...init, headers: { ...(init.headers as Record<string, string>), origin } });
        expect([path, response.status, response.headers.get("access-control-allow-origin")]).toEqual([path, 403, null]);
        if (init.method !== "HEAD") expect(await response.json()).toMatchObject({ error: { code: "forbidden_origin" } });
      }
      expect(tl.counts().connections).toBe(0);
      expect((await tl.channel("chat/lobby").history()).messages).toEqual([]);
    });

    test("a page of a permitted origin gets CORS headers, also with errors, and an answer to its preflight", async () => {
      const { ask } = await run(host, { origins: ["https://app.example"] });
      const origin = "https://app.example";
      const cors = { "access-control-allow-origin": origin, "access-control-allow-credentials": "true" };
      const stream = await ask(LOBBY, { headers: { origin } });
      expect(oursOf(stream)).toMatchObject({ ...STREAM, ...cors });
      await new EventReader(stream).close();
      const preflight = await ask(LOBBY, { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
      expect([preflight.status, await preflight.text(), oursOf(preflight)]).toMatchObject([
        204,
        "",
        { ...cors, "access-control-allow-methods": "GET, POST, HEAD, DELETE", vary: "Origin" },
      ]);
      const error = await ask(`${LOBBY}?from=never`, { headers: { origin } });
      expect([error.status, oursOf(error), (await error.json()).error.code]).toMatchObject([400, { ...FIXED, ...cors }, "bad_from"]);
    });

    test("[D8] who is refused is told so over each way in, and no stream opens", async () => {
      const { ask, tl } = await run(host, { authenticate: ({ token }) => (token === "good" ? { id: "ada" } : false) });
      for (const [path, init] of requests()) {
        const response = await ask(path, {
          ...init,
          headers: { ...(init.headers as Record<string, string>), authorization: "Bearer bad" },
        });
        expect([path, response.status]).toEqual([path, 401]);
      }
      const response = await ask(LOBBY, { headers: { authorization: "Bearer good" } });
      expect(response.status).toBe(200);
      await new EventReader(response).close();
      await alone(tl);
    });

    test("a path of ours with another method is 405, and says which are allowed", async () => {
      const { ask } = await run(host);
      const response = await ask(LOBBY, { method: "PUT", body: "x" });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, POST, HEAD, DELETE"]);
      expect((await response.json()).error.code).toBe("method_not_allowed");
    });

    test("/socket without an upgrade is 426, and says what to upgrade to", async () => {
      const { ask } = await run(host);
      const response = await ask("/socket");
      expect([response.status, (await response.json()).error.code]).toEqual([426, "upgrade_required"]);
    });

    test("[D7] a body above its limit is 413, and the client gets to read it", async () => {
      const { ask, tl } = await run(host, { limits: { messageBytesMax: 1_000, bodyBytesMax: 2_000 } });
      const body = JSON.stringify("x".repeat(3_000_000));
      for (const [path, type] of [
        [LOBBY, "text/plain"],
        ["/publish", "application/json"],
      ] as const) {
        const response = await ask(path, { method: "POST", headers: { "content-type": type }, body });
        expect([response.status, (await response.json()).error.code]).toEqual([413, "too_large"]);
      }
      expect((await tl.channel("chat/lobby").history()).messages).toEqual([]);
      expect((await ask(LOBBY, { method: "POST", body: "small" })).status).toBe(201);
    });

    test("a reader that leaves is gone, and the others read on", async () => {
      const { ask, tl } = await run(host);
      const [one, two] = [new EventReader(await ask(LOBBY)), new EventReader(await ask(LOBBY))];
      await counted(tl, 2);
      await one.close();
      await counted(tl, 1);
      await tl.channel("chat/lobby").publish("still here");
      expect(await two.take(1)).toEqual(['"still here"']);
    });

    test("a long-poll that is given up leaves nothing behind", async () => {
      const { ask, tl } = await run(host);
      const left = new AbortController();
      const body = JSON.stringify({ channels: [{ name: "chat/lobby" }] });
      const polled = ask("/events?wait=25", { method: "POST", headers: JSON_TYPE, body, signal: left.signal });
      await counted(tl, 1);
      left.abort();
      await expect(polled).rejects.toThrow();
      await alone(tl);
    });

    test("[D7] [D10] a reader that takes nothing costs a bounded queue, and reads on from the log when it takes again", async () => {
      const { ask, tl } = await run(host, { limits: { sinkBytesMax: 65_536 } });
      const response = await ask(LOBBY);
      await counted(tl, 1);
      const text = "x".repeat(100_000);
      for (let n = 0; n < 100; n++) await tl.channel("chat/lobby").publish("message", `${n} ${text}`, { text: true });
      const reader = new EventReader(response);
      const data = await reader.take(100);
      expect(data.map((one) => Number(one.split(" ")[0]))).toEqual(Array.from({ length: 100 }, (_, n) => n));
    });

    test("a server that stops says bye with when to come back, and ends the stream", async () => {
      const { ask, tl } = await run(host);
      const reader = new EventReader(await ask(LOBBY));
      await reader.next();
      await tl.close();
      const bye = await reader.next();
      expect(bye).toMatchObject({ event: "bye" });
      expect(JSON.parse(bye!.data)).toMatchObject({ code: "restart", retryAfterMs: expect.any(Number) });
      expect(await reader.next()).toBeNull();
    });

    test("[D7] a stream that is shed is answered 200 with bye, since EventSource never comes back after another status", async () => {
      const { ask } = await run(host, { limits: { connectionsMax: 1 } });
      new EventReader(await ask(LOBBY));
      const response = await ask(LOBBY);
      expect(response.status).toBe(200);
      const reader = new EventReader(response);
      expect(await reader.next()).toMatchObject({ event: "bye", data: expect.stringContaining('"overloaded"') });
      expect(await reader.next()).toBeNull();
      expect(reader.retry).toBe(5_000);
    });

    if (powers.routes) routeTests(host);
    else {
      test("a path that is nobody's is 404, in JSON", async () => {
        const { ask } = await run(host);
        for (const path of ["/nothing", "/channels", "/publish/x", "/"]) {
          const response = await ask(path);
          expect([path, response.status, (await response.json()).error.code]).toEqual([path, 404, "not_found"]);
        }
      });
    }
    if (powers.webSockets) socketTests(host);
    if (powers.http1) connectionTests(host);
  });
}

/** One of each way in. */
function requests(): [string, RequestInit][] {
  const body = "{}";
  return [
    [LOBBY, {}],
    [LOBBY, { headers: { accept: "application/json" } }],
    [`${LOBBY}?wait=5`, {}],
    [LOBBY, { method: "HEAD" }],
    [LOBBY, { method: "DELETE" }],
    [LOBBY, { method: "POST", headers: JSON_TYPE, body }],
    ["/publish", { method: "POST", headers: JSON_TYPE, body: '{"channel":"chat/lobby","data":1}' }],
    ["/events?channel=chat/lobby", {}],
    ["/events", { method: "POST", headers: JSON_TYPE, body: '{"channels":[{"name":"chat/lobby"}]}' }],
    ["/signals/chat/lobby?event=x", { method: "POST", headers: JSON_TYPE, body }],
    ["/requests/chat/lobby?name=x", { method: "POST", headers: JSON_TYPE, body }],
  ];
}

function oursOf(response: Response): Record<string, string> {
  return Object.fromEntries([...response.headers].filter(([name]) => !NOT_OURS.has(name)));
}

function routeTests(host: Host): void {
  test("the application's own routes are its own, with their bodies, beside ours and below the mount point", async () => {
    const { ask } = await run(host);
    expect(await (await ask("//hello")).text()).toBe("hello");
    const echoed = await ask("//echo", { method: "POST", headers: JSON_TYPE, body: '{"a":1}' });
    expect(await echoed.json()).toEqual({ a: 1 });
    expect(await (await ask("/own")).text()).toBe("own");
  });

  test("a path that is not ours goes on to the application's own answer", async () => {
    const { ask } = await run(host);
    for (const path of ["/nothing", "/channels", "/", "//nothing", "//realtimes/channels/a"]) {
      const response = await ask(path);
      expect([path, response.status, await response.text()]).toEqual([path, 404, expect.not.stringContaining("PROTOCOL.md")]);
    }
  });
}
