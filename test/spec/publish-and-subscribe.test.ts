import { describe, expect } from "vitest";
import { LOBBY, promise } from "../support/story.ts";
import { until } from "../support/until.ts";

describe("Publishing and subscribing", () => {
  promise("[D2] a reader gets what is published after it came, in order", {}, async ({ connect, publish }) => {
    await publish(2);
    const reader = await connect();
    const sent = await publish(3);
    expect(await reader.next(3)).toEqual(sent);
  });

  promise("[D1] all readers of a channel get the same messages at the same positions", {}, async ({ connect, publish }) => {
    const [one, other] = await Promise.all([connect(), connect({ over: "sse" })]);
    const sent = await publish(10);
    expect(await one.next(10)).toEqual(sent);
    expect(await other.next(10)).toEqual(sent);
  });

  promise("[D2] a channel that nobody published to is empty, and its readers get the first message", {}, async ({ connect, publish }) => {
    const readers = [await connect(), await connect({ from: "start" }), await connect({ from: "last:5" })];
    const sent = await publish(1);
    for (const reader of readers) expect(await reader.next(1)).toEqual(sent);
  });

  promise("[D2] a reader from the start gets all that is retained, and then what comes", {}, async ({ connect, publish }) => {
    const before = await publish(1_200);
    const reader = await connect({ from: "start" });
    const after = await publish(3);
    expect(await reader.next(1_203)).toEqual([...before, ...after]);
  });

  promise("[D2] a reader of the last few gets these, and then what comes", {}, async ({ connect, publish }) => {
    const before = await publish(10);
    const reader = await connect({ from: "last:4" });
    const after = await publish(2);
    expect(await reader.next(6)).toEqual([...before.slice(6), ...after]);
  });

  promise("[D2] a reader since a time gets what was stored at that time or later", {}, async ({ connect, publish, server }) => {
    const early = await publish(3);
    const { messages } = await server.tl.channel(LOBBY).history();
    const earlyAt = messages.at(-1)?.at ?? 0;
    await until("the clock has moved on", () => Date.now() > earlyAt);
    const late = await publish(3);
    const all = await server.tl.channel(LOBBY).history();
    const reader = await connect({ from: `since:${new Date(all.messages[3]?.at ?? 0).toISOString()}` });
    expect(await reader.next(3)).toEqual(late);
    const whole = await connect({ from: `since:${new Date(0).toISOString()}` });
    expect(await whole.next(6)).toEqual([...early, ...late]);
  });

  promise("a message bears its event; without one it is `message`", {}, async ({ connect, publish }) => {
    const reader = await connect();
    const sent = [...(await publish(1, { event: "order" })), ...(await publish(1))];
    expect(await reader.next(2)).toEqual(sent);
    expect(sent.map(({ event }) => event)).toEqual(["order", "message"]);
  });

  promise("JSON arrives as it was published, whatever it is", {}, async ({ connect, server }) => {
    const reader = await connect();
    const values = [null, true, 0.1, "", "line\nline\r\nline", [1, [2]], { "": { deep: ["ü", "\u2028", "😀", "\u0000"] } }];
    for (const value of values) await server.tl.channel(LOBBY).publish(value);
    expect((await reader.next(values.length)).map(({ data }) => data)).toEqual(values);
  });

  promise("text of several lines arrives as several lines", {}, async ({ connect, ask }) => {
    const reader = await connect();
    await ask(`/channels/${LOBBY}`, { method: "POST", headers: { "content-type": "text/plain" }, body: "one\n\n two: x\n" });
    expect((await reader.next(1))[0]?.data).toBe("one\n\n two: x\n");
  });

  promise("text arrives with the very line ends it has", { needs: ["exactText"] }, async ({ connect, ask }) => {
    const reader = await connect();
    await ask(`/channels/${LOBBY}`, { method: "POST", headers: { "content-type": "text/plain" }, body: "one\r\ntwo\rthree" });
    expect((await reader.next(1))[0]?.data).toBe("one\r\ntwo\rthree");
  });

  promise("bytes arrive as bytes", { needs: ["bytes"] }, async ({ connect, ask }) => {
    const reader = await connect();
    const bytes = Uint8Array.from({ length: 300 }, (_, index) => index % 256);
    await ask(`/channels/${LOBBY}`, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: bytes });
    expect((await reader.next(1))[0]?.data).toEqual(bytes);
  });

  promise("a reader of one channel is told nothing of another", {}, async ({ connect, publish }) => {
    const reader = await connect();
    await publish(2, { channel: "chat/other" });
    const sent = await publish(1);
    expect(await reader.next(1)).toEqual(sent);
  });

  promise("a reader that has gone leaves nothing behind, and the others read on", {}, async ({ connect, publish, server }) => {
    const reader = await connect();
    const other = await connect({ over: "sse" });
    reader.close();
    await until("one reader is left", () => server.tl.counts().readers === 1);
    const sent = await publish(3);
    expect(await other.next(3)).toEqual(sent);
    expect(server.tl.counts().connections).toBe(1);
  });

  promise("[D4] an ack names the level at which the message is stored", { over: "one" }, async ({ ask, engine }) => {
    const answer = await ask(`/channels/${LOBBY}`, { method: "POST", body: { n: 1 } });
    expect(answer.status).toBe(201);
    expect(answer.json).toEqual({ position: expect.stringMatching(/^.{20}\.0000000000000001\..{8}$/), level: engine.level });
  });

  promise("[D4] what was acknowledged is there after a restart", { needs: ["restart"] }, async ({ connect, publish, server }) => {
    const before = await publish(20);
    await server.restart();
    const reader = await connect({ from: "start" });
    const after = await publish(3);
    expect(await reader.next(23)).toEqual([...before, ...after]);
  });

  promise("the process that hosts the server publishes and subscribes like everyone else", { over: "one" }, async ({ server, publish }) => {
    const got: unknown[] = [];
    using _reading = server.tl.channel(LOBBY).subscribe(({ event, data }) => void got.push([event, data]), { from: "start" });
    await server.tl.channel(LOBBY).publish("order", { total: 12 });
    await publish(1);
    await until("both have come", () => got.length === 2);
    expect(got).toEqual([
      ["order", { total: 12 }],
      ["message", { n: 1 }],
    ]);
  });
});
