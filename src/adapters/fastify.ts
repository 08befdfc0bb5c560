import type { Server } from "node:net";
import { ThroughlineError } from "../protocol/error.ts";
import { below, mountOf } from "./mount.ts";
import { attach } from "./node.ts";
import { NodeExchange, type NodeRequest, type NodeResponse } from "./node-exchange.ts";
import type { Throughline } from "./throughline.ts";

/** What is used of Fastify 5. */
export interface FastifyLike {
  readonly prefix: string;
  readonly server: Server;
  removeAllContentTypeParsers(): void;
  addContentTypeParser(contentType: string, parser: (request: unknown, payload: unknown, done: (error: null) => void) => void): unknown;
  all(path: string, handler: (request: RequestLike, reply: ReplyLike) => Promise<unknown>): unknown;
  addHook(name: "preClose", hook: (done: () => void) => void): unknown;
  addHook(name: "onClose", hook: (app: unknown, done: () => void) => void): unknown;
}

interface RequestLike {
  readonly raw: NodeRequest;
}

interface ReplyLike {
  readonly raw: NodeResponse;
  getHeaders(): Record<string, number | string | string[] | undefined>;
  hijack(): unknown;
  callNotFound(): unknown;
}

export type FastifyPlugin = (app: FastifyLike, options: object, done: () => void) => void;

/**
 * A plugin for Fastify 5: HTTP and WebSockets below its prefix. Hooks of the application that run before a handler run before ours, and headers that they set
 * are sent. When the application closes, readers are told to come back later or elsewhere; without that `close` would wait for them for ever.
 *
 * @example app.register(fastify(tl), { prefix: "/realtime" })
 */
export function fastify(tl: Throughline): FastifyPlugin {
  return (app, _options, done) => {
    const mount = mountOf({ path: app.prefix });
    // Bodies stay unread: each of our paths has its own limit and its own idea of JSON.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", (_request, _payload, parsed) => parsed(null));
    app.all("/*", async ({ raw }, reply) => {
      const url = below(mount, raw.url ?? "/");
      if (url === null) return reply.callNotFound();
      for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value);
      if (!(await tl.endpoint.handle(new NodeExchange(raw, reply.raw, url, tl.endpoint.hub.limits)))) return reply.callNotFound();
      reply.hijack();
    });
    const detach = attach(tl, app.server, { path: mount, requests: false });
    let stop = () => {};
    app.addHook("preClose", (closed) => {
      detach();
      const restart = () => new ThroughlineError("restart", "The server is stopping. Come back in a moment.", { retryAfterMs: 1_000 });
      // Those of other servers of the same hub end too; they come back at their position, as anyone who was cut.
      for (const connection of tl.connections()) connection.end(restart());
      // And who was asking for permission just now.
      stop = tl.on("connect", (connection) => queueMicrotask(() => connection.end(restart())));
      closed();
    });
    app.addHook("onClose", (_app, closed) => {
      stop();
      closed();
    });
    done();
  };
}
