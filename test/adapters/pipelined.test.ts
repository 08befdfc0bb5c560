import { createServer } from "node:http";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { attach } from "../../src/node.ts";
import { RawClient } from "../support/raw-clients.ts";
import { counted, nodeHost, run, siteOf } from "./host.ts";
import { HANDSHAKE } from "./requests.ts";

const SLOW = "GET /channels/a?wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** An upgrade that comes while an earlier request of its connection is still being answered. */
async function behind(earlier: string, ...headers: string[]): Promise<{ client: RawClient; stop(): Promise<void> }> {
  const site = await run(nodeHost);
  const client = await RawClient.open(site.port);
  client.write(
    `${earlier}GET ${headers.length > 2 ? "/socket" : "/channels/b?wait=0"} HTTP/1.1\r\nHost: localhost\r\n${headers.join("\r\n")}\r\n\r\n`,
  );
  return {
    client,
    async stop() {
      expect((await site.ask("/channels/a?wait=0")).status).toBe(200);
      expect(site.sentences).toEqual([]);
    },
  };
}

test("[D7] an upgrade that is not taken, pipelined behind a request, ends no process: both are answered, in order", async () => {
  const { client, stop } = await behind(SLOW, "Connection: Upgrade", "Upgrade: h2c");
  expect((await client.answer()).body).toContain('"channel":"a"');
  expect((await client.answer()).body).toContain('"channel":"b"');
  await stop();
});

test("a WebSocket, pipelined behind requests, is opened when their answers have gone out", async () => {
  const { client, stop } = await behind(SLOW + SLOW, ...HANDSHAKE);
  expect((await client.answer()).body).toContain('"channel":"a"');
  expect((await client.answer()).body).toContain('"channel":"a"');
  expect((await client.answer()).status).toBe(101);
  await client.until('"connected"');
  expect(client.text).toContain('{"type":"connected"');
  await stop();
});

test("a refused upgrade, pipelined behind a request, is answered after it", async () => {
  const { client, stop } = await behind(SLOW, "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 1");
  expect((await client.answer()).status).toBe(200);
  expect((await client.answer()).status).toBe(404);
  await stop();
});

test("an answer that waits behind another is not divided by the 100 Continue of its own request", async () => {
  const { client, stop } = await behind(
    `${SLOW}POST /channels/c HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi`,
    "Connection: close",
  );
  await client.until('"channel":"b"');
  expect(client.text).toMatch(
    /200 OK[\s\S]*HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 [\s\S]*\r\n\r\n\{"position"[^{}]*\}HTTP\/1\.1 200/,
  );
  await stop();
});

test("an upgrade behind an event stream is never answered: nothing comes after a stream", async () => {
  const { client, stop } = await behind("GET /channels/a HTTP/1.1\r\nHost: localhost\r\n\r\n", "Connection: Upgrade", "Upgrade: h2c");
  await client.until(/"connected"|event: connected/);
  await stop();
  expect(client.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
});

test("[D7] a client that asked for a stream with an Upgrade, and leaves, is noticed at once", async () => {
  const site = await run(nodeHost);
  const client = await RawClient.open(site.port);
  client.ask("GET /channels/a", "Connection: Upgrade", "Upgrade: h2c");
  await client.until("event: connected");
  await counted(site.tl, 1);
  client.socket.destroy();
  await counted(site.tl, 0);
});

test("[D7] a client that leaves while its upgrade waits for an earlier answer is noticed at once, and nothing is begun for it", async () => {
  const site = await run(nodeHost);
  const client = await RawClient.open(site.port);
  client.write("GET /channels/a?wait=20 HTTP/1.1\r\nHost: localhost\r\n\r\n").ask("GET /channels/b", "Connection: Upgrade", "Upgrade: h2c");
  await counted(site.tl, 1);
  client.socket.end();
  await client.ended;
  await counted(site.tl, 0);
  expect(client.text).toBe("");
});

// Who was reset may be found out by the write of the answer itself. An error that nobody hears ends a process.
test("[D7] an answer that cannot be written any more, while an upgrade waits behind it, ends no process", async () => {
  const sockets: Socket[] = [];
  const site = await run({
    ...nodeHost,
    serve(tl) {
      const server = createServer().on("connection", (socket) => sockets.push(socket));
      attach(tl, server);
      return siteOf(server, "");
    },
  });
  const client = await RawClient.open(site.port);
  client.write(
    `${SLOW.replace("wait=1", "wait=20")}GET /channels/b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
  );
  await counted(site.tl, 1);
  const [socket] = sockets as [Socket];
  const broken = (callback: (error: Error) => void) => callback(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
  socket._write = (_chunk, _encoding, callback) => broken(callback);
  socket._writev = (_chunks, callback) => broken(callback);
  const heardBy: number[] = [];
  const emit = socket.emit.bind(socket);
  socket.emit = (name: string, ...told: unknown[]) => {
    if (name !== "error") return emit(name, ...told);
    heardBy.push(socket.listenerCount("error"));
    return true;
  };
  await site.tl.channel("a").publish("an answer");
  await client.ended;
  await counted(site.tl, 0);
  expect([heardBy, site.sentences]).toEqual([[1], []]);
});
