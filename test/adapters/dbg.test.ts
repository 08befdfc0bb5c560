import { createServer } from "node:http";
import { constants, createGunzip, createGzip } from "node:zlib";
import Express from "express";
import http from "node:http";
import { test } from "vitest";
import { express } from "../../src/express.ts";
import { throughline } from "../../src/index.ts";
test("dbg", async () => {
  const tl = throughline({ limits: { sinkBytesMax: 65_536 } });
  const app = Express();
  app.use((_req, res, next) => {
    const { write, end, on, writeHead } = res;
    let gzip: any;
    res.writeHead = function (this: any, ...args: any[]) {
      res.setHeader("content-encoding", "gzip");
      gzip = createGzip();
      gzip.on("data", (part: any) => { if (!(write as any).call(res, part, "utf8")) { console.log("pause"); gzip.pause(); } });
      on.call(res, "drain", () => { console.log("res drain"); gzip.resume(); });
      gzip.on("drain", () => console.log("gzip drain"));
      return (writeHead as any).apply(this, args);
    } as any;
    res.write = ((...args: any[]) => { const r = (gzip ?? { write: write.bind(res) }).write(...args); return r; }) as any;
    res.on = ((name: string, act: any) => (on as any).call(name === "drain" && gzip ? gzip : res, name, act)) as any;
    Object.assign(res, { flush: () => gzip?.flush(constants.Z_SYNC_FLUSH) });
    next();
  });
  app.use("/realtime", express(tl));
  const server = createServer(app).listen(0);
  const res: any = await new Promise((r) => http.get({ port: (server.address() as any).port, path: "/realtime/channels/a" }, r));
  const noise = Buffer.alloc(40_000);
  for (let n = 0; n < 100; n++) { crypto.getRandomValues(noise); await tl.channel("a").publish("message", `${n} ${noise.toString("hex")}`, { text: true }); }
  let bytes = 0; const gz = createGunzip(); gz.on("data", (d) => { bytes += d.length });
  res.pipe(gz);
  await new Promise((r) => setTimeout(r, 2000));
  console.log("bytes", bytes, [...tl.connections()].map((c: any) => [...c.readers()].map((r: any) => r.state)));
}, 5000);
