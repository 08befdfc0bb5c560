import { describe, expect } from "vitest";
import type { ClientReader } from "../support/client-reader.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { byToken, LOBBY, numbers, offsets, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

const TYPING = { channel: LOBBY, event: "typing", data: { who: "ada" } };

describe("Signals", () => {
  promise(
    "a signal reaches whoever reads the channel now, over every transport that can tell it",
    { needs: ["signals", "stays"], on: "one" },
    async (stage) => {
      const { connect, server, ask, keep } = stage;
      const reader = await connect();
      await until("it reads", () => server.tl.counts().readers === 1);
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      const client = (await connect({ over: "client/sse", channels: ["other"] })) as ClientReader;
      const ways = [
        () => server.tl.channel(LOBBY).signal("typing", TYPING.data),
        () => ask(`/signals/${LOBBY}?event=typing`, { method: "POST", body: TYPING.data }),
        () => socket.send({ type: "signal", ...TYPING }),
        () => client.client.channel(LOBBY).signal("typing", TYPING.data),
      ];
      for (const way of ways) {
        await way();
        expect(await reader.signal()).toMatchObject(TYPING);
      }
    },
  );

  promise(
    "a long-poll is told the signals that come while it waits",
    { needs: ["signals", "polls"], on: "one" },
    async ({ connect, server }) => {
      const reader = await connect();
      const heard = reader.signal();
      let told = false;
      heard.then(() => {
        told = true;
      });
      // Between two polls nobody is there to hear
      await until("it has heard one", () => {
        if (!told) server.tl.channel(LOBBY).signal("typing", TYPING.data);
        return told;
      });
      expect(await heard).toMatchObject(TYPING);
    },
  );

  promise("a signal is stored nowhere and has no position", { needs: ["signals", "stays"] }, async ({ connect, publish, server }) => {
    const reader = await connect();
    await until("it reads", () => server.tl.counts().readers === 1);
    const before = await publish(1);
    await reader.next(1);
    server.tl.channel(LOBBY).signal("typing");
    await reader.signal();
    const after = await publish(1);
    expect(offsets([...before, ...after])).toEqual([1, 2]);
    expect(await reader.next(1)).toEqual(after);
    expect((await server.tl.channel(LOBBY).history()).messages).toHaveLength(2);
  });

  promise(
    "a signal bears who sent it: the identity, or the connection of one without",
    { needs: ["signals", "stays"], on: "one", authenticate: byToken },
    async (stage) => {
      const { connect, server, ask, keep } = stage;
      const reader = await connect();
      await until("it reads", () => server.tl.counts().readers === 1);
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      await ask(`/signals/${LOBBY}?event=typing`, { method: "POST", token: "ada" });
      expect((await reader.signal()).sender).toBe("ada");
      socket.send({ type: "signal", ...TYPING });
      expect((await reader.signal()).sender).toBe(`~${socket.frames.connected?.["connection"]}`);
    },
  );

  promise(
    "of many signals at once the latest wins, for each event and sender",
    { needs: ["signals", "stays"], on: "one" },
    async ({ connect, server }) => {
      const reader = await connect();
      for (const n of numbers(100)) server.tl.channel(LOBBY).signal(n % 2 === 0 ? "even" : "odd", n);
      expect([(await reader.signal()).data, (await reader.signal()).data]).toEqual([99, 100]);
    },
  );

  promise(
    "a signal never waits for a reader that lags: it is dropped",
    { needs: ["pauses"], on: "one", retain: { bytesMax: 64e6 } },
    async (stage) => {
      const { connect, publish, server } = stage;
      const [slow, other] = [await connect(), await connect({ over: "sse" })];
      slow.pause();
      for (let sent = 0; sent < 1_000; sent += 20) await publish(20, { size: 16_000 });
      server.tl.channel(LOBBY).signal("typing", "dropped by the slow one");
      expect((await other.signal()).data).toBe("dropped by the slow one");
      slow.resume();
      await slow.next(1_000);
      await until("it is live again", () => server.unsent() === 0);
      const [last] = await publish(1);
      expect(await slow.next(1)).toEqual([last]);
      server.tl.channel(LOBBY).signal("typing", "told to both");
      expect((await slow.signal()).data).toBe("told to both");
    },
  );

  promise("a signal without a name, or with a reserved one, is refused", { over: "one", on: "one" }, async ({ ask }) => {
    for (const path of [`/signals/${LOBBY}`, `/signals/${LOBBY}?event=`, `/signals/${LOBBY}?event=gap`, `/signals/${LOBBY}?event=$x`]) {
      expect((await ask(path, { method: "POST" })).json.error.code).toBe("bad_event");
    }
  });
});
