import { createServer } from "node:http";
import { connect, createServer as createServer2 } from "node:http2";
import { PassThrough, Readable } from "node:stream";
import { attach, handler } from "../../src/node.ts";
import { adapterTests } from "./adapter-tests.ts";
import { type Host, listening, pathBelow, siteOf, stopped } from "./host.ts";

const POWERS = { http1: true, ownsResponse: true, webSockets: true, routes: false, parsesBodies: false };

adapterTests({
  name: "node:http",
  mount: "",
  powers: POWERS,
  async serve(tl) {
    const server = createServer();
    attach(tl, server);
    return siteOf(server, "");
  },
});

adapterTests({
  name: "node:http below a mount point, beside an application",
  mount: "/realtime",
  powers: { ...POWERS, routes: true },
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
  powers: { ...POWERS, http1: false, webSockets: false },
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
