import { EventEmitter } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { constants, createGzip, gunzipSync } from "node:zlib";
import Express, { type NextFunction, type Request, type Response } from "express";
import { describe, expect, test } from "vitest";
import { EncodedStream } from "../../src/adapters/node-stream.ts";
import { express } from "../../src/express.ts";
import type { Throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { EventReader, RawClient } from "../support/raw-clients.ts";
import { adapterTests } from "./adapter-tests.ts";
import { counted, type Host, run, siteOf } from "./host.ts";

const POWERS = { http1: true, ownsResponse: true, webSockets: true, routes: true, parsesBodies: false };

function host(name: string, prepare: (app: Express.Express) => void, parsesBodies = false): Host {
  return {
    name,
    mount: "/realtime",
    powers: { ...POWERS, parsesBodies },
    async serve(tl: Throughline) {
      const app = Express();
      app.disable("etag");
      prepare(app);
      app.use("/realtime", express(tl));
      app.get("/hello", (_req, res) => void res.send("hello"));
      app.get("/realtime/own", (_req, res) => void res.send("own"));
      app.post("/echo", Express.json(), (req, res) => void res.json(req.body));
      const server = createServer(app);
      attach(tl, server, { path: "/realtime", requests: false });
      return siteOf(server, "/realtime");
    },
  };
}

adapterTests(host("Express 5", () => undefined));
adapterTests(
  host(
    "Express 5 behind middlewares that log, parse bodies and compress",
    (app) => {
      app.use((_req, res, next) => {
        const { end } = res;
        res.end = ((...args: Parameters<typeof end>) => end.apply(res, args)) as typeof end;
        next();
      });
      app.use(Express.json({ strict: false, limit: "20mb", type: ["application/json", "+json"] }), Express.text({ limit: "20mb" }));
      app.use(Express.raw({ limit: "20mb", type: "application/octet-stream" }), compress(false));
    },
    true,
  ),
);

/** What the middleware `compression` does, in short: it encodes what passes `write`, holds it back until `flush`, and minds `no-transform`, or not. */
function compress(always: boolean) {
  return (_req: Request, res: Response, next: NextFunction): void => {
    const { write, end, on, writeHead } = res;
    let gzip: ReturnType<typeof createGzip> | undefined;
    res.writeHead = function (this: Response, ...args: unknown[]) {
      const told = String(res.getHeader("cache-control"));
      if (always || (!told.includes("no-transform") && Number(res.getHeader("content-length")) > 1_000)) {
        res.setHeader("content-encoding", "gzip");
        res.removeHeader("content-length");
        gzip = createGzip();
        gzip.on("data", (part) => {
          if (!write.call(res, part, "utf8")) gzip!.pause();
        });
        gzip.on("end", () => end.call(res, undefined, "utf8"));
        on.call(res, "drain", () => gzip!.resume());
      }
      return writeHead.apply(this, args as unknown as Parameters<typeof writeHead>);
    } as typeof writeHead;
    res.write = ((...args: [Buffer, BufferEncoding]) => (gzip ?? { write: write.bind(res) }).write(...args)) as typeof write;
    res.end = ((part?: Buffer) => {
      if (!res.headersSent) res.writeHead(res.statusCode);
      if (gzip === undefined) end.call(res, part, "utf8");
      else gzip.end(part);
      return res;
    }) as typeof end;
    res.on = ((name: string, act: () => void) =>
      on.call(name === "drain" && gzip ? (gzip as unknown as Response) : res, name, act)) as typeof on;
    Object.assign(res, { flush: () => gzip?.flush(constants.Z_SYNC_FLUSH) });
    next();
  };
}

describe("Express 5 behind a middleware that encodes event streams", () => {
  const encoding = host("an encoding application", (app) => app.use(compress(true)));

  test("each event comes at once, encoded, and the stream ends properly", async () => {
    const { port, tl } = await run(encoding);
    const client = await RawClient.open(port);
    const { headers } = await client.ask("GET /realtime/channels/a").answer();
    expect([headers.get("content-encoding"), headers.has("transfer-encoding")]).toEqual(["gzip", false]);
    const until = async (what: string) => {
      while (!decoded(client.text).includes(what)) await client.longer(client.text.length + 1);
    };
    await until("event: connected");
    for (const n of [1, 2, 3]) {
      await tl.channel("a").publish({ n });
      await until(`{"n":${n}}\n\n`);
    }
    await tl.close();
    await client.ended;
    expect(gunzipSync(Buffer.from(client.text, "latin1")).toString()).toContain("event: bye");
  });

  test("[D7] what the middleware holds for a reader that takes nothing counts as unsent, and the reader reads on from the log", async () => {
    const { ask, tl } = await run(encoding, { limits: { sinkBytesMax: 65_536 } });
    const response = await ask("/channels/a");
    await counted(tl, 1);
    const noise = Buffer.alloc(40_000);
    for (let n = 0; n < 100; n++) {
      crypto.getRandomValues(noise);
      await tl.channel("a").publish("message", `${n} ${noise.toString("hex")}`, { text: true });
    }
    const plain = response.body!.pipeThrough(new DecompressionStream("gzip"));
    const data = await new EventReader(new Response(plain)).take(100);
    expect(data.map((one) => Number(one.split(" ")[0]))).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  test("[D7] a stream counts all that it wrote since the middleware said enough, until that drains", () => {
    const told: string[] = [];
    const res = Object.assign(new EventEmitter(), { writableLength: 0, write: () => false, flush: () => told.push("flush") });
    const owner = { drained: () => told.push(`drained at ${stream.unsent}`), closed: () => told.push("closed") };
    const stream = new EncodedStream(res as unknown as ServerResponse, owner);
    stream.write(new Uint8Array(10));
    stream.write(new Uint8Array(5));
    expect([stream.unsent, stream.sent]).toEqual([15, 0]);
    res.emit("drain");
    expect([stream.unsent, stream.sent]).toEqual([0, 15]);
    res.emit("close");
    res.emit("close");
    expect(told).toEqual(["flush", "flush", "drained at 0", "closed"]);
  });
});

/** What of a stream that is not over can be decoded. */
function decoded(text: string): string {
  if (text === "") return "";
  return gunzipSync(Buffer.from(text, "latin1"), { finishFlush: constants.Z_SYNC_FLUSH }).toString();
}
