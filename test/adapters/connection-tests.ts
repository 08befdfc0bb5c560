import { once } from "node:events";
import { expect, test } from "vitest";
import { EventReader, RawClient } from "../support/raw-clients.ts";
import { alone, counted, type Host, run } from "./host.ts";
import { HANDSHAKE, LOBBY, STREAM } from "./requests.ts";

/** What can be seen only on the connection itself. */
export function connectionTests(host: Host): void {
  const { mount, powers } = host;

  test("a connection is kept alive, also over errors, answers without a body and bodies that nobody read", async () => {
    const { port, tl } = await run(host, { limits: { messageBytesMax: 10_000 }, authorize: ({ channel }) => channel !== "secret" });
    const client = await RawClient.open(port);
    const long = "x".repeat(50_000);
    const asked: [string, string | null, number][] = [
      [`DELETE ${mount}${LOBBY}`, null, 204],
      [`HEAD ${mount}${LOBBY}`, null, 200],
      [`POST ${mount}${LOBBY}`, "hello", 201],
      [`POST ${mount}/channels/secret`, long, 403],
      [`POST ${mount}${LOBBY}`, long, 413],
      [`PUT ${mount}${LOBBY}`, long, 405],
      [`HEAD ${mount}/events`, null, 405],
      [`GET ${mount}${LOBBY}?from=never`, null, 400],
      [`POST ${mount}/signals/a?event=b`, "", 202],
      [`OPTIONS ${mount}${LOBBY}`, null, 204],
      [`GET ${mount}${LOBBY}?wait=0`, null, 200],
    ];
    for (const [line, body, status] of asked) {
      client.ask(line, ...(body === null ? [] : [`Content-Length: ${body.length}`]));
      if (body !== null) client.write(body);
      const answer = await client.answer(line.startsWith("HEAD"));
      expect([line, answer.status, answer.headers.get("connection")]).toEqual([line, status, expect.not.stringMatching(/close/)]);
      if (status === 204) expect(answer.headers.has("content-length")).toBe(false);
    }
    expect(tl.counts().connections).toBe(0);
  });

  test("a connection that is to be closed is not closed on a client that still sends what is refused, which would take the answer with it", async () => {
    if (!powers.ownsResponse || powers.parsesBodies) return;
    const { port } = await run(host, { limits: { messageBytesMax: 10_000 }, authorize: ({ channel }) => channel !== "secret" });
    const long = "x".repeat(50_000);
    for (const [line, status] of [
      [`POST ${mount}/channels/secret`, 403],
      [`POST ${mount}${LOBBY}`, 413],
      [`PUT ${mount}${LOBBY}`, 405],
    ] as const) {
      const client = await RawClient.open(port);
      const errors: Error[] = [];
      client.socket.on("error", (error) => errors.push(error));
      const closed = once(client.socket, "close");
      client.ask(line, "Connection: close", `Content-Length: ${long.length}`).write(long.slice(0, 100));
      expect([line, (await client.answer()).status]).toEqual([line, status]);
      // As a proxy that reads an answer only when it has sent the request
      for (let at = 100; at < long.length; at += 9_980) await new Promise((sent) => client.socket.write(long.slice(at, at + 9_980), sent));
      await closed;
      expect([line, errors]).toEqual([line, []]);
    }
  });

  test("after 426 the connection is closed", async () => {
    const { port } = await run(host);
    const client = await RawClient.open(port);
    const { status, headers } = await client.ask(`GET ${mount}/socket`).answer();
    expect([status, headers.get("upgrade")?.toLowerCase()]).toEqual([426, "websocket"]);
    if (!powers.ownsResponse) return;
    expect(headers.get("connection")).toBe("close");
    await client.ended;
  });

  test("a client that goes while its permission is asked, or its body is read, leaves nothing behind", async () => {
    const asked = new Set<() => void>();
    const authenticate = ({ token }: { token: string | null }) =>
      token === "slow" ? new Promise<null>((resolve) => asked.add(() => resolve(null))) : null;
    const { ask, port, sentences, tl } = await run(host, { authenticate });
    const slow = "Authorization: Bearer slow";
    const requests = [
      [`GET ${mount}${LOBBY}`],
      [`GET ${mount}${LOBBY}?wait=25`],
      ...(powers.parsesBodies
        ? []
        : [
            [`POST ${mount}/events`, "Content-Type: application/json", "Content-Length: 100"],
            [`POST ${mount}${LOBBY}`, "Content-Length: 100"],
          ]),
      ...(powers.webSockets ? [[`GET ${mount}/socket`, ...HANDSHAKE]] : []),
    ] as [string, ...string[]][];
    for (const [line, ...headers] of requests) {
      const before = asked.size;
      const client = await RawClient.open(port);
      client.ask(line, slow, ...headers);
      while (asked.size === before) await new Promise((resolve) => setImmediate(resolve));
      client.socket.resetAndDestroy();
    }
    for (const go of asked) go();
    const broken = await RawClient.open(port);
    broken.ask(`POST ${mount}${LOBBY}`, "Content-Length: 100").write("half of it");
    broken.socket.destroy();
    expect((await ask(LOBBY, { method: "POST", body: "next" })).status).toBe(201);
    await alone(tl);
    expect((await tl.channel("chat/lobby").history()).messages.map(({ data }) => data)).toEqual(["next"]);
    expect(sentences).toEqual([]);
  });

  if (!powers.ownsResponse) return;

  test("[D7] of requests that are sent at once on one connection requestsPendingMax are done, and no more before one of them is answered", async () => {
    const { port, tl } = await run(host, { limits: { requestsPendingMax: 3 } });
    const client = await RawClient.open(port);
    const poll = (seconds: number) => `GET ${mount}${LOBBY}?wait=${seconds} HTTP/1.1\r\nHost: a\r\n\r\n`;
    client.write(poll(20).repeat(6));
    await counted(tl, 3);
    await tl.channel("chat/lobby").publish(1);
    for (const status of [200, 200, 200, 429, 429, 429]) expect((await client.answer()).status).toBe(status);
    client.write(poll(0));
    expect((await client.answer()).status).toBe(200);
  });

  test("[D7] a client that leaves is noticed at once by all that it has asked for on one connection", async () => {
    const { port, tl } = await run(host);
    const client = await RawClient.open(port);
    client.write(`GET ${mount}${LOBBY}?wait=25 HTTP/1.1\r\nHost: a\r\n\r\n`.repeat(5));
    await counted(tl, 5);
    client.socket.destroy();
    await alone(tl);
  });

  test("the head of a stream is what every proxy lets pass: closed by its end, neither chunked nor with a length", async () => {
    const { port, tl } = await run(host);
    const client = await RawClient.open(port);
    const { status, headers } = await client.ask(`GET ${mount}${LOBBY}`, "Accept: text/event-stream").answer();
    for (const name of ["date", "x-powered-by"]) headers.delete(name);
    expect([status, Object.fromEntries(headers)]).toEqual([200, { ...STREAM, connection: "close" }]);
    await client.until(/^retry: \d+\nevent: connected\nid: \S+\ndata: \{.*\}\n\n$/);
    await tl.channel("chat/lobby").publish(1);
    expect(await client.until(/\n\nid: \S+\ndata: 1\n\n$/)).toMatch(/\n\nid: \S+\ndata: 1\n\n$/);
    await tl.close();
    await client.ended;
    expect(client.text).toMatch(/\n\n$/);
  });

  test("a request behind a stream on its connection is never answered into the stream", async () => {
    const { port, tl } = await run(host);
    const client = await RawClient.open(port);
    client.ask(`GET ${mount}${LOBBY}`);
    await client.until("event: connected");
    const before = client.text;
    for (const path of [LOBBY, "/socket", `${LOBBY}?wait=0`]) client.ask(`GET ${mount}${path}`, ...(path === "/socket" ? HANDSHAKE : []));
    await client.ended;
    expect(client.text).toBe(before);
    await alone(tl);
  });

  test("two streams asked for at once on one connection are not mixed", async () => {
    const { port, tl } = await run(host);
    const client = await RawClient.open(port);
    client.write(`GET ${mount}${LOBBY} HTTP/1.1\r\nHost: a\r\n\r\nGET ${mount}/channels/other HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.until("event: connected");
    await counted(tl, 1);
    await tl.channel("other").publish("not for this stream");
    await tl.channel("chat/lobby").publish("for this stream");
    expect((await client.until('"for this stream"')).split("HTTP/1.1 200")).toHaveLength(2);
    expect(client.text).not.toContain("not for this stream");
  });

  test("garbage behind a stream ends that stream alone", async () => {
    const { ask, port, tl } = await run(host);
    const other = new EventReader(await ask(LOBBY));
    const client = await RawClient.open(port);
    client.ask(`GET ${mount}${LOBBY}`);
    await client.until("event: connected");
    client.write("\x00\xff garbage\r\n\r\n");
    await client.ended;
    await counted(tl, 1);
    await tl.channel("chat/lobby").publish(1);
    expect(await other.take(1)).toEqual(["1"]);
  });
}
