import { describe, expect } from "vitest";
import { PUBLISHERS } from "../support/publishers.ts";
import { LOBBY, numbers, offsets, promise } from "../support/story.ts";

describe("Ordering", () => {
  promise("[D1] offsets are 1, 2, 3… in the order of publishing", { over: "one" }, async ({ publish }) => {
    const sent = [...(await publish(3)), ...(await publish(4, { event: "order" }))];
    expect(offsets(sent)).toEqual(numbers(7));
    expect(sent.map(({ position }) => position)).toEqual(sent.map(({ position }) => position).sort());
  });

  promise("[D1] channels have offsets of their own", { over: "one" }, async ({ publish }) => {
    await publish(5);
    expect(offsets(await publish(2, { channel: "chat/other" }))).toEqual([1, 2]);
  });

  promise(
    "[D1] what several publish at once over several transports, all readers see in one order",
    {},
    async ({ connect, server, keep }) => {
      const readers = [await connect(), await connect({ over: "websocket" }), await connect({ over: "long-poll" })];
      const publishers = await Promise.all(PUBLISHERS.map((one) => one.open(server.url)));
      for (const one of publishers) keep(one);
      await Promise.all(
        publishers.map(async (publisher, who) => {
          for (const n of numbers(15)) await publisher.publish({ channel: LOBBY, data: { who, n } });
        }),
      );
      const total = 15 * publishers.length;
      const [first = [], ...others] = await Promise.all(readers.map((reader) => reader.next(total)));
      expect(offsets(first)).toEqual(numbers(total));
      for (const other of others) expect(other).toEqual(first);
      for (const who of publishers.keys()) {
        const own = first.map(({ data }) => data as { who: number; n: number }).filter((data) => data.who === who);
        expect(own.map(({ n }) => n)).toEqual(numbers(15));
      }
    },
  );

  promise("[D1] what one connection publishes without waiting for acks is stored in the order sent", { over: "one" }, async (stage) => {
    const { connect, server, keep } = stage;
    const reader = await connect();
    for (const publisher of PUBLISHERS.filter(({ powers }) => powers.ordered)) {
      const opened = keep(await publisher.open(server.url));
      await Promise.all(numbers(200).map((n) => opened.publish({ channel: LOBBY, data: n })));
      expect(
        (await reader.next(200)).map(({ data }) => data),
        publisher.name,
      ).toEqual(numbers(200));
    }
  });

  promise("[D1] a publish that was acknowledged before another began comes first", { over: "one" }, async ({ server, keep }) => {
    const publishers = await Promise.all(PUBLISHERS.map(async (one) => keep(await one.open(server.url))));
    const places: string[] = [];
    for (const n of numbers(30)) {
      const publisher = publishers[n % publishers.length];
      places.push((await publisher?.publish({ channel: LOBBY, data: n }))?.position ?? "");
    }
    expect(offsets(places.map((position) => ({ position })))).toEqual(numbers(30));
  });

  promise("[D1] the results of a batch stand in the order of its envelopes", { over: "one" }, async ({ connect, ask }) => {
    const reader = await connect();
    const body = numbers(50).map((n) => JSON.stringify({ channel: LOBBY, data: n }));
    const { json } = await ask("/publish", { method: "POST", headers: { "content-type": "application/x-ndjson" }, body: body.join("\n") });
    expect(offsets(json)).toEqual(numbers(50));
    expect((await reader.next(50)).map(({ data }) => data)).toEqual(numbers(50));
  });

  promise("[D1] history is the same order, page by page, forward and back", { over: "one" }, async ({ publish, ask }) => {
    const sent = await publish(25);
    const json = { accept: "application/json" };
    const forward: string[] = [];
    for (let from = "start", upToDate = false; !upToDate; ) {
      const page = (await ask(`/channels/${LOBBY}?limit=10&from=${from}`, { headers: json })).json;
      forward.push(...page.messages.map(({ position }: { position: string }) => position));
      from = `after:${page.position}`;
      upToDate = page.upToDate;
    }
    expect(forward).toEqual(sent.map(({ position }) => position));
    const back = (await ask(`/channels/${LOBBY}?limit=10&before=${sent[20]?.position}`, { headers: json })).json;
    expect(offsets(back.messages)).toEqual(numbers(10, 11));
  });
});
