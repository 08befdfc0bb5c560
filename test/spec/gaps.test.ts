import { describe, expect } from "vitest";
import { epochOf, offsetOf } from "../support/inbox.ts";
import { LOBBY, numbers, offsets, promise } from "../support/story.ts";

const ORIGIN = "000000000000--------.0000000000000000.--------";
const KEEP_FIVE = { retain: { countMax: 5 } };

describe("Gaps", () => {
  promise("[D3] a reader that retention passed is told how many messages it misses, before any later one", KEEP_FIVE, async (stage) => {
    const { connect, publish } = stage;
    const sent = await publish(20);
    const reader = await connect({ from: `after:${sent[1]?.position}` });
    const [since, resumeFrom] = [sent[1]?.position, sent[14]?.position];
    expect(await reader.gap()).toEqual({ channel: LOBBY, reason: "trimmed", since, resumeFrom, missing: 13 });
    expect(await reader.next(5)).toEqual(sent.slice(15));
  });

  promise("[D3] a gap is itself a position: who resumes from it is not told again", KEEP_FIVE, async ({ connect, publish }) => {
    const sent = await publish(20);
    const reader = await connect({ from: `after:${sent[1]?.position}` });
    const { resumeFrom } = await reader.gap();
    const again = await connect({ from: `after:${resumeFrom}` });
    expect(await again.next(5)).toEqual(sent.slice(15));
  });

  promise("[D3] no gap is told where nothing is missing: just before the first retained message", KEEP_FIVE, async (stage) => {
    const { connect, publish } = stage;
    const sent = await publish(8);
    const reader = await connect({ from: `after:${sent[2]?.position}` });
    expect(await reader.next(5)).toEqual(sent.slice(3));
    const fromStart = await connect({ from: "start" });
    expect(await fromStart.next(5)).toEqual(sent.slice(3));
  });

  promise("[D3] a reader of a channel that was removed and made anew is told of a new epoch", {}, async ({ connect, publish, ask }) => {
    const old = await publish(3);
    await ask(`/channels/${LOBBY}`, { method: "DELETE" });
    const fresh = await publish(2);
    const reader = await connect({ from: `after:${old[2]?.position}` });
    const gap = await reader.gap();
    expect(gap).toMatchObject({ reason: "epoch", since: old[2]?.position, missing: null });
    expect([epochOf(gap.resumeFrom), offsetOf(gap.resumeFrom)]).toEqual([epochOf(fresh[0]?.position ?? ""), 0]);
    expect(await reader.next(2)).toEqual(fresh);
  });

  promise("[D3] a live reader is told at once that its channel was removed, and reads what comes anew", {}, async (stage) => {
    const { connect, publish, ask } = stage;
    const reader = await connect();
    const old = await publish(3);
    await reader.next(3);
    await ask(`/channels/${LOBBY}`, { method: "DELETE" });
    expect(await reader.gap()).toMatchObject({ reason: "epoch", since: old[2]?.position, resumeFrom: ORIGIN, missing: null });
    const fresh = await publish(2);
    expect(await reader.next(2)).toEqual(fresh);
    expect(fresh[0]?.position.slice(0, 12) ?? "").toSatisfy((later: string) => later > (old[0]?.position.slice(0, 12) ?? ""));
  });

  promise(
    "[D3] removed and published to again in one breath, a channel has a gap between, and nothing of it is lost",
    {},
    async (stage) => {
      const { connect, server } = stage;
      const reader = await connect();
      const channel = server.tl.channel(LOBBY);
      await channel.publish("the first");
      await reader.next(1);
      for (const round of numbers(10)) {
        const old = channel.publish({ old: round });
        const removed = fetch(`${server.url}/channels/${LOBBY}`, { method: "DELETE" });
        const fresh = numbers(3).map(async (n) => {
          await removed;
          return channel.publish({ round, n });
        });
        await Promise.all([old, ...fresh]);
        const got: unknown[] = [];
        while (got.length === 0 || JSON.stringify(got.at(-1)) !== JSON.stringify({ round, n: 3 })) {
          const told = await reader.inbox.nextTold();
          got.push("message" in told ? told.message.data : told.gap.reason);
        }
        expect(got.slice(got.lastIndexOf("epoch"))).toEqual(["epoch", ...numbers(3).map((n) => ({ round, n }))]);
      }
    },
  );

  promise("[D3] a restart of a server that keeps nothing is told as a new epoch", { needs: ["forgets"], atOnce: true }, async (stage) => {
    const { connect, comeBack, publish, server } = stage;
    const reader = await connect();
    const old = await publish(3);
    await reader.next(3);
    await server.restart();
    const again = await comeBack(reader);
    expect(await again.gap()).toMatchObject({ reason: "epoch", since: old[2]?.position, missing: null });
    const fresh = await publish(2);
    expect(await again.next(2)).toEqual(fresh);
  });

  promise("[D3] a position of another channel is told as a new epoch, never as silence", {}, async ({ connect, publish }) => {
    const [foreign] = await publish(1, { channel: "chat/other" });
    const sent = await publish(2);
    const reader = await connect({ from: `after:${foreign?.position}` });
    expect(await reader.gap()).toMatchObject({ channel: LOBBY, reason: "epoch", since: foreign?.position, missing: null });
    expect(await reader.next(2)).toEqual(sent);
  });

  promise("[D3] a position beyond the end of the log is told as a tail that was lost", {}, async ({ connect, publish }) => {
    const sent = await publish(3);
    const beyond = `${sent[2]?.position.slice(0, 20)}.0000000000000009.abcdefgh`;
    const reader = await connect({ from: `after:${beyond}` });
    expect(await reader.gap()).toMatchObject({ reason: "truncated", since: beyond, resumeFrom: sent[2]?.position, missing: null });
    const after = await publish(1);
    expect(await reader.next(1)).toEqual(after);
  });

  promise("[D3] another message at the reader's offset is told as a tail that was lost", {}, async ({ connect, publish }) => {
    const sent = await publish(5);
    const other = `${sent[2]?.position.slice(0, 38)}abcdefgh`;
    const reader = await connect({ from: `after:${other}` });
    expect(await reader.gap()).toMatchObject({ reason: "truncated", since: other, resumeFrom: sent[2]?.position, missing: null });
    expect(await reader.next(2)).toEqual(sent.slice(3));
  });

  promise("[D3] the same holds of the last trimmed message, whose tag is kept", { ...KEEP_FIVE, on: "each" }, async (stage) => {
    const { connect, publish } = stage;
    const sent = await publish(8);
    const other = `${sent[2]?.position.slice(0, 38)}abcdefgh`;
    const reader = await connect({ from: `after:${other}` });
    expect(await reader.gap()).toMatchObject({ reason: "truncated", resumeFrom: sent[2]?.position, missing: null });
    expect(await reader.next(5)).toEqual(sent.slice(3));
  });

  promise("a position whose tag is not known is taken at its offset", {}, async ({ connect, publish }) => {
    const sent = await publish(4);
    const reader = await connect({ from: `after:${sent[1]?.position.slice(0, 38)}--------` });
    expect(await reader.next(2)).toEqual(sent.slice(2));
  });

  promise("the origin resumes from the first message of whatever log there is", {}, async ({ connect, publish }) => {
    const early = await connect({ from: `after:${ORIGIN}` });
    const sent = await publish(3);
    const late = await connect({ from: `after:${ORIGIN}` });
    expect(await early.next(3)).toEqual(sent);
    expect(await late.next(3)).toEqual(sent);
  });

  promise("[D3] from the origin, too, what was trimmed is told", KEEP_FIVE, async ({ connect, publish }) => {
    const sent = await publish(7);
    const reader = await connect({ from: `after:${ORIGIN}` });
    expect(await reader.gap()).toMatchObject({ reason: "trimmed", since: ORIGIN, resumeFrom: sent[1]?.position, missing: 2 });
    expect(offsets(await reader.next(5))).toEqual([3, 4, 5, 6, 7]);
  });

  const noTail = { ...KEEP_FIVE, limits: { tailBytesMax: 1 } };
  promise("[D3] a gap of one channel leaves the others of the pipe alone", { ...noTail, needs: ["manyChannels"] }, async (stage) => {
    const { connect, publish, transport } = stage;
    const reader = await connect({ channels: ["a", "b"] });
    await publish(1, { channel: "a" });
    await publish(1, { channel: "b" });
    await reader.next(2);
    reader.close();
    for (const _ of numbers(9)) await publish(1, { channel: "a" });
    const more = await publish(2, { channel: "b" });
    const { lastEventId } = reader;
    const again = await connect({ after: reader, ...(transport.powers.resumesByHeader ? { lastEventId } : {}) });
    const told = [];
    while (told.length < 8) told.push(await again.inbox.nextTold());
    expect(told).toContainEqual({ gap: expect.objectContaining({ channel: "a", reason: "trimmed", missing: 4 }) });
    expect(told.filter((one) => "message" in one && one.message.channel === "b")).toEqual(more.map((message) => ({ message })));
  });

  promise("[D3] a page of history tells a gap, and gives what follows it", { ...KEEP_FIVE, over: "one" }, async ({ publish, ask }) => {
    const sent = await publish(20);
    const headers = { accept: "application/json" };
    const { json } = await ask(`/channels/${LOBBY}?from=after:${sent[0]?.position}`, { headers });
    expect(json.gap).toMatchObject({ type: "gap", reason: "trimmed", since: sent[0]?.position, missing: 14 });
    expect(offsets(json.messages)).toEqual([16, 17, 18, 19, 20]);
    expect(json).toMatchObject({ position: sent[19]?.position, upToDate: true });
  });
});
