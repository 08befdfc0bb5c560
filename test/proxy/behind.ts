import type { Socket } from "node:net";
import { type Limits, memory } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { HEARTBEAT_SSE, HEARTBEAT_WEBSOCKET } from "../../src/wire/control.ts";
import type { Message } from "../support/inbox.ts";
import type { Asked } from "../support/reader.ts";
import { startServer, type TestServer } from "../support/start-server.ts";
import { numbers } from "../support/story.ts";
import type { ProxySetup } from "./proxies.ts";
import type { RunningProxy } from "./running-proxy.ts";

export interface Behind {
  readonly server: TestServer;
  readonly proxy: RunningProxy;
  /** What a reader of this channel asks, by way of the proxy. */
  asked(channel: string, from?: string): Asked;
  /** Publishes so many messages, numbered on from those before, and says what every reader of the channel must get. */
  publish(channel: string, count: number): Promise<Message[]>;
  /** What the server writes from now on to each connection that stands: how many heartbeats the one got that got the most, if nothing else is written. */
  heartbeats(): () => number;
  /** Ends all that was kept, the proxy, and the server. */
  close(): Promise<void>;
  /** Closed at the end. */
  keep<T extends { close(): void }>(opened: T): T;
}

/** A server in this process and a proxy before it. */
export async function behind(
  proxy: ProxySetup,
  { limits, idleSeconds }: { limits?: Partial<Limits>; idleSeconds?: number } = {},
): Promise<Behind> {
  const sockets = new Set<Socket>();
  const upgraded = new WeakSet<object>();
  const server = await startServer(
    () => memory(),
    limits === undefined ? {} : { limits },
    (tl, listening) => {
      attach(tl, listening);
      listening.on("upgrade", (_request, socket) => upgraded.add(socket));
      listening.on("connection", (socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
      });
    },
  );
  const running = await proxy.start(Number(new URL(server.url).port), idleSeconds === undefined ? {} : { idleSeconds });
  const opened: { close(): void }[] = [];
  const counts = new Map<string, number>();
  return {
    server,
    proxy: running,
    asked: (name, from = "") => ({ url: running.url, channels: [{ name, from }] }),
    async publish(channel, count) {
      const before = counts.get(channel) ?? 0;
      counts.set(channel, before + count);
      const line = server.tl.channel(channel);
      return Promise.all(
        numbers(count, before + 1).map(async (n) => {
          const { position } = await line.publish({ n });
          return { channel, event: "message", data: { n }, position };
        }),
      );
    },
    heartbeats() {
      const before = [...sockets].map((socket) => [socket, socket.bytesWritten] as const);
      return () => {
        const counts = before.map(([socket, bytes]) => {
          const { length } = upgraded.has(socket) ? HEARTBEAT_WEBSOCKET : HEARTBEAT_SSE;
          return Math.floor((socket.bytesWritten - bytes) / length);
        });
        return Math.max(0, ...counts);
      };
    },
    keep(one) {
      opened.push(one);
      return one;
    },
    async close() {
      for (const one of opened) one.close();
      await running.stop();
      await server.dispose();
    },
  };
}
