import type { IncomingMessage, ServerResponse } from "node:http";
import { fetchHandler } from "./fetch.ts";
import { below, type MountOptions, mountOf } from "./mount.ts";
import { NodeExchange } from "./node-exchange.ts";
import type { Throughline } from "./throughline.ts";

/** What is used of a Hono context. */
export interface HonoContextLike {
  readonly req: { readonly raw: Request; arrayBuffer(): Promise<ArrayBuffer> };
  readonly env: unknown;
}

export type HonoHandler = (context: HonoContextLike, next: () => Promise<void>) => Promise<Response | void>;

/**
 * A middleware for Hono. On @hono/node-server it answers past Hono, on Node's own response, which costs less and is delimited by close; on other
 * runtimes it gives a Response. What is not ours goes on to the application's own routes. On Node `attach` takes WebSockets from the server.
 *
 * @example
 * app.use("/realtime/*", hono(tl, { path: "/realtime" }));
 * const server = serve({ fetch: app.fetch, port: 3000 });
 * attach(tl, server, { path: "/realtime", requests: false }); // import { attach } from "throughline/node"
 */
export function hono(tl: Throughline, options: MountOptions = {}): HonoHandler {
  const mount = mountOf(options);
  const fetch = fetchHandler(tl, { path: mount, passOn: true });
  return async (context, next) => {
    const node = nodeOf(context.env);
    if (node === null) return (await fetch(await unread(context))) ?? next();
    const { incoming, outgoing } = node;
    const url = below(mount, incoming.url ?? "/");
    if (url === null) return next();
    // A middleware has read the body; Hono keeps it.
    if (incoming.readableDidRead || incoming.readableEnded)
      Object.assign(incoming, { body: new Uint8Array(await context.req.arrayBuffer()) });
    if (!(await tl.endpoint.handle(new NodeExchange(incoming, outgoing, url, tl.endpoint.hub.limits)))) return next();
    return alreadySent();
  };
}

/** What @hono/node-server gives its handlers; null on other runtimes. */
function nodeOf(env: unknown): { incoming: IncomingMessage; outgoing: ServerResponse } | null {
  const { incoming, outgoing } = (env ?? {}) as { incoming?: IncomingMessage; outgoing?: ServerResponse };
  return incoming !== undefined && typeof outgoing?.writeHead === "function" ? { incoming, outgoing } : null;
}

/** By this header @hono/node-server knows that Node's response is not its own any more (its RESPONSE_ALREADY_SENT). */
function alreadySent(): Response {
  const response = new Response(null, { headers: { "x-hono-already-sent": "true" } });
  // Until something but its headers has been looked at, node-server takes a Response for one to be sent as it stands.
  void response.body;
  return response;
}

/** The request with its body; where a middleware has read it, Hono has it still. */
async function unread({ req }: HonoContextLike): Promise<Request> {
  if (!req.raw.bodyUsed) return req.raw;
  const { method, headers, signal, url } = req.raw;
  return new Request(url, { method, headers, signal, body: await req.arrayBuffer() });
}
