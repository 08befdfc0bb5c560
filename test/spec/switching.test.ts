import { describe, expect, test } from "vitest";
import { connect, type Transport } from "../../src/client.ts";
import { memory } from "../../src/index.ts";
import { ClientReader } from "../support/client-reader.ts";
import { startServer } from "../support/start-server.ts";
import { byChance, LOBBY, numbers, promise } from "../support/story.ts";
import { TRANSPORTS } from "../support/transports.ts";
import { until } from "../support/until.ts";

const MOVES: readonly Transport[] = ["sse", "websocket", "long-poll"];

describe("Switching transports", () => {
  for (const { name } of TRANSPORTS) {
    promise(`[D6] a reader goes on over ${name} where it stood on another transport`, { on: "one" }, async ({ connect, publish }) => {
      const reader = await connect();
      const before = await publish(3);
      expect(await reader.next(3)).toEqual(before);
      const moved = await connect({ over: name, after: reader });
      const after = await publish(3);
      expect(await moved.next(3)).toEqual(after);
    });
  }

  promise("[D6] while two pipes are open, each has every message", { on: "one" }, async ({ connect, publish }) => {
    const first = await connect();
    await publish(3);
    await first.next(3);
    const second = await connect({ over: "websocket", after: first });
    const more = await publish(3);
    expect(await first.next(3)).toEqual(more);
    expect(await second.next(3)).toEqual(more);
  });

  promise("[D6] a client that is told to move does so in mid-stream, with every message once", { needs: ["switches"] }, async (stage) => {
    const { connect, publish } = stage;
    const reader = (await connect()) as ClientReader;
    for (const to of [...MOVES, ...MOVES]) {
      const before = await publish(5);
      reader.client.switchTo(to);
      const during = await publish(5);
      await until(`it runs over ${to}`, () => reader.client.transport === to);
      expect(await reader.next(10)).toEqual([...before, ...during]);
    }
    expect(reader.inbox.waiting).toBe(0);
  });

  promise("[D6] a move that fails leaves the old pipe untouched", { needs: ["switches"], on: "one" }, async ({ publish, server, keep }) => {
    // A WebSocket that never gets through, as behind some proxies
    const blocked = keep(connect(server.url, { transport: "sse", WebSocket: Unreachable }));
    blocked.on("error", () => undefined);
    const got: string[] = [];
    const channel = blocked.channel(LOBBY);
    channel.subscribe(({ position }) => got.push(position));
    await until("it reads", () => channel.state === "live");
    const before = await publish(3);
    blocked.switchTo("websocket");
    const after = await publish(3);
    await until("all have come", () => got.length === 6);
    expect(got).toEqual([...before, ...after].map(({ position }) => position));
    expect([blocked.transport, blocked.counts.switches, blocked.counts.reconnects]).toEqual(["sse", 0, 0]);
  });

  promise("[D6] `auto` begins on SSE and moves to WebSocket when the application talks back", { on: "one", over: "one" }, async (stage) => {
    const { connect, publish } = stage;
    const reader = (await connect({ over: "client/auto" })) as ClientReader;
    expect(reader.client.transport).toBe("sse");
    const before = await publish(3);
    reader.client.channel(LOBBY).signal("typing");
    await until("it has moved", () => reader.client.transport === "websocket");
    const after = await publish(3);
    expect(await reader.next(6)).toEqual([...before, ...after]);
    expect(reader.client.counts.switches).toBe(1);
  });

  const seconds = 60;
  test("[D2] [D6] 1,000 moves under 1,000 messages a second: none lost, none twice, none out of order", {
    timeout: 2 * seconds * 1_000,
  }, async () => {
    const server = await startServer(() => memory({ retain: { countMax: 1_000_000, bytesMax: 1e9 } }));
    const reader = await new ClientReader({ url: server.url, channels: [{ name: LOBBY, from: "now" }] }, "sse").open();
    const { client } = reader;
    const lobby = server.tl.channel(LOBBY);
    const began = performance.now();
    let published = 0;
    let moving = true;
    const publishing = (async () => {
      while (moving) {
        const due = Math.floor(performance.now() - began);
        const batch = numbers(Math.max(0, due - published), published + 1);
        published += batch.length;
        await Promise.all(batch.map((n) => lobby.publish(n)));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    try {
      await byChance(async (below) => {
        while (client.counts.switches < 1_000 && performance.now() - began < seconds * 1_000) {
          const others = MOVES.filter((one) => one !== client.transport);
          const to = others[below(others.length)] as Transport;
          client.switchTo(to);
          await until(`it runs over ${to}`, () => client.transport === to);
        }
      });
      moving = false;
      await publishing;
      const got = (await reader.next(published)).map(({ data }) => data as number);
      const { switches, duplicates, received, gaps, reconnects } = client.counts;
      const lasted = (performance.now() - began) / 1_000;
      const told = `${switches} moves in ${lasted.toFixed(1)} s, ${published} messages (${Math.round(published / lasted)}/s)`;
      console.info(`${told}, ${duplicates} dropped as seen before, ${gaps} gaps, ${reconnects} cuts`);
      expect(switches).toBeGreaterThanOrEqual(1_000);
      expect(published / lasted).toBeGreaterThan(800);
      const twice = got.length - new Set(got).size;
      const lost = published - new Set(got).size;
      const disordered = got.filter((n, index) => index > 0 && n <= (got[index - 1] ?? 0)).length;
      expect({ lost, twice, disordered, waiting: reader.inbox.waiting, received }).toEqual({
        lost: 0,
        twice: 0,
        disordered: 0,
        waiting: 0,
        received: published,
      });
    } finally {
      moving = false;
      reader.close();
      await server.dispose();
    }
  });
});

/** A WebSocket whose handshake is never answered well. */
class Unreachable {
  binaryType = "";
  readonly readyState = 3;
  onopen = null;
  onmessage = null;
  onclose: ((event: never) => void) | null = null;
  onerror = null;

  constructor() {
    queueMicrotask(() => this.onclose?.(undefined as never));
  }

  send(): void {}
  close(): void {}
}
