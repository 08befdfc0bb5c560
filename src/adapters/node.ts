import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { ThroughlineError } from "../protocol/error.ts";
import { NodeExchange } from "./node-exchange.ts";
import { refuse, SocketAcceptor } from "./node-socket.ts";
import type { Throughline } from "./throughline.ts";

export interface AttachOptions {
  /** The mount point, such as `/realtime`. Default: the root. */
  readonly path?: string;
}

/** A request listener for node:http, and a middleware for whatever takes `(req, res, next)`. */
export type NodeHandler = (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void) => void;

/**
 * Answers requests whose `req.url` stands below the mount point already, as Express and Connect give them. What is not ours goes to `next`, or is 404.
 * WebSockets need `attach` or `upgrade`, since frameworks do not see them.
 *
 * @example http.createServer(handler(tl)).listen(3000)
 */
export function handler(tl: Throughline): NodeHandler {
  return (req, res, next) => void answer(tl, req, res, req.url ?? "/", next);
}

/**
 * Accepts a WebSocket. False if the URL is not that of the mount point's `/socket`: then someone else may take it.
 *
 * @example server.on("upgrade", (req, socket, head) => upgrade(tl, req, socket, head, { path: "/realtime" }) || socket.destroy())
 */
export function upgrade(tl: Throughline, req: IncomingMessage, socket: Duplex, head: Buffer, options: AttachOptions = {}): boolean {
  const url = below(mountOf(options), req.url ?? "/");
  if (url === null || !/^\/socket(\?|$)/.test(url)) return false;
  void acceptorOf(tl).accept(req, socket, head, url);
  return true;
}

/**
 * Serves requests and WebSockets of a node:http server below a mount point. Other paths stay with the server's own listeners; where it has none, they are 404.
 * Returns a function that takes the listeners back.
 *
 * @example attach(tl, server, { path: "/realtime" })
 */
export function attach(tl: Throughline, server: Server, options: AttachOptions = {}): () => void {
  const mount = mountOf(options);
  const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const url = below(mount, req.url ?? "/");
    const alone = server.listenerCount("request") === 1;
    if (url !== null) void answer(tl, req, res, url, alone ? undefined : () => undefined);
    else if (alone) tl.endpoint.notFound(new NodeExchange(req, res, req.url ?? "/"));
  };
  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (upgrade(tl, req, socket, head, options) || server.listenerCount("upgrade") > 1) return;
    socket.on("error", () => socket.destroy());
    refuse(socket, new ThroughlineError("not_found", "There is no WebSocket at this path. Use /socket below the mount point."));
  };
  server.on("request", onRequest);
  server.on("upgrade", onUpgrade);
  return () => {
    server.off("request", onRequest);
    server.off("upgrade", onUpgrade);
  };
}

async function answer(
  tl: Throughline,
  req: IncomingMessage,
  res: ServerResponse,
  url: string,
  next?: (error?: unknown) => void,
): Promise<void> {
  const exchange = new NodeExchange(req, res, url);
  if (await tl.endpoint.handle(exchange)) return;
  if (next === undefined) tl.endpoint.notFound(exchange);
  else next();
}

/** One for each hub, however many servers it is attached to. */
const acceptors = new WeakMap<Throughline, SocketAcceptor>();

function acceptorOf(tl: Throughline): SocketAcceptor {
  let acceptor = acceptors.get(tl);
  if (acceptor === undefined) {
    acceptor = new SocketAcceptor(tl.endpoint);
    acceptors.set(tl, acceptor);
  }
  return acceptor;
}

function mountOf({ path = "/" }: AttachOptions): string {
  return path.replace(/\/+$/, "");
}

/** What stands below the mount point, or null. */
function below(mount: string, url: string): string | null {
  if (mount === "") return url;
  if (!url.startsWith(mount)) return null;
  const rest = url.slice(mount.length);
  return rest.startsWith("/") ? rest : rest === "" || rest.startsWith("?") ? `/${rest}` : null;
}
