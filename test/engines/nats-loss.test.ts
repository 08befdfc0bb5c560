import { describe, expect, test } from "vitest";
import { type Throughline, throughline } from "../../src/index.ts";
import { nats } from "../../src/nats.ts";
import { type GapFrame, NO_TAG, parsePosition } from "../../src/protocol.ts";
import { codeOf, LOBBY } from "../support/brokers.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { connectTo, NatsServer } from "../support/nats-server.ts";
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

/** The gap that a reader is told who comes back with a position. */
function gapOf(tl: Throughline, after: string): Promise<GapFrame> {
  return new Promise((resolve) => {
    const subscription = tl.channel(LOBBY).subscribe(() => {}, {
      from: { after },
      onGap: (gap) => {
        resolve(gap);
        subscription[Symbol.dispose]();
      },
    });
  });
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
async function expectTold(
  tl: Throughline,
  live: ReturnType<typeof read>,
  lost: readonly string[],
  isByTag: boolean,
  beside: readonly string[] = [],
): Promise<void> {
  const readers = lost.map((position) => read(tl, position));
  await until("all have read to the end", () => [live, ...readers].every(({ got }) => got.at(-1) === "new 12"));
  for (const [index, { got }] of [live, ...readers].entries()) {
    // Before the gap at most what others were told before, after it everything that there is
    const gap = got.indexOf("gap truncated");
    const after = got.slice(gap + 1).filter((data) => !beside.includes(data as string));
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

  test("[D3] and that has been written again since does not let the node that had known of more say where its epoch ended", async () => {
    await using server = new NatsServer();
    const [knowing, other] = [open(server), open(server)];
    try {
      const positions: string[] = [];
      for (const n of numbers(5)) positions.push((await knowing.channel(LOBBY).publish(String(n))).position);
      await server.rewind("throughline", 2);
      const { position } = await other.channel(LOBBY).publish("another third");
      const first = parsePosition(positions[0]!);
      expect(parsePosition(position)).toMatchObject({ epoch: first.epoch, offset: 3 });
      const next = await knowing.channel(LOBBY).publish("fourth");
      expect(parsePosition(next.position)).toMatchObject({ offset: 4 });
      expect(parsePosition(next.position).epoch > first.epoch).toBe(true);
      // What another has put at the third place he does not have, and never gets: so not a word of how many are missing
      const gap = await gapOf(knowing, positions[4]!);
      expect(gap).toMatchObject({ reason: "truncated", missing: null });
      expect(parsePosition(gap.resumeFrom)).toMatchObject({ epoch: first.epoch, offset: 3 });
      expect(await gapOf(knowing, positions[2]!)).toMatchObject({ reason: "truncated", missing: null });
    } finally {
      await knowing.close();
      await other.close();
    }
  });

  test("[D3] by an older copy, put in its place while no node ran and the fence deleted, goes on under a new epoch, and nothing is missing behind the copy's end", async () => {
    await using server = new NatsServer();
    const before = open(server);
    let last = "";
    for (const n of numbers(5)) last = (await before.channel(LOBBY).publish(n)).position;
    await before.close();
    await server.rewind("throughline", 2);
    await server.ask("STREAM.DELETE.throughline-fence");
    const after = open(server);
    try {
      await after.channel(LOBBY).publish("third");
      const gap = await gapOf(after, last);
      expect([gap.reason, gap.missing, parsePosition(gap.resumeFrom).offset]).toEqual(["truncated", 0, 2]);
    } finally {
      await after.close();
    }
  });

  test("[D3] is not gone on with under its old epoch by a publish that was under way meanwhile, or nobody could say what that epoch had", async () => {
    await using server = new NatsServer();
    await using proxy = await FaultProxy.open(server.port);
    const [tl, behind] = [open(server), throughline({ engine: nats(connectTo(proxy)), warn: () => {} })];
    try {
      for (const n of numbers(2)) await behind.channel(LOBBY).publish(String(n));
      server.remember();
      const lost: string[] = [];
      for (const n of numbers(3)) lost.push((await tl.channel(LOBBY).publish(`lost ${n}`)).position);
      // Refused, since it is not the third; but nobody hears that
      const asked = proxy.counts.bytesUp;
      proxy.set({ down: { flow: "hole" } });
      const answer = behind.channel(LOBBY).publish("under way");
      await until("it was sent", () => proxy.counts.bytesUp > asked);
      await server.kill();
      server.forget();
      server.start();
      proxy.cut();
      proxy.heal();
      await answer;
      const { position } = await tl.channel(LOBBY).publish("end");
      const gap = await gapOf(tl, lost[2]!);
      expect(gap).toMatchObject({ reason: "truncated", missing: 0 });
      expect(parsePosition(gap.resumeFrom).offset).toBe(2);
      expect(parsePosition(position)).toMatchObject({ offset: 4 });
    } finally {
      await tl.close();
      await behind.close();
    }
  });

  test.each([
    ["writes", 0],
    ["reads", 1],
    ["hears", 2],
  ])(
    "[D3] [D4] is told by a node that notices late, and first by the connection that %s, before any message of another",
    async (_, first) => {
      await using server = new NatsServer();
      await using proxy = await FaultProxy.open(server.port);
      const [late, other] = [throughline({ engine: nats(connectTo(proxy)), warn: () => {} }), open(server)];
      try {
        await late.open();
        const { live, lost } = await tell(server, late);
        await until("it has three connections", () => proxy.links.size === 3);
        const links = [...proxy.links];
        // Not even that the other end has closed comes through any more
        proxy.set({ up: { flow: "hole" }, down: { flow: "hole" } });
        await server.kill();
        server.forget();
        server.start();
        for (const n of numbers(6)) await publishSurely(other, `new ${n}`);
        const meanwhile = codeOf(late.channel(LOBBY).publish("message", "meanwhile", { key: "meanwhile" }));
        proxy.heal();
        links[first]!.cut();
        await until("that one is back", () => proxy.links.size === 3);
        const { down } = [...proxy.links].at(-1)!;
        const hears = (bytes: number) => {
          other.channel(LOBBY).signal("tick");
          return first !== 2 || down.passed > bytes;
        };
        await until("it hears what is sent to it", () => hears(3_000));
        const before = down.passed;
        for (const n of numbers(5, 7)) await publishSurely(other, `new ${n}`);
        await until("it was told what it cannot look at", () => hears(before + 5_000));
        expect(live.got.slice(0, 11)).toEqual([...numbers(10).map((n) => `lost ${n}`), ...(live.got.length > 10 ? ["gap truncated"] : [])]);
        for (const link of links) link.cut();
        const answer = await meanwhile;
        const { messages } = await other.channel(LOBBY).history({ limit: 1_000 });
        const stored = messages.filter(({ data }) => data === "meanwhile").length;
        expect(answer === "stored" ? [1] : [0, 1]).toContain(stored);
        await publishSurely(other, "new 12");
        await expectTold(late, live, lost, false, ["meanwhile"]);
      } finally {
        await late.close();
        await other.close();
      }
    },
    40_000,
  );

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
