import { describe, expect } from "vitest";
import { PUBLISHERS } from "../support/publishers.ts";
import type { SocketReader } from "../support/raw-socket.ts";
import type { PlainReader } from "../support/raw-sse.ts";
import { LOBBY, numbers, offsets, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

describe("Shutdown", () => {
  promise(
    "a server that stops says goodbye on every transport, and when to come back",
    { needs: ["toldWhy"] },
    async ({ connect, publish, server }) => {
      const reader = await connect();
      await publish(1);
      await reader.next(1);
      await until("it reads", () => server.tl.counts().readers === 1);
      await server.stop();
      const { code, retryAfterMs = -1 } = await reader.ended();
      expect(code).toBe("restart");
      expect(retryAfterMs).toBeGreaterThanOrEqual(0);
      expect(retryAfterMs).toBeLessThanOrEqual(5_000);
    },
  );

  promise(
    "a WebSocket is closed with 1012, and an EventSource told by `retry:`",
    { over: "one", on: "one" },
    async ({ connect, server }) => {
      const socket = (await connect({ over: "websocket" })) as SocketReader;
      const stream = (await connect({ over: "sse" })) as PlainReader;
      await server.stop();
      await until("both are over", () => socket.closeCode !== 0 && stream.inbox.ending !== null);
      expect([socket.closeCode, stream.retryMs]).toEqual([1012, stream.inbox.ending?.retryAfterMs]);
    },
  );

  promise("readers are told to come back at moments of their own", { over: "one", on: "one" }, async ({ connect, server }) => {
    const readers = await Promise.all(numbers(30).map((n) => connect({ over: n % 2 === 0 ? "sse" : "websocket" })));
    await server.stop();
    const moments = await Promise.all(readers.map(async (reader) => (await reader.ended()).retryAfterMs ?? -1));
    expect(new Set(moments).size).toBeGreaterThan(20);
    expect(Math.max(...moments) - Math.min(...moments)).toBeGreaterThan(1_000);
  });

  promise(
    "[D2] a client comes back to the restarted server, with nothing missing",
    { needs: ["comesBack", "restart"], atOnce: true },
    async (stage) => {
      const { connect, publish, server } = stage;
      const reader = await connect();
      const before = await publish(50);
      await server.restart();
      const after = await publish(50);
      expect(await reader.next(100)).toEqual([...before, ...after]);
    },
  );

  promise("[D2] a client that finds no server waits for one", { needs: ["comesBack", "restart"], atOnce: true }, async (stage) => {
    const { connect, publish, server } = stage;
    const reader = await connect();
    const before = await publish(5);
    expect(await reader.next(5)).toEqual(before);
    server.cut();
    await server.stop();
    const stopped = performance.now();
    await until("it has looked in vain for a while", () => performance.now() - stopped > 700);
    await server.start();
    const after = await publish(5);
    expect(await reader.next(5)).toEqual(after);
  });

  promise(
    "[D4] what is in flight when a server stops is stored and acknowledged, or refused as not stored",
    { over: "one", needs: ["restart"] },
    async (stage) => {
      const { server, keep } = stage;
      const opened = await Promise.all(PUBLISHERS.slice(0, 3).map(async (one) => keep(await one.open(server.url))));
      const outcomes = numbers(150).map(async (n) => {
        const answer = opened[n % 3]?.publish({ channel: LOBBY, data: n });
        return (
          (await answer?.then(
            ({ position }) => position,
            (error) => String(error.code),
          )) ?? ""
        );
      });
      await server.stop();
      await server.start();
      const told = await Promise.all(outcomes);
      const stored = (await server.tl.channel(LOBBY).history({ limit: 1_000 })).messages.map(({ position }) => position);
      const acknowledged = told.filter((one) => one.length === 46);
      expect(stored).toEqual(expect.arrayContaining(acknowledged));
      expect(offsets(stored.map((position) => ({ position })))).toEqual(numbers(stored.length));
      // Those that were not acknowledged were refused, or their connection was cut: then nobody was told anything
      for (const code of told.filter((one) => one.length !== 46))
        expect(["not_stored", "restart", "cut", "ECONNRESET", "ECONNREFUSED"]).toContain(code);
      if (told.every((one) => one.length === 46 || one === "not_stored" || one === "restart"))
        expect(stored.length).toBe(acknowledged.length);
    },
  );

  promise(
    "[D2] readers have every acknowledged message before they are told goodbye",
    { needs: ["stays", "toldWhy"], on: "one" },
    async (stage) => {
      const { connect, publish, server } = stage;
      const reader = await connect();
      const sent = await publish(200);
      await server.stop();
      await reader.ended();
      expect(await reader.next(reader.inbox.waiting)).toEqual(sent);
    },
  );

  promise("a stopped server has let go of everything, and stopping it twice is no error", {}, async ({ connect, server }) => {
    await connect().then((reader) => reader.close());
    const { tl } = server;
    await Promise.all([server.stop(), tl.close()]);
    await tl.close();
    expect(tl.counts()).toMatchObject({ connections: 0, readers: 0, channels: 0 });
    await expect(tl.channel(LOBBY).publish(1)).rejects.toMatchObject({ code: "not_stored" });
  });
});
