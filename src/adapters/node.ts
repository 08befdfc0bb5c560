import { type IncomingMessage, ServerResponse } from "node:http";
import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ThroughlineError } from "../protocol/error.ts";
import { below, type MountOptions, mountOf } from "./mount.ts";
import { NodeExchange, type NodeRequest, type NodeResponse } from "./node-exchange.ts";
import { refuse, SocketAcceptor } from "./node-socket.ts";
import { carriesStream } from "./node-stream.ts";
import type { Throughline } from "./throughline.ts";

export interface AttachOptions extends MountOptions {
  /** False: take WebSockets only, where a framework has the requests. Default: true. */
  readonly requests?: boolean;
}

/** A request listener for node:http and node:http2, and a middleware for whatever takes `(req, res, next)`. */
export type NodeHandler = (req: NodeRequest, res: NodeResponse, next?: (error?: unknown) => void) => void;

/**
 * Answers requests whose `req.url` stands below the mount point already, as Express and Connect give them. What is not ours goes to `next`, or is 404.
 * WebSockets need `attach` or `upgrade`, since frameworks do not see them.
 *
 * @example http.createServer(handler(tl)).listen(3000)
 */
export function handler(tl: Throughline): NodeHandler {
  return (req, res, next) => answer(tl, req, res, below("", req.url ?? "/")!, next);
}

/**
 * Accepts a WebSocket. False if the URL is not that of the mount point's `/socket`: then someone else may take it.
 *
 * @example server.on("upgrade", (req, socket, head) => upgrade(tl, req, socket, head, { path: "/realtime" }) || socket.destroy())
 */
export function upgrade(tl: Throughline, req: IncomingMessage, socket: Duplex, head: Buffer, options: AttachOptions = {}): boolean {
  const url = below(mountOf(options), req.url ?? "/");
  if (url === null || !/^\/socket(\?|$)/.test(url)) return false;
  inTurn(socket, () => void acceptorOf(tl).accept(req, socket, head, url));
  return true;
}

/**
 * Serves requests and WebSockets of a node:http or node:http2 server below a mount point. All other paths go to the listeners that the server has when
 * this is called; where it has none, they are 404. Returns a function that takes it all back.
 *
 * @example attach(tl, http.createServer(app), { path: "/realtime" })
 * @example attach(tl, server, { path: "/realtime", requests: false }) // beside app.use("/realtime", express(tl))
 */
export function attach(tl: Throughline, server: Server, options: AttachOptions = {}): () => void {
  const mount = mountOf(options);
  // Set aside, because an event goes to all of its listeners: they would answer our requests too.
  const others = options.requests === false ? null : (server.listeners("request") as NodeHandler[]);
  const onRequest = (req: NodeRequest, res: NodeResponse): void => {
    const toOthers = () => {
      for (const other of others ?? []) other.call(server, req, res);
    };
    const url = below(mount, req.url ?? "/");
    if (url !== null) answer(tl, req, res, url, others?.length ? toOthers : undefined);
    else if (others?.length) toOthers();
    else tl.endpoint.notFound(new NodeExchange(req, res, req.url ?? "/", tl.endpoint.hub.limits));
  };
  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const asksWebSocket = req.headers.upgrade?.toLowerCase() === "websocket";
    if (asksWebSocket && upgrade(tl, req, socket, head, options)) return;
    if (server.listenerCount("upgrade") > 1) return;
    inTurn(socket, () => {
      socket.on("error", () => socket.destroy());
      if (!asksWebSocket && !hasBody(req)) ignoreUpgrade(server, req, socket as Socket);
      else refuse(socket, new ThroughlineError("not_found", "There is no WebSocket at this path. Use /socket below the mount point."));
    });
  };
  if (others !== null) {
    server.removeAllListeners("request");
    server.on("request", onRequest);
  }
  server.on("upgrade", onUpgrade);
  return () => {
    server.off("upgrade", onUpgrade);
    if (others === null) return;
    server.off("request", onRequest);
    for (const other of others) server.on("request", other);
  };
}

function answer(tl: Throughline, req: NodeRequest, res: NodeResponse, url: string, next?: (error?: unknown) => void): void {
  if (req.httpVersionMajor < 2 && carriesStream(req.socket)) {
    req.socket.destroy();
    return;
  }
  const exchange = new NodeExchange(req, res, url, tl.endpoint.hub.limits);
  tl.endpoint
    .handle(exchange)
    .then((ours) => {
      if (ours) return;
      if (next === undefined) tl.endpoint.notFound(exchange);
      else next();
    })
    .catch((error: unknown) => {
      tl.endpoint.hub.warn(`Unexpected: ${String(error)}`);
      res.destroy();
    });
}

/**
 * Acts when the requests before this one on its connection are answered (RFC 9112 §9.3.2): bytes written before that would stand within another answer, and
 * node:http throws where a second response is given the socket. It tells nobody of an `upgrade` but hands over the socket at once.
 */
function inTurn(socket: Duplex & { _httpMessage?: ServerResponse | null }, act: () => void): void {
  const earlier = socket._httpMessage;
  if (carriesStream(socket)) socket.destroy();
  else if (!earlier) act();
  else {
    const end = () => socket.destroy();
    for (const event of ["error", "end"]) socket.on(event, end);
    earlier.once("close", () => {
      // What has destroyed it may still be told as an error, which ends the process where nobody hears it
      if (socket.destroyed) return;
      for (const event of ["error", "end"]) socket.off(event, end);
      inTurn(socket, act);
    });
  }
}

/** RFC 9110 §7.8: an Upgrade that is not taken is no reason to refuse (curl --http2 sends one with each request). A listener of `upgrade` gets them all, though. */
function ignoreUpgrade(server: Server, req: IncomingMessage, socket: Socket): void {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket);
  res.once("finish", () => socket.end(() => socket.destroy()));
  // node:http has let go of the socket, and who does not read never hears that the other end has gone. What else comes on it is nobody's.
  socket.once("end", () => socket.end());
  socket.resume();
  server.emit("request", req, res);
}

/** Where there is an Upgrade node:http leaves the body unread. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
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
