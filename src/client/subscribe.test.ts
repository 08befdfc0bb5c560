import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fakeWorld, follow, range } from "../../test/support/fake-client.ts";
import { FakeServer } from "../../test/support/fake-server.ts";
import type { Message } from "./message.ts";
import type { ConnectOptions, Transport } from "./options.ts";

/** Takes from an iterator at the pace of a test. */
function pull(messages: AsyncGenerator<Message>) {
  const taken: number[] = [];
  let allowed = 0;
  let wake = (): void => {};
  const over = (async () => {
    for await (const { offset } of messages) {
      taken.push(offset);
      while (allowed <= taken.length) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  })();
  return {
    taken,
    over,
    take(count: number): void {
      allowed = taken.length + count;
      wake();
    },
  };
}

/** A small reader on a line whose next frames, 6 to 9, are held on the way, and one that has read all of them in pages. */
async function behindHeldFrames(server = new FakeServer(), options: Pick<ConnectOptions, "fetch"> = {}) {
  const { client, settle } = fakeWorld({ transport: "sse", limits: { iteratorCountMax: 4 }, ...options }, server);
  for (const data of range(1, 5)) server.publish("a", data);
  const small = pull(client.channel("a").messages());
  small.take(1_000);
  await settle();
  server.faults.held = true;
  for (const data of range(6, 9)) server.publish("a", data);
  const all = follow(client, "a", { from: "start" });
  await settle();
  return { client, server, small, all, settle };
}

/** One on a line that stands at 1, whose next frames, 2 and 3, are held on the way, and one that has read them in pages. */
async function aheadOfLine() {
  const { client, clock, server, settle } = fakeWorld({ transport: "sse" });
  server.publish("a", 1);
  const first = follow(client, "a", { from: "start" });
  await settle();
  server.faults.held = true;
  for (const data of [2, 3]) server.publish("a", data);
  const ahead = follow(client, "a", { from: "start" });
  await settle();
  return { client, clock, server, first, ahead, settle };
}

describe("Several subscriptions to one channel", () => {
  test("share one reading of it on the pipe", async () => {
    const { client, server, settle } = fakeWorld({ transport: "websocket" });
    const stories = range(1, 5).map(() => follow(client, "a", { from: "start" }).story);
    await settle();
    server.publish("a", 1);
    expect(stories).toEqual(range(1, 5).map(() => [1]));
    expect(server.received.filter((frame) => (frame as { type: string }).type === "subscribe")).toHaveLength(1);
    expect(server.calls).toEqual(["GET /socket"]);
    client.close();
  });

  test("each begin where they say: a later one reads pages until it meets the others", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    for (const data of range(1, 500)) server.publish("a", data);
    const first = follow(client, "a");
    await settle();
    server.publish("a", 501);
    const all = follow(client, "a", { from: "start" });
    const last = follow(client, "a", { from: { last: 2 } });
    const now = follow(client, "a");
    const one = follow(client, "a", { from: { after: first.channel.position! } });
    server.publish("a", 502);
    await settle();
    server.publish("a", 503);
    await settle();
    expect(first.story).toEqual([501, 502, 503]);
    expect(all.story).toEqual(range(1, 503));
    expect([501, 502]).toContain(last.story[0]);
    expect(last.story).toEqual(range(last.story[0] as number, 503));
    // "Now" is when the others are: 501 may be on its way to them
    expect(now.story.slice(-2)).toEqual([502, 503]);
    expect(one.story).toEqual([501, 502, 503]);
    expect(server.pipes.size).toBe(1);
    client.close();
  });

  test("[D2] one whose first page is under way while the line moves to another pipe gets all from where it begins", async () => {
    const server = new FakeServer();
    const pages: (() => void)[] = [];
    const fetch: NonNullable<ConnectOptions["fetch"]> = async (url, init) => {
      const answer = await server.options.fetch!(url, init);
      if (String(url).includes("/channels/")) await new Promise<void>((resolve) => pages.push(resolve));
      return answer;
    };
    const { client, settle } = fakeWorld({ transport: "sse", fetch }, server);
    for (const data of range(1, 5)) server.publish("a", data);
    follow(client, "a");
    await settle();
    const all = follow(client, "a", { from: "start" });
    await settle();
    client.switchTo("websocket");
    await settle();
    for (const arrive of pages) arrive();
    await settle();
    server.publish("a", 6);
    await settle();
    expect(all.story).toEqual(range(1, 6));
    client.close();
  });

  test("[D10] one that catches up comes to the end, though the pipe passed over a hole while another was further on", async () => {
    const { client, server, small, all, settle } = await behindHeldFrames();
    // The frames of 6 and 7 are lost on the way
    for (const { queue } of server.pipes) queue.splice(0, 2);
    server.flow();
    await settle();
    expect(small.taken).toEqual(range(6, 9));
    expect(all.story).toEqual(range(1, 9));
    client.close();
  });

  test("[D10] one whose page is under way while the line is told a gap that concerns nobody comes to the end", async () => {
    const server = new FakeServer();
    let arrive = (): void => {};
    let slow = false;
    const fetch: NonNullable<ConnectOptions["fetch"]> = async (url, init) => {
      const answer = await server.options.fetch!(url, init);
      if (slow && String(url).includes("/channels/")) {
        slow = false;
        await new Promise<void>((resolve) => {
          arrive = resolve;
        });
      }
      return answer;
    };
    const { client, small, all, settle } = await behindHeldFrames(server, { fetch });
    // 6 is lost on the way; 8 and 9 are trimmed while the server waits for room on the pipe
    for (const { queue } of server.pipes) queue.splice(0, 1);
    slow = true;
    server.flow(1);
    await settle();
    const since = client.channel("a").position;
    server.trim("a", 9);
    for (const { queue } of server.pipes) queue.length = 0;
    server.say({ type: "gap", channel: "a", reason: "trimmed", since, resumeFrom: server.position("a"), missing: 2 });
    server.flow();
    await settle();
    arrive();
    await settle();
    expect(small.taken).toEqual([6, 7]);
    // Told on the channel, after all that the other has
    expect(all.story).toEqual([...range(1, 9), "gap:trimmed>9"]);
    client.close();
  });

  test("[D3] [D10] one that read ahead of the line in a log that lost its tail is told so, though nothing follows", async () => {
    const { client, clock, server, first, ahead, settle } = await aheadOfLine();
    expect([first.story, ahead.story]).toEqual([[1], [1, 2, 3]]);
    server.faults.held = false;
    server.lose("a", 1, { noticed: false });
    server.cut();
    await clock.advanceAsync(1_000);
    expect(ahead.story).toEqual([1, 2, 3, "gap:truncated>1"]);
    server.publish("a", 2);
    await settle();
    expect(first.messages.map(({ offset }) => offset)).toEqual([1, 2]);
    expect(ahead.messages.map(({ offset }) => offset)).toEqual([1, 2, 3, 2]);
    client.close();
  });

  test("[D2] [D6] one that read ahead of the line costs no pipe, however often pipes end before they bring anything", async () => {
    const { client, clock, server, first, ahead, settle } = await aheadOfLine();
    for (let cuts = 1; cuts <= 4; cuts++) {
      server.cut();
      await clock.advanceAsync(2_000);
      // No more than `connected` and `subscribed`
      server.flow(2);
      await settle();
      expect([client.state, server.pipes.size], `after ${cuts} cuts`).toEqual(["connected", 1]);
    }
    server.faults.held = false;
    server.flow();
    await settle();
    expect([first.story, ahead.story]).toEqual([range(1, 3), range(1, 3)]);
    client.close();
  });

  test("end each by itself; the channel is left with the last", async () => {
    const { client, server, settle } = fakeWorld({ transport: "websocket" });
    const one = follow(client, "a");
    const two = follow(client, "a");
    await settle();
    one.subscription.unsubscribe();
    one.subscription.unsubscribe();
    server.publish("a", 1);
    await settle();
    two.subscription[Symbol.dispose]();
    await settle();
    server.publish("a", 2);
    await settle();
    expect([one.story, two.story, two.channel.state, client.state]).toEqual([[], [1], "closed", "connected"]);
    client.close();
  });

  test("a channel left and read again in one turn begins anew", async () => {
    for (const transport of ["sse", "websocket", "long-poll"] as const) {
      const { client, server, settle } = fakeWorld({ transport });
      server.publish("a", 1);
      const one = follow(client, "a");
      await settle();
      one.subscription.unsubscribe();
      const two = follow(client, "a", { from: "start" });
      await settle();
      server.publish("a", 2);
      await settle();
      expect([transport, one.story, two.story]).toEqual([transport, [], [1, 2]]);
      client.close();
    }
  });

  test("a handler may end its own subscription, and begin others, while it is called", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const channel = client.channel("a");
    const seen: string[] = [];
    const own = channel.subscribe(({ offset }) => {
      seen.push(`own ${offset}`);
      own.unsubscribe();
      channel.subscribe((message) => seen.push(`other ${message.offset}`));
    });
    await settle();
    server.publish("a", 1);
    await settle();
    server.publish("a", 2);
    await settle();
    expect(seen).toEqual(["own 1", "other 2"]);
    client.close();
  });

  test("one event of many, and a signal that ends it", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const abort = new AbortController();
    const orders: unknown[] = [];
    const named: unknown[] = [];
    client.channel("a").subscribe("order", ({ data }) => orders.push(data), { signal: abort.signal });
    client.channel("a").subscribe(({ data }) => named.push(data), { event: "message" });
    await settle();
    server.publish("a", 1, { event: "order" });
    server.publish("a", 2);
    await settle();
    abort.abort();
    server.publish("a", 3, { event: "order" });
    await settle();
    expect([orders, named]).toEqual([[1], [2]]);
    client.channel("a").subscribe(() => expect.unreachable(), { signal: abort.signal, from: "start" });
    await settle();
    client.close();
  });

  test("a later one that may not read history is told so, and the others read on", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const { story } = follow(client, "a");
    await settle();
    server.faults.refuse = (method) =>
      method === "GET" ? { status: 403, body: { error: { code: "forbidden", message: "no history" } } } : null;
    const iterated = client.channel("a").messages({ from: "start" }).next();
    iterated.catch(() => {});
    await settle();
    await expect(iterated).rejects.toMatchObject({ code: "forbidden" });
    server.publish("a", 1);
    await settle();
    expect(story).toEqual([1]);
    client.close();
  });

  test("one with a handler that may not read history is told so by the client, once", async () => {
    const { client, server, errors, settle } = fakeWorld({ transport: "sse" });
    const { channel, story } = follow(client, "a");
    await settle();
    server.faults.refuse = (method) =>
      method === "GET" ? { status: 403, body: { error: { code: "forbidden", message: "no history" } } } : null;
    const refused = channel.subscribe(() => expect.unreachable(), { from: "start" });
    await settle();
    expect(errors).toMatchObject([{ code: "forbidden", message: "no history" }]);
    refused.unsubscribe();
    channel.subscribe(() => expect.unreachable(), { from: "start" }).unsubscribe();
    server.publish("a", 1);
    await settle();
    expect([story, errors.length]).toEqual([[1], 1]);
    client.close();
  });

  test("a later one comes back to its pages when the network fails", async () => {
    const { client, server, clock, settle } = fakeWorld({ transport: "websocket" });
    for (const data of range(1, 5)) server.publish("a", data);
    follow(client, "a");
    await settle();
    server.faults.refuse = () => "network";
    const { story } = follow(client, "a", { from: "start" });
    await clock.advanceAsync(5_000);
    expect(story).toEqual([]);
    server.faults.refuse = null;
    await clock.advanceAsync(20_000);
    server.publish("a", 6);
    expect(story).toEqual(range(1, 6));
    client.close();
    expect(clock.timers).toBe(0);
  });
});

describe("Pulled messages", () => {
  for (const transport of ["sse", "websocket", "long-poll"] as readonly Transport[]) {
    test(`over ${transport} stop the reading of the channel at iteratorCountMax, and go on from there`, async () => {
      const { client, server, settle } = fakeWorld({ transport, limits: { iteratorCountMax: 8 } });
      for (const data of range(1, 100)) server.publish("a", data);
      const channel = client.channel("a");
      const { taken, take, over } = pull(channel.messages({ from: "start" }));
      await settle();
      expect([taken, channel.state]).toEqual([[1], "paused"]);
      expect([...server.pipes].flatMap(({ readers }) => [...readers.keys()])).toEqual([]);
      take(50);
      await settle();
      expect(taken).toEqual(range(1, 51));
      server.publish("a", 101);
      take(1_000);
      await settle();
      server.publish("a", 102);
      await settle();
      expect(taken).toEqual(range(1, 102));
      expect(channel.state).toBe("live");
      client.close();
      await over;
    });
  }

  test("do not hold up a subscription that keeps pace", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse", limits: { iteratorCountMax: 4 } });
    const { story } = follow(client, "a");
    const { taken, take } = pull(client.channel("a").messages());
    await settle();
    for (const data of range(1, 50)) {
      server.publish("a", data);
      await settle();
    }
    expect(story).toEqual(range(1, 50));
    expect(taken).toEqual([1]);
    take(1_000);
    await settle();
    server.publish("a", 51);
    await settle();
    expect(taken).toEqual(range(1, 51));
    client.close();
  });

  test("end with the signal, and with the loop", async () => {
    const { client, server, settle } = fakeWorld({ transport: "sse" });
    const abort = new AbortController();
    const { over, take } = pull(client.channel("a").messages({ signal: abort.signal }));
    take(9);
    const broken = (async () => {
      for await (const { data } of client.channel("a")) if (data === 1) break;
    })();
    await settle();
    server.publish("a", 1);
    await settle();
    await broken;
    abort.abort();
    await over;
    await settle();
    expect([client.channel("a").state, client.state]).toEqual(["closed", "idle"]);
    client.close();
  });
});

test("[D2] each of many subscriptions gets an unbroken line, whatever happens", async () => {
  const act = fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant("publish" as const), count: fc.integer({ min: 1, max: 6 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constantFrom("start" as const, "now" as const, "pull" as const), count: fc.constant(0) }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom("cut" as const, "end" as const, "epoch" as const), count: fc.nat(3) }) },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constantFrom("sse" as const, "websocket" as const, "long-poll" as const), count: fc.constant(0) }),
    },
    { weight: 3, arbitrary: fc.record({ type: fc.constantFrom("hold" as const, "flow" as const), count: fc.integer({ min: 1, max: 9 }) }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constant("wait" as const), count: fc.nat(2_000) }) },
    // What a broken middle box might do
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom("lose" as const, "repeat" as const), count: fc.nat(3) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
      const { client, server, clock, settle } = fakeWorld({ transport: "sse", limits: { iteratorCountMax: 6 } });
      const channel = client.channel("a");
      channel.on("gap", () => expect.unreachable("no gap has a cause here"));
      let top = 0;
      const lines: { seen: number[]; end: () => void; ended: boolean }[] = [];
      for (const { type, count } of acts) {
        if (type === "publish") for (const _ of range(1, count)) server.publish("a", ++top);
        else if (type === "start" || type === "now") {
          const seen: number[] = [];
          const { unsubscribe } = channel.subscribe(({ offset }) => seen.push(offset), { from: type });
          lines.push({ seen, end: unsubscribe, ended: false });
        } else if (type === "pull") {
          const abort = new AbortController();
          const { taken, take, over } = pull(channel.messages({ from: "start", signal: abort.signal }));
          over.catch(() => {});
          take(5);
          lines.push({ seen: taken, end: () => abort.abort(), ended: false });
          void (async () => {
            while (!abort.signal.aborted && client.state !== "closed") {
              take(3);
              await new Promise((resolve) => clock.after(100, resolve as () => void));
            }
          })();
        } else if (type === "cut") server.cut();
        else if (type === "epoch") server.newEpoch("a");
        else if (type === "end") {
          const line = lines[count];
          if (line && !line.ended) {
            line.end();
            line.ended = true;
          }
        } else if (type === "hold") server.faults.held = true;
        else if (type === "flow") server.flow(count, count % 2);
        else if (type === "lose" || type === "repeat") {
          const { queue } = [...server.pipes][count % 2] ?? { queue: [] };
          const at = queue.findIndex((frame) => "id" in frame && !("type" in frame));
          if (at >= 0 && type === "lose") queue.splice(at, 1);
          if (at >= 0 && type === "repeat") queue.splice(at, 0, queue[at]!);
        } else if (type === "wait") await clock.advanceAsync(count);
        else client.switchTo(type);
        if (count % 2 === 0) await settle();
      }
      server.flow();
      server.faults.held = false;
      await clock.advanceAsync(120_000);
      await settle();
      server.publish("a", ++top);
      await clock.advanceAsync(60_000);
      await settle();
      for (const { seen, ended } of lines) {
        const first = seen[0];
        if (first === undefined) expect(ended).toBe(true);
        else expect(seen).toEqual(ended ? range(first, first + seen.length - 1) : range(first, top));
      }
      client.close();
      await clock.advanceAsync(1_000);
      expect([clock.timers, server.pipes.size]).toEqual([0, 0]);
    }),
    { numRuns: Number(process.env["RUNS"] ?? 60) },
  );
}, 120_000);
