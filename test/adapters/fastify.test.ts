import Fastify from "fastify";
import { describe, expect, test } from "vitest";
import { fastify } from "../../src/fastify.ts";
import { throughline } from "../../src/index.ts";
import { EventReader, FrameClient } from "../support/raw-clients.ts";
import { inTime } from "../support/until.ts";
import { adapterTests } from "./adapter-tests.ts";
import { alone, counted, siteOf } from "./host.ts";

const POWERS = { http1: true, ownsResponse: true, webSockets: true, routes: true, parsesBodies: false };

function serve(tl: ReturnType<typeof throughline>) {
  const app = Fastify();
  app.register(fastify(tl), { prefix: "/realtime" });
  app.get("/hello", async () => "hello");
  app.get("/realtime/own", async () => "own");
  app.post("/echo", async ({ body }) => body);
  return app;
}

adapterTests({
  name: "Fastify 5",
  mount: "/realtime",
  powers: POWERS,
  async serve(tl) {
    const app = serve(tl);
    await app.listen({ port: 0, host: "127.0.0.1" });
    return siteOf(app.server, "/realtime", async () => {
      await app.close();
    });
  },
});

describe("Fastify 5", () => {
  test("closes with readers of every transport open: each is told to come back, and nobody is left", async () => {
    const tl = throughline();
    const app = serve(tl);
    await app.listen({ port: 0, host: "127.0.0.1" });
    const site = await siteOf(app.server, "/realtime");
    const reader = new EventReader(await site.ask("/channels/a"));
    await reader.next();
    const client = await FrameClient.open(`ws://127.0.0.1:${site.port}/realtime/socket?channel=a`);
    const body = JSON.stringify({ channels: [{ name: "a" }] });
    const polled = site.ask("/events?wait=25", { method: "POST", headers: { "content-type": "application/json" }, body });
    const waiting = site.ask("/channels/a?wait=25");
    await counted(tl, 4);
    await inTime(app.close(), () => "the application to close");
    expect(await reader.next()).toMatchObject({ event: "bye", data: expect.stringContaining('"restart"') });
    expect(await reader.next()).toBeNull();
    expect(await client.next("bye")).toMatchObject({ code: "restart" });
    expect(await client.closed).toMatchObject({ code: 1012 });
    expect((await (await polled).json()).frames.at(-1)).toMatchObject({ type: "bye", code: "restart" });
    expect((await (await waiting).json()).error.code).toBe("restart");
    await alone(tl);
    // The hub is the application's: it goes on, for others.
    await tl.channel("a").publish(1);
    await tl.close();
  });

  test("closes while someone waits for permission", async () => {
    let allow = (_yes: boolean): void => undefined;
    let asked = (): void => undefined;
    const asking = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const authorize = () =>
      new Promise<boolean>((resolve) => {
        allow = resolve;
        asked();
      });
    const tl = throughline({ authorize });
    const app = serve(tl);
    await app.listen({ port: 0, host: "127.0.0.1" });
    const site = await siteOf(app.server, "/realtime");
    const response = site.ask("/channels/a");
    await asking;
    const closed = app.close();
    allow(true);
    await inTime(closed, () => "the application to close");
    const reader = new EventReader(await response);
    for (let event = await reader.next(); event !== null; event = await reader.next()) expect(event.event).not.toBe("message");
    await tl.close();
  });

  test("headers that hooks of the application have set are sent with ours, and its hooks may refuse", async () => {
    const tl = throughline();
    const app = Fastify();
    app.addHook("onRequest", async (request, reply) => {
      reply.header("x-of-the-application", "yes");
      if (request.headers["x-refuse"] !== undefined) return reply.code(418).send("no");
    });
    app.register(fastify(tl), { prefix: "/realtime" });
    await app.listen({ port: 0, host: "127.0.0.1" });
    const site = await siteOf(app.server, "/realtime");
    const response = await site.ask("/channels/a");
    expect(response.headers.get("x-of-the-application")).toBe("yes");
    await new EventReader(response).close();
    expect((await site.ask("/channels/a", { headers: { "x-refuse": "1" } })).status).toBe(418);
    await app.close();
    await tl.close();
  });
});
