import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { type Log, type Throughline, type ThroughlineOptions, throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { freePort } from "./free-port.ts";
import { until } from "./until.ts";

export interface TestServer {
  readonly url: string;
  /** The one that runs now: another one after each start. */
  readonly tl: Throughline;
  /** What the operator was told. */
  readonly sentences: readonly string[];
  /** The most bytes that any one connection has not taken yet. */
  unsent(): number;
  /** Lets nothing through on the connections that are open now, in either direction, and closes none: as a network that is gone. */
  freeze(): void;
  /** Destroys every connection, as a network does: nobody is told why. */
  cut(): void;
  /** Says goodbye to everyone, and stops. */
  stop(): Promise<void>;
  /** Starts again, on the same port. */
  start(): Promise<void>;
  restart(): Promise<void>;
  /** Ends it all, whatever is still open. */
  dispose(): Promise<void>;
}

export type ServerOptions = Omit<ThroughlineOptions, "engine" | "warn">;

/** How long a stopped server waits for connections that do not close by themselves. */
const CLOSING_MS = 2_000;

/** A real server on a free port of loopback. `engine` is asked for one at each start. `join` puts it on the server that listens, at each start too. */
export async function startServer(
  engine: () => Log,
  options: ServerOptions = {},
  join: (tl: Throughline, listening: Server) => unknown = attach,
): Promise<TestServer> {
  const sentences: string[] = [];
  const sockets = new Set<Socket>();
  const port = await freePort();
  let http: Server | null = null;
  let tl: Throughline;

  async function start(): Promise<void> {
    tl = throughline({ ...options, engine: engine(), warn: (sentence) => sentences.push(sentence) });
    const listening = createServer();
    listening.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    join(tl, listening);
    await new Promise<void>((resolve, reject) => listening.once("error", reject).listen(port, "127.0.0.1", resolve));
    http = listening;
  }

  function cut(): void {
    for (const socket of sockets) socket.destroy();
  }

  async function stop(closingMs = CLOSING_MS): Promise<void> {
    const listening = http;
    if (listening === null) return;
    http = null;
    const closed = new Promise<void>((resolve) => listening.close(() => resolve()));
    if (closingMs === 0) cut();
    await tl.close();
    await until("all connections are closed", () => sockets.size === 0, closingMs).catch(cut);
    await closed;
  }

  await start();
  return {
    url: `http://127.0.0.1:${port}`,
    get tl() {
      return tl;
    },
    sentences,
    unsent: () => Math.max(0, ...[...sockets].map((socket) => socket.writableLength)),
    freeze() {
      for (const socket of sockets) {
        socket.pause();
        socket.write = () => true;
      }
    },
    cut,
    stop: () => stop(),
    start,
    async restart() {
      await stop();
      await start();
    },
    dispose: () => stop(0),
  };
}
