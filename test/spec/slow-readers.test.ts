import { describe, expect } from "vitest";
import { connect as connectClient, type Transport } from "../../src/client.ts";
import { offsetOf } from "../support/inbox.ts";
import { LOBBY, numbers, offsets, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

/** More than a connection's buffers hold, on both sides of it. */
const MANY = 1_000;
const SIZE = 16_000;
const ROOMY = { countMax: 100_000, bytesMax: 64 * 1024 * 1024 };

describe("Slow readers", () => {
  promise(
    "[D2] [D7] a reader that stops reading while megabytes pass reads them all later, and holds nobody up",
    { needs: ["pauses"], retain: ROOMY },
    async ({ connect, publish, server }) => {
      const [slow, other] = [await connect(), await connect({ over: "sse" })];
      slow.pause();
      for (let sent = 0; sent < MANY; sent += 10) await publish(10, { size: SIZE });
      expect(offsets(await other.next(MANY))).toEqual(numbers(MANY));
      // It costs the server no queue: what is unsent is bounded, whatever passes
      expect(server.unsent()).toBeGreaterThan(0);
      expect(server.unsent()).toBeLessThan(262_144 + 12 * SIZE);
      slow.resume();
      expect(offsets(await slow.next(MANY))).toEqual(numbers(MANY));
    },
  );

  promise(
    "[D3] what retention takes from a slow reader is told, to the message",
    { needs: ["pauses"], retain: { countMax: 50, bytesMax: ROOMY.bytesMax }, on: "one" },
    async ({ connect, publish }) => {
      const slow = await connect();
      slow.pause();
      for (let sent = 0; sent < MANY; sent += 10) await publish(10, { size: SIZE });
      slow.resume();
      let top = 0;
      let missing = 0;
      while (top < MANY) {
        const told = await slow.inbox.nextTold();
        if ("message" in told) top = offsetOf(told.message.position);
        else {
          expect(told.gap).toMatchObject({ reason: "trimmed", missing: offsetOf(told.gap.resumeFrom) - top });
          expect(offsetOf(told.gap.since ?? "")).toBe(top);
          missing += told.gap.missing ?? 0;
        }
      }
      expect(missing).toBeGreaterThan(100);
    },
  );

  promise(
    "[D7] with the smallest of buffers a reader lags and joins again all the time, and gets every message",
    { needs: ["stays"], limits: { sinkBytesMax: 2_000, tailBytesMax: 3_000, catchUpCountMax: 7, catchUpBytesMax: 2_500 } },
    async ({ connect, publish }) => {
      const reader = await connect();
      for (let sent = 0; sent < 1_500; sent += 50) await publish(50, { size: 400 });
      expect(offsets(await reader.next(1_500))).toEqual(numbers(1_500));
    },
  );

  promise(
    "[D7] a socket that takes nothing for stalledSecondsMax is closed, and its reader resumes without loss",
    { needs: ["pauses"], retain: ROOMY, limits: { stalledSecondsMax: 0.6, heartbeatSeconds: 0.2 }, on: "one" },
    async ({ connect, comeBack, publish, server }) => {
      const stalled = await connect();
      stalled.pause();
      for (let sent = 0; sent < MANY; sent += 50) await publish(50, { size: SIZE });
      await until("it is closed", () => server.tl.counts().connections === 0);
      stalled.resume();
      const again = await comeBack(stalled);
      expect(offsets(await again.next(MANY))).toEqual(numbers(MANY));
    },
  );

  promise(
    "a reader that is slow but takes something now and then is never closed for it",
    { needs: ["pauses"], retain: ROOMY, limits: { stalledSecondsMax: 0.6, heartbeatSeconds: 0.2 }, on: "one", atOnce: true },
    async ({ connect, publish, server }) => {
      const reader = await connect();
      reader.pause();
      let taking = 0;
      const take = () => {
        reader.resume();
        taking++;
        setTimeout(() => {
          reader.pause();
          taking--;
        }, 1);
      };
      for (let sent = 0; sent < MANY; sent += 50) {
        await publish(50, { size: SIZE });
        take();
      }
      const until1500 = performance.now() + 1_500;
      await until("more than twice the time has passed", () => {
        take();
        return performance.now() > until1500;
      });
      expect(server.tl.counts().connections).toBe(1);
      await until("it has paused for the last time", () => taking === 0);
      reader.resume();
      expect(offsets(await reader.next(MANY))).toEqual(numbers(MANY));
    },
  );

  promise(
    "[D2] `for await` on the server takes messages at its own pace, and gets every one",
    { over: "one" },
    async ({ publish, server }) => {
      await publish(1);
      const got: unknown[] = [];
      for await (const { data } of server.tl.channel(LOBBY).messages({ from: "start" })) {
        got.push(data);
        // Far more than a batch comes while the loop is held up
        if (got.length === 1 || got.length === 500) await publish(1_000, { size: 100 });
        if (got.length === 2_001) break;
      }
      expect(got.map((data) => (data as { n: number }).n)).toEqual(numbers(2_001));
      await until("it left nothing behind", () => server.tl.counts().readers === 0);
    },
  );

  promise(
    "a subscriber's handler on the server is called for one message after the other",
    { over: "one" },
    async ({ publish, server }) => {
      let running = 0;
      const got: number[] = [];
      const take = async ({ data }: { readonly data: { readonly n: number } }) => {
        expect(++running).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        got.push(data.n);
      };
      // Not from now: a log may say where that is only after it has stored what is published
      using _reading = server.tl.channel(LOBBY).subscribe<{ n: number }>(take, { from: "start" });
      await until("it reads", () => server.tl.counts().readers === 1);
      await publish(300);
      await until("all have come", () => got.length === 300);
      expect(got).toEqual(numbers(300));
    },
  );

  for (const transport of ["sse", "websocket", "long-poll"] as const satisfies readonly Transport[]) {
    promise(
      `[D2] [D7] \`for await\` in a client over ${transport} holds few messages, and gets every one`,
      { over: "one", on: "one" },
      async ({ publish, server, keep }) => {
        const client = keep(connectClient(server.url, { transport, limits: { iteratorCountMax: 8 } }));
        const got: number[] = [];
        await publish(1);
        for await (const { data } of client.channel(LOBBY).messages<{ n: number }>({ from: "start" })) {
          got.push(data.n);
          if (got.length === 1 || got.length === 100) await publish(400);
          if (got.length === 801) break;
        }
        expect(got).toEqual(numbers(801));
      },
    );
  }
});
