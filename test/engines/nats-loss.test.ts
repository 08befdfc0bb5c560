import { describe, expect, test } from "vitest";
import { type Throughline, throughline } from "../../src/index.ts";
import { nats } from "../../src/nats.ts";
import { NO_TAG, parsePosition } from "../../src/protocol.ts";
import { LOBBY } from "../support/brokers.ts";
import { NatsServer } from "../support/nats-server.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";

/** A reader in this process, and what came to it: messages, and `gap` with its reason. */
function read(tl: Throughline, after: string): { readonly got: unknown[]; end(): void } {
  const end = new AbortController();
  const got: unknown[] = [];
  const reading = async () => {
    const onGap = ({ reason }: { readonly reason: string }) => void got.push(`gap ${reason}`);
    for await (const { data } of tl.channel(LOBBY).messages({ from: { after }, signal: end.signal, onGap })) got.push(data);
  };
  void reading().catch(() => {});
  return { got, end: () => end.abort() };
}

const open = (server: NatsServer) => throughline({ engine: nats(server.connect), warn: () => {} });

async function publishSurely(tl: Throughline, data: string): Promise<void> {
  const stored = () =>
    tl
      .channel(LOBBY)
      .publish("message", data, { key: data })
      .then(
        () => true,
        () => false,
      );
  await until("it is stored", stored);
}

/** Twenty old messages that stay, and ten that a reader has and NATS will lose. */
async function tell(server: NatsServer, tl: Throughline): Promise<{ readonly live: ReturnType<typeof read>; readonly lost: string[] }> {
  let before = "";
  for (const n of numbers(19)) before = (await tl.channel(LOBBY).publish(`old ${n}`)).position;
  const live = read(tl, before);
  await tl.channel(LOBBY).publish("old 20");
  await until("the live reader reads", () => live.got.length === 1);
  live.got.length = 0;
  server.remember();
  const lost: string[] = [];
  for (const n of numbers(10)) lost.push((await tl.channel(LOBBY).publish(`lost ${n}`)).position);
  await until("the live reader has them", () => live.got.length === 10);
  return { live, lost };
}

/** By its epoch, all that is new is given after the gap; by its tag alone, what stands behind the place of the reader. */
async function expectTold(tl: Throughline, live: ReturnType<typeof read>, lost: readonly string[], isByTag: boolean): Promise<void> {
  const readers = lost.map((position) => read(tl, position));
  await until("all have read to the end", () => [live, ...readers].every(({ got }) => got.at(-1) === "new 12"));
  for (const [index, { got }] of [live, ...readers].entries()) {
    // Before the gap at most what others were told before, after it everything that there is
    const gap = got.indexOf("gap truncated");
    const after = got.slice(gap + 1);
    expect(gap).toBeGreaterThanOrEqual(0);
    expect(after).toEqual(
      numbers(12)
        .map((n) => `new ${n}`)
        .slice(isByTag ? -after.length : 0),
    );
    expect([[], numbers(10 - index, index + 1).map((n) => `lost ${n}`)]).toContainEqual(got.slice(0, gap));
  }
  for (const reader of [live, ...readers]) reader.end();
}

describe("A NATS that loses the end of its logs", () => {
  test("[D3] by a power cut is told to every reader who holds a position in it, before any later message", async () => {
    await using server = new NatsServer();
    const tl = open(server);
    try {
      const { live, lost } = await tell(server, tl);
      await server.kill();
      server.forget();
      server.start();
      for (const n of numbers(12)) await publishSurely(tl, `new ${n}`);
      await expectTold(tl, live, lost, false);
      // The control: by offset alone, under the epoch of the day, the same reader would have lost messages and not known it
      const { epoch } = parsePosition((await tl.channel(LOBBY).publish("end")).position);
      const blind = read(tl, `${epoch}.${String(parsePosition(lost[9]!).offset).padStart(16, "0")}.${NO_TAG}`);
      await until("it has read to the end", () => blind.got.at(-1) === "end");
      expect(blind.got).toEqual(["new 11", "new 12", "end"]);
      blind.end();
    } finally {
      await tl.close();
    }
  });

  test("[D3] by an older backup, while nothing was restarted and the only node that knew is gone: tags alone tell", async () => {
    await using server = new NatsServer();
    const [tl, reading] = [open(server), open(server)];
    try {
      const last = (await tl.channel(LOBBY).publish("old")).position;
      const live = read(reading, last);
      const lost: string[] = [];
      for (const n of numbers(10)) lost.push((await tl.channel(LOBBY).publish(`lost ${n}`)).position);
      await until("the live reader has them", () => live.got.length === 10);
      await tl.close();
      await server.rewind("throughline", 1);
      const next = open(server);
      try {
        for (const n of numbers(12)) await publishSurely(next, `new ${n}`);
        const { position } = await next.channel(LOBBY).publish("message", "new 12", { key: "new 12" });
        expect(parsePosition(position)).toMatchObject({ epoch: parsePosition(last).epoch, offset: 13 });
        await expectTold(reading, live, lost, true);
      } finally {
        await next.close();
      }
    } finally {
      await reading.close();
    }
  });

  test("[D2] but not by a restart that loses nothing: readers go on, under another epoch", async () => {
    await using server = new NatsServer();
    const tl = open(server);
    try {
      const first = (await tl.channel(LOBBY).publish("0")).position;
      const reader = read(tl, first);
      await publishSurely(tl, "0.5");
      await until("it reads", () => reader.got.length === 1);
      for (const n of numbers(3)) {
        await server.kill();
        server.start();
        await publishSurely(tl, String(n));
      }
      await until("it reads on", () => reader.got.length === 4);
      expect(reader.got).toEqual(["0.5", "1", "2", "3"]);
      const { position } = await tl.channel(LOBBY).publish("4");
      expect(parsePosition(position).epoch > parsePosition(first).epoch).toBe(true);
      reader.end();
    } finally {
      await tl.close();
    }
  });
});
