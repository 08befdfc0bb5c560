import { createServer, type RequestListener, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ThroughlineError } from "../protocol/error.ts";

/** A client that takes longer to say what it wants is a fault, or a slow-loris: it is cut. Streams are answers, and may last for ever. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
const KEEP_ALIVE_MS = 10_000;
const HEADERS_MAX = 100;
/** How long a stop waits for clients to take their goodbye. */
const GOODBYE_MS = 1_000;

export type UpgradeListener = (req: import("node:http").IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface Port {
  /** 0 takes any that is free. */
  readonly port: number;
  /** False shares it with the other workers of `node:cluster`. */
  readonly exclusive: boolean;
}

export interface Listening {
  readonly port: number;
  /** Takes no more connections. */
  stop(): void;
  /** Ends those that are left. Resolves when nothing is open. */
  end(): Promise<void>;
}

/**
 * Listens on the loopback interface, and nothing else: on 127.0.0.1, and where the machine has it on ::1, since `localhost` may mean either.
 * Throws with what to do if the port is taken. Port 0 takes any that is free.
 */
export async function listenOnLoopback(
  { port, exclusive }: Port,
  onRequest: RequestListener,
  onUpgrade: UpgradeListener,
): Promise<Listening> {
  const sockets = new Set<Socket>();
  const make = (): Server => {
    const server = createServer(
      { headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS, keepAliveTimeout: KEEP_ALIVE_MS, connectionsCheckingInterval: 5_000 },
      onRequest,
    );
    server.maxHeadersCount = HEADERS_MAX;
    server.on("upgrade", onUpgrade);
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    return server;
  };

  const first = make();
  await listen(first, { host: "127.0.0.1", port, exclusive });
  const address = first.address();
  const chosen = typeof address === "object" && address !== null ? address.port : port;
  const servers = [first];
  const second = make();
  try {
    await listen(second, { host: "::1", port: chosen, exclusive });
    servers.push(second);
  } catch (error) {
    // No IPv6 here; or another program has that port of it, which matters only if this one was asked for.
    if (port !== 0 && error instanceof ThroughlineError) {
      first.close();
      throw error;
    }
  }
  return {
    port: chosen,
    stop() {
      for (const server of servers) server.close();
    },
    async end() {
      const ended = Promise.all([...sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve))));
      for (const server of servers) server.closeIdleConnections();
      const late = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, GOODBYE_MS);
      await ended;
      clearTimeout(late);
    },
  };
}

function listen(server: Server, address: Port & { readonly host: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explain(error, address.host, address.port)));
    server.listen(address, resolve);
  });
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const shown = host.includes(":") ? `[${host}]` : host;
  if (error.code === "EADDRINUSE") {
    return new ThroughlineError(
      "internal",
      `Port ${port} of ${shown} is in use by another program, or by another throughline. Stop that one, or choose another port: --port ${port + 1}.`,
      { cause: error },
    );
  }
  if (error.code === "EACCES") {
    return new ThroughlineError("internal", `This user may not listen on port ${port}. Choose one above 1023: --port 4400.`, {
      cause: error,
    });
  }
  return error;
}
