import { describe, expect } from "vitest";
import { PUBLISHERS } from "../support/publishers.ts";
import { byChance, byToken, LOBBY, numbers, offsets, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

const ORDER = { channel: LOBBY, event: "order", data: { total: 12 }, key: "k1" };

describe("Publishing once", () => {
  for (const publisher of PUBLISHERS) {
    promise(
      `[D5] by ${publisher.name}: the same key is stored once, and answered with the first position`,
      { over: "one" },
      async (stage) => {
        const { connect, server, keep } = stage;
        const reader = await connect();
        const opened = keep(await publisher.open(server.url));
        const first = await opened.publish(ORDER);
        expect([first.duplicate, await opened.publish(ORDER)]).toEqual([false, { ...first, duplicate: true }]);
        await opened.publish({ channel: LOBBY, data: "the next" });
        expect((await reader.next(2)).map(({ data }) => data)).toEqual([ORDER.data, "the next"]);
      },
    );

    promise(
      `[D5] by ${publisher.name}: the same key with other content is refused, and nothing is stored`,
      { over: "one" },
      async (stage) => {
        const { server, keep } = stage;
        const opened = keep(await publisher.open(server.url));
        await opened.publish(ORDER);
        await expect(opened.publish({ ...ORDER, data: { total: 13 } })).rejects.toMatchObject({ code: "key_conflict" });
        await expect(opened.publish({ ...ORDER, event: "other" })).rejects.toMatchObject({ code: "key_conflict" });
        expect((await server.tl.channel(LOBBY).history()).messages).toHaveLength(1);
      },
    );
  }

  promise("[D5] a key is the same over every way to publish, also when all use it at once", { over: "one" }, async ({ server, keep }) => {
    const opened = await Promise.all(PUBLISHERS.map(async (one) => keep(await one.open(server.url))));
    const answers = await Promise.all(numbers(4).flatMap(() => opened.map((one) => one.publish(ORDER))));
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(new Set(answers.map(({ position }) => position)).size).toBe(1);
    expect((await server.tl.channel(LOBBY).history()).messages).toHaveLength(1);
  });

  promise(
    "[D5] a key belongs to the identity that publishes, and to its channel",
    { over: "one", authenticate: byToken },
    async (stage) => {
      const { server, keep } = stage;
      for (const publisher of PUBLISHERS) {
        const [ada, bob] = [await publisher.open(server.url, "ada"), await publisher.open(server.url, "bob")];
        keep(ada);
        keep(bob);
        const key = publisher.name;
        const answers = [
          await ada.publish({ channel: "a", data: 1, key }),
          await bob.publish({ channel: "a", data: 2, key }),
          await ada.publish({ channel: "b", data: 3, key }),
          await bob.publish({ channel: "a", data: 2, key }),
        ];
        expect(
          answers.map(({ duplicate }) => duplicate),
          publisher.name,
        ).toEqual([false, false, false, true]);
      }
    },
  );

  promise(
    "[D5] a key is known after its message was trimmed",
    { over: "one", retain: { countMax: 2 } },
    async ({ publish, server, keep }) => {
      const opened = keep(await PUBLISHERS[0]!.open(server.url));
      const first = await opened.publish(ORDER);
      await publish(5);
      expect(await opened.publish(ORDER)).toEqual({ ...first, duplicate: true });
      await expect(opened.publish({ ...ORDER, data: 0 })).rejects.toMatchObject({ code: "key_conflict" });
    },
  );

  promise("[D5] a key is known after a restart", { over: "one", needs: ["restart"] }, async ({ publish, server, keep }) => {
    const first = await keep(await PUBLISHERS[2]!.open(server.url)).publish(ORDER);
    server.cut();
    await server.restart();
    for (const publisher of PUBLISHERS) {
      expect(await keep(await publisher.open(server.url)).publish(ORDER), publisher.name).toEqual({ ...first, duplicate: true });
    }
    expect(offsets(await publish(1))).toEqual([2]);
  });

  promise("[D5] twice in one batch is once, and in a batch each stands for itself", { over: "one" }, async ({ ask }) => {
    const body = [ORDER, ORDER, { ...ORDER, data: 0 }, { channel: "", data: 1 }, { channel: LOBBY, data: 2 }];
    const { status, json } = await ask("/publish", { method: "POST", body });
    expect(status).toBe(200);
    expect(json[1]).toEqual({ ...json[0], duplicate: true });
    expect([json[2].error.code, json[3].error.code, offsets([json[4]])]).toEqual(["key_conflict", "bad_channel", [2]]);
  });

  promise("a key in the header may be quoted, as the standard writes it, or bare", { over: "one" }, async ({ ask }) => {
    const post = (key: string) => ask(`/channels/${LOBBY}`, { method: "POST", body: 1, headers: { "idempotency-key": key } });
    const body = { method: "POST", body: "1", headers: { "content-type": "application/json", "idempotency-key": '"k 1"' } };
    expect((await ask(`/channels/${LOBBY}`, body)).status).toBe(201);
    expect((await post("k 1")).status).toBe(200);
    expect((await post("k 2")).status).toBe(201);
  });

  promise(
    "[D5] a key is forgotten when its message was trimmed and keySecondsMin is over, and not before both",
    { over: "one", limits: { keySecondsMin: 0.5 }, retain: { countMax: 2 }, atOnce: true },
    async ({ publish, server, keep }) => {
      const opened = keep(await PUBLISHERS[0]!.open(server.url));
      await opened.publish(ORDER);
      const other = { channel: "kept", data: 1, key: "k1" };
      await opened.publish(other);
      await publish(3);
      expect((await opened.publish(ORDER)).duplicate).toBe(true);
      const over = Date.now() + 600;
      await until("keySecondsMin is over", () => Date.now() > over);
      expect((await opened.publish(other)).duplicate).toBe(true);
      expect((await opened.publish(ORDER)).duplicate).toBe(false);
    },
  );

  promise(
    "[D7] beyond keysMax a new key is refused, and the known ones are still known",
    { over: "one", limits: { keysMax: 3 } },
    async (stage) => {
      const { server, keep } = stage;
      const opened = keep(await PUBLISHERS[0]!.open(server.url));
      for (const key of ["a", "b", "c"]) await opened.publish({ channel: LOBBY, data: 1, key });
      await expect(opened.publish({ channel: LOBBY, data: 1, key: "d" })).rejects.toMatchObject({ code: "keys_full", status: 429 });
      expect((await opened.publish({ channel: LOBBY, data: 1, key: "b" })).duplicate).toBe(true);
      expect((await opened.publish({ channel: LOBBY, data: 1 })).duplicate).toBe(false);
      expect((await opened.publish({ channel: "other", data: 1, key: "d" })).duplicate).toBe(false);
    },
  );

  for (const name of ["the client over sse", "the client over websocket"]) {
    promise(`[D5] [D4] what ${name} publishes while it is cut is stored once, and none is lost`, { over: "one" }, async (stage) => {
      const { server, keep } = stage;
      const opened = keep(await PUBLISHERS.find((one) => one.name === name)!.open(server.url));
      await byChance(async (below) => {
        const answers: Promise<{ position: string }>[] = [];
        for (const n of numbers(60)) {
          answers.push(opened.publish({ channel: LOBBY, data: n }));
          if (n % 15 === 0) {
            await Promise.race([answers[below(n)], answers[n - 1]]);
            server.cut();
          }
        }
        const acknowledged = (await Promise.all(answers)).map(({ position }) => position);
        const { messages } = await server.tl.channel(LOBBY).history();
        expect(messages.map(({ position }) => position).sort()).toEqual(acknowledged.sort());
        expect(messages.map(({ data }) => data)).toEqual(numbers(60));
      });
    });
  }
});
