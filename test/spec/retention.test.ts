import { describe, expect } from "vitest";
import { epochOf } from "../support/inbox.ts";
import { LOBBY, numbers, offsets, promise, type Stage } from "../support/story.ts";
import { until } from "../support/until.ts";

const HEAD = { method: "HEAD" };

async function headOf({ ask }: Stage): Promise<{ position: string | undefined; first: number }> {
  const { headers } = await ask(`/channels/${LOBBY}`, HEAD);
  return { position: String(headers["throughline-position"]), first: Number(headers["throughline-first"]) };
}

describe("Retention", () => {
  promise("a channel keeps its last messages, as many as countMax says", { over: "one", retain: { countMax: 4 } }, async (stage) => {
    const sent = await stage.publish(10);
    const reader = await stage.connect({ from: "start" });
    expect(await reader.next(4)).toEqual(sent.slice(6));
    expect(await headOf(stage)).toEqual({ position: sent[9]?.position, first: 7 });
  });

  promise(
    "a channel keeps its last messages, as many bytes as bytesMax says",
    { over: "one", retain: { bytesMax: 5_000 } },
    async (stage) => {
      await stage.publish(20, { size: 950 });
      expect((await headOf(stage)).first).toBe(16);
    },
  );

  promise("the newest message is kept, however large it is", { over: "one", retain: { bytesMax: 100 } }, async (stage) => {
    const sent = await stage.publish(3, { size: 1_000 });
    const reader = await stage.connect({ from: "start" });
    expect(await reader.next(1)).toEqual(sent.slice(2));
  });

  promise(
    "a message is given no more once it is as old as secondsMax says",
    { over: "one", retain: { secondsMax: 0.4 }, atOnce: true },
    async (stage) => {
      const { connect, publish, server } = stage;
      const old = await publish(3);
      await until("all have expired", async () => (await server.tl.channel(LOBBY).history()).messages.length === 0);
      expect(await headOf(stage)).toEqual({ position: old[2]?.position, first: 4 });
      const reader = await connect({ from: "start" });
      const fresh = await publish(2);
      expect(await reader.next(2)).toEqual(fresh);
      expect(offsets(fresh)).toEqual([4, 5]);
    },
  );

  promise(
    "what is past its age is given to nobody, also while others read the channel live",
    { over: "one", on: "one", retain: { secondsMax: 0.4 } },
    async ({ connect, publish, server }) => {
      const live = await connect();
      const old = await publish(3);
      await live.next(3);
      await until("all have expired", async () => (await server.tl.channel(LOBBY).history()).messages.length === 0);
      const reader = await connect({ from: `after:${old[0]?.position}` });
      expect(await reader.gap()).toMatchObject({ reason: "trimmed", resumeFrom: old[2]?.position, missing: 2 });
    },
  );

  promise(
    "[D3] a reader that comes back after all has expired is told how much, exactly",
    { retain: { secondsMax: 0.4 }, atOnce: true },
    async (stage) => {
      const { connect, publish, server } = stage;
      const old = await publish(5);
      await until("all have expired", async () => (await server.tl.channel(LOBBY).history()).messages.length === 0);
      const reader = await connect({ from: `after:${old[1]?.position}` });
      expect(await reader.gap()).toMatchObject({ reason: "trimmed", resumeFrom: old[4]?.position, missing: 3 });
      const fresh = await publish(2);
      expect(await reader.next(2)).toEqual(fresh);
    },
  );

  const perChannel = { retain: (channel: string) => (channel === LOBBY ? { countMax: 2 } : undefined) };
  promise("each channel may be kept in its own way", { over: "one", ...perChannel }, async ({ connect, publish }) => {
    const [lobby, other] = [await publish(5), await publish(5, { channel: "other" })];
    expect(await (await connect({ from: "start" })).next(2)).toEqual(lobby.slice(3));
    expect(await (await connect({ from: "start", channels: ["other"] })).next(5)).toEqual(other);
  });

  promise(
    "[D4] nothing that is retained is ever lost, while others are trimmed",
    { retain: { countMax: 500 }, on: "one" },
    async (stage) => {
      const { connect, publish } = stage;
      const reader = await connect();
      for (const _ of numbers(20)) await publish(100);
      expect(offsets(await reader.next(2_000))).toEqual(numbers(2_000));
      const late = await connect({ from: "start" });
      expect(offsets(await late.next(500))).toEqual(numbers(500, 1_501));
    },
  );

  promise("a removed channel is empty, and removing it again is no error", { over: "one" }, async (stage) => {
    const { connect, publish, ask } = stage;
    const old = await publish(3);
    for (const _ of numbers(2)) expect((await ask(`/channels/${LOBBY}`, { method: "DELETE" })).status).toBe(204);
    expect((await headOf(stage)).first).toBe(1);
    const reader = await connect({ from: "start" });
    const fresh = await publish(2);
    expect(await reader.next(2)).toEqual(fresh);
    expect(offsets(fresh)).toEqual([1, 2]);
    expect(epochOf(fresh[0]?.position ?? "") > epochOf(old[0]?.position ?? "")).toBe(true);
  });

  promise("retention holds over a restart", { over: "one", needs: ["restart"], retain: { countMax: 4 } }, async (stage) => {
    const sent = await stage.publish(10);
    await stage.server.restart();
    expect(await headOf(stage)).toEqual({ position: sent[9]?.position, first: 7 });
  });
});
