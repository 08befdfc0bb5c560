import type { Server } from "node:http";
import { serve as serveNode } from "@hono/node-server";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { compress } from "hono/compress";
import { cors } from "hono/cors";
import { logger } from "hono/logger";
import { secureHeaders } from "hono/secure-headers";
import { describe, expect, test } from "vitest";
import { hono } from "../../src/hono.ts";
import { type Throughline, throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { EventReader } from "../support/raw-clients.ts";
import { adapterTests } from "./adapter-tests.ts";
import { type Host, siteOf } from "./host.ts";

const POWERS = { http1: true, ownsResponse: true, webSockets: true, routes: true, parsesBodies: false };

function application(tl: Throughline, prepare: (app: Hono) => void): Hono {
  const app = new Hono();
  prepare(app);
  app.use("/realtime/*", hono(tl, { path: "/realtime" }));
  app.get("/hello", (c) => c.text("hello"));
  app.get("/realtime/own", (c) => c.text("own"));
  app.post("/echo", async (c) => c.json(await c.req.json()));
  return app;
}

function host(name: string, prepare: (app: Hono) => void, parsesBodies = false): Host {
  return {
    name,
    mount: "/realtime",
    powers: { ...POWERS, parsesBodies },
    async serve(tl) {
      const server = serveNode({ fetch: application(tl, prepare).fetch, port: 0, hostname: "127.0.0.1" }) as Server;
      await new Promise<void>((resolve) => (server.listening ? resolve() : server.once("listening", resolve)));
      attach(tl, server, { path: "/realtime", requests: false });
      return siteOf(server, "/realtime");
    },
  };
}

adapterTests(host("Hono on @hono/node-server", () => undefined));
adapterTests(
  host(
    "Hono on @hono/node-server behind middlewares",
    (app) => {
      app.use(
        logger(() => undefined),
        compress(),
        secureHeaders({ xContentTypeOptions: false }),
        bodyLimit({ maxSize: 20_000_000 }),
      );
      app.use("/elsewhere/*", cors());
      app.use(async (c, next) => {
        // It reads the body before us.
        if (c.req.method === "POST") await c.req.arrayBuffer();
        await next();
        c.res.headers.set("x-after", "too late for a stream, and no harm");
      });
    },
    true,
  ),
);

describe("Hono on another runtime", () => {
  test("answers by a Response, and passes on what is not ours", async () => {
    const tl = throughline();
    const app = application(tl, () => undefined);
    const response = await app.request("/realtime/channels/a");
    const reader = new EventReader(response);
    expect(await reader.next()).toMatchObject({ event: "connected" });
    const posted = await app.request("/realtime/channels/a", { method: "POST", body: "hello" });
    expect(posted.status).toBe(201);
    expect(await reader.take(1)).toEqual(["hello"]);
    expect(await (await app.request("/realtime/own")).text()).toBe("own");
    expect((await app.request("/realtime/nothing")).status).toBe(404);
    await tl.close();
  });
});
