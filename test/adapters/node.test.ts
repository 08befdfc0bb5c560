import { createServer } from "node:http";
import { connect, createServer as createServer2 } from "node:http2";
import { PassThrough, Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { throughline } from "../../src/index.ts";
import { attach, handler } from "../../src/node.ts";
import { EventReader, RawClient } from "../support/raw-clients.ts";
import { adapterTests } from "./adapter-tests.ts";
import { counted, type Host, listening, nodeHost, pathBelow, run, siteOf, stopped } from "./host.ts";

adapterTests(nodeHost);

adapterTests({
  name: "node:http below a mount point, beside an application",
  mount: "/realtime",
  powers: { ...nodeHost.powers, routes: true },
  async serve(tl) {
    const server = createServer((req, res) => {
      if (req.url === "/hello") res.end("hello");
      else if (req.url === "/realtime/own") res.end("own");
      else if (req.url === "/echo") req.pipe(res);
      else res.writeHead(404).end("the application knows no such page");
    });
    attach(tl, server, { path: "/realtime" });
    return siteOf(server, "/realtime");
  },
});

const http2: Host = {
  name: "node:http2",
  mount: "",
  powers: { ...nodeHost.powers, http1: false, webSockets: false },
  async serve(tl) {
    const server = createServer2(handler(tl));
    const port = await listening(server);
    const session = connect(`http://127.0.0.1:${port}`);
    async function ask(path: string, { method = "GET", headers = {}, body, signal }: RequestInit = {}): Promise<Response> {
      const stream = session.request({
        ":method": method,
        ":path": pathBelow("", path),
        ...(headers as Record<string, string>),
        ...(typeof body === "string" && !("content-type" in headers) ? { "content-type": "text/plain" } : {}),
      });
      signal?.addEventListener("abort", () => stream.destroy(new Error("aborted")));
      stream.end(body ?? undefined);
      const answer = await new Promise<Record<string, string>>((resolve, reject) => {
        stream.once("response", (told) => resolve(told as Record<string, string>));
        stream.once("error", reject);
      });
      stream.on("error", () => undefined);
      const own = Object.entries(answer).filter(([name]) => !name.startsWith(":"));
      const status = Number(answer[":status"]);
      const empty = status === 204 || method === "HEAD";
      // Readable.toWeb takes a stream whose request was not sent to its end for one that was cut.
      const answered = stream.pipe(new PassThrough());
      stream.once("close", () => answered.end());
      answered.once("close", () => stream.destroy());
      if (empty) answered.resume();
      return new Response(empty ? null : (Readable.toWeb(answered) as ReadableStream<Uint8Array>), { status, headers: own });
    }
    const close = async (): Promise<void> => {
      session.close();
      await stopped(server);
    };
    return { port, ask, close };
  },
};
adapterTests(http2);

describe("node:http", () => {
  test("[D10] a reader lags and comes back also where sinkBytesMax is below the socket's own mark", async () => {
    const { ask, tl } = await run(nodeHost, { limits: { sinkBytesMax: 1_000 } });
    const response = await ask("/channels/a");
    await counted(tl, 1);
    const text = "x".repeat(50_000);
    for (let n = 0; n < 200; n++) await tl.channel("a").publish("message", text, { text: true });
    expect(await new EventReader(response).take(200)).toEqual(new Array(200).fill(text));
  });

  test("a server that listens to an Upgrade answers one that it does not take as if it were not there", async () => {
    const { port, tl } = await run(nodeHost);
    const upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];
    const page = await RawClient.open(port);
    const answer = await page.ask("GET /channels/a", "Accept: application/json", ...upgrade).answer();
    expect([answer.status, answer.headers.get("connection"), JSON.parse(answer.body)]).toMatchObject([200, "close", { messages: [] }]);
    await page.ended;
    const stream = await RawClient.open(port);
    stream.ask("GET /channels/a", ...upgrade);
    await stream.until("event: connected");
    await tl.channel("a").publish(1);
    await stream.until("data: 1\n\n");
    stream.socket.destroy();
    const socket = await RawClient.open(port);
    expect((await socket.ask("GET /socket", ...upgrade).answer()).status).toBe(426);
    const body = await RawClient.open(port);
    expect((await body.ask("POST /channels/a", "Content-Length: 5", ...upgrade).answer()).status).toBe(404);
    await body.ended;
  });

  test("[D7] a connection that is to be closed waits neither for ever nor without end for a body that is refused", async () => {
    const { port } = await run(nodeHost);
    const silent = await RawClient.open(port);
    expect((await silent.ask("PUT /channels/a", "Connection: close", "Content-Length: 5").answer()).status).toBe(405);
    await silent.ended;
    const endless = await RawClient.open(port);
    expect((await endless.ask("PUT /channels/a", "Connection: close", "Transfer-Encoding: chunked").answer()).status).toBe(405);
    const chunk = `100000\r\n${"x".repeat(0x100000)}\r\n`;
    let taken = 0;
    while (!endless.socket.destroyed) {
      taken++;
      await new Promise((sent) => endless.socket.write(chunk, sent));
    }
    // Not when its time is over: of more than 8 MiB no more is taken but what the kernels hold
    expect(taken).toBeLessThan(30);
  });

  test("a request target in absolute form is the path in it", async () => {
    const { port } = await run(nodeHost);
    const client = await RawClient.open(port);
    expect((await client.ask("GET http://127.0.0.1/channels/a?wait=0").answer()).status).toBe(200);
    expect((await client.ask("OPTIONS *").answer()).status).toBe(404);
  });

  test("what attach took it gives back", async () => {
    const tl = throughline();
    const mine = () => undefined;
    const server = createServer(mine);
    const detach = attach(tl, server, { path: "/realtime" });
    expect([server.listeners("request").includes(mine), server.listenerCount("request"), server.listenerCount("upgrade")]).toEqual([
      false,
      1,
      1,
    ]);
    detach();
    expect([server.listeners("request"), server.listenerCount("upgrade")]).toEqual([[mine], 0]);
    await tl.close();
  });
});
