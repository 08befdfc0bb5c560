import { expect, test } from "vitest";
import type { Published } from "../../src/client.ts";
import { disk } from "../../src/disk.ts";
import { freshDirectory, startDevProgram } from "../server/program.ts";
import { CHANNEL, Crew, storedOf } from "../support/crew.ts";
import { record } from "../support/evidence.ts";
import { FaultProxy } from "../support/fault-proxy.ts";
import { freePort } from "../support/free-port.ts";
import { ask, demand } from "../support/http.ts";
import { offsetOf } from "../support/inbox.ts";
import { startServer } from "../support/start-server.ts";
import { until } from "../support/until.ts";

/* Rows U1 and U2: the answer to a publish is lost on its way, and the publish is done again. */

/** `THROUGHLINE_ANSWERS=500` for a night. */
const ANSWERS = Number(process.env["THROUGHLINE_ANSWERS"] ?? 10);

/** Publishes by POST through `url`; rejects if no answer comes. */
async function post(url: string, data: unknown, key: string | null): Promise<Published> {
  const headers = key === null ? {} : { "idempotency-key": key };
  return storedOf((await demand(`${url}/channels/${CHANNEL}`, { method: "POST", headers, body: data })).json);
}

/** Resolves when the message is stored; its answer is swallowed, and its connection cut. */
async function loseAnswer(proxy: FaultProxy, direct: string, act: () => Promise<unknown>): Promise<void> {
  const before = await headOf(direct);
  proxy.set({ down: { flow: "hole" } });
  const answered = act().catch(() => undefined);
  await until("it is stored", async () => (await headOf(direct)) > before);
  proxy.set({ down: { flow: "open" } });
  proxy.cut();
  await answered;
}

async function headOf(direct: string): Promise<number> {
  const { headers } = await ask(`${direct}/channels/${CHANNEL}`, { method: "HEAD" });
  return offsetOf(String(headers["throughline-position"]));
}

test(`[D5] U1: ${ANSWERS} answers lost for each way to publish, then published again: one message each, and the answer says duplicate`, {
  timeout: 30_000 + ANSWERS * 1_000,
}, async () => {
  const began = performance.now();
  await using server = await diskServer();
  await using proxy = await FaultProxy.open(server.port);
  using crew = await Crew.meet(server.url);
  const { chronicle } = crew;
  crew.reader(server.url, "sse");
  await crew.live();
  const answers: (Published | null)[] = [];

  // By hand, with a key: the application says it again
  for (let n = 0; n < ANSWERS; n++) {
    const data = { byHand: n };
    await loseAnswer(proxy, server.url, () => chronicle.publish(CHANNEL, data, () => post(proxy.url, data, `hand-${n}`), `hand-${n}`));
    answers.push(await chronicle.publish(CHANNEL, data, () => post(proxy.url, data, `hand-${n}`), `hand-${n}`));
  }
  // By the client: it says it again by itself
  for (const transport of ["sse", "websocket"] as const) {
    const client = crew.client(proxy.url, transport);
    for (let n = 0; n < ANSWERS; n++) {
      // A WebSocket must stand before its answers can be swallowed
      if (transport === "websocket" && n === 0) await crew.publish(client, 1);
      if (transport === "websocket") await until("it is connected", () => client.transport === "websocket");
      const data = { by: transport, n };
      let answer: Promise<Published | null> = Promise.resolve(null);
      await loseAnswer(proxy, server.url, async () => {
        answer = chronicle.publish(CHANNEL, data, () => client.channel(CHANNEL).publish("message", data));
      });
      answers.push(await answer);
    }
  }
  const tally = await crew.judge();
  expect(tally).toMatchObject({ lost: 0, twice: 0, disordered: 0, untold: 0 });
  expect(answers.map((answer) => answer?.duplicate)).toEqual(answers.map(() => true));
  expect(new Set(answers.map((answer) => answer?.position)).size).toBe(answers.length);

  // Without a key
  const data = { without: "a key" };
  await loseAnswer(proxy, server.url, () => post(proxy.url, data, null));
  await post(proxy.url, data, null);
  await chronicle.final(server.url, CHANNEL);
  const control = chronicle.tally().twice;
  const what =
    "the answer to a publish swallowed after it was stored, its connection cut, then published again: by POST, and by the client";
  const seconds = Math.round((performance.now() - began) / 1_000);
  record("U1", { what, injections: answers.length, ...tally, control: `${control} twice without a key`, seconds });
  expect(control, "the test can see a duplicate").toBeGreaterThan(0);
});

test("[D5] U2: published again after the server was killed and started anew: one message, and the answer says duplicate", {
  timeout: 60_000,
}, async () => {
  const began = performance.now();
  const directory = freshDirectory();
  const port = await freePort();
  const direct = `http://127.0.0.1:${port}`;
  let program = await startDevProgram(port, directory);
  await using proxy = await FaultProxy.open(port);
  using crew = await Crew.meet(direct);
  const { chronicle } = crew;
  const rounds = Math.max(2, Math.round(ANSWERS / 5));
  for (let n = 0; n < rounds; n++) {
    const data = { killed: n };
    await loseAnswer(proxy, direct, () => chronicle.publish(CHANNEL, data, () => post(proxy.url, data, `killed-${n}`), `killed-${n}`));
    chronicle.fault("kill");
    await program.kill();
    program = await startDevProgram(port, directory);
    const answer = await chronicle.publish(CHANNEL, data, () => post(proxy.url, data, `killed-${n}`), `killed-${n}`);
    expect(answer).toMatchObject({ duplicate: true, level: "disk" });
  }
  const tally = await crew.judge();
  const data = { without: "a key" };
  await loseAnswer(proxy, direct, () => post(proxy.url, data, null));
  await program.kill();
  await startDevProgram(port, directory);
  await post(proxy.url, data, null);
  await chronicle.final(direct, CHANNEL);
  const control = chronicle.tally().twice;
  const seconds = Math.round((performance.now() - began) / 1_000);
  const what = "the answer swallowed, the server killed (SIGKILL) and started again, then published again";
  record("U2 restart", { what, injections: rounds, ...tally, control: `${control} twice without a key`, seconds });
  expect(tally).toMatchObject({ lost: 0, twice: 0 });
  expect(control, "the test can see a duplicate").toBeGreaterThan(0);
});

test("[D5] U2: published again after its message was trimmed: the answer names the first place, and nothing is stored", async () => {
  const began = performance.now();
  await using server = await diskServer(5);
  await using proxy = await FaultProxy.open(server.port);
  using crew = await Crew.meet(server.url);
  const { chronicle } = crew;
  const publisher = crew.client(server.url, "sse");
  chronicle.fault("retention", "start", ["trimmed"]);
  for (let n = 0; n < ANSWERS; n++) {
    const data = { trimmed: n };
    const at = (await headOf(server.url)) + 1;
    const again = () => chronicle.publish(CHANNEL, data, () => post(proxy.url, data, `trimmed-${n}`), `trimmed-${n}`);
    await loseAnswer(proxy, server.url, again);
    await crew.publish(publisher, 10);
    const answer = await again();
    expect([offsetOf(answer?.position ?? ""), answer?.duplicate]).toEqual([at, true]);
    expect(await headOf(server.url)).toBe(at + 10);
  }
  const tally = await crew.judge();
  const head = await headOf(server.url);
  await post(server.url, { trimmed: 0 }, null);
  const control = (await headOf(server.url)) - head;
  expect(control, "the test can see that it is stored again").toBe(1);
  const seconds = Math.round((performance.now() - began) / 1_000);
  const what = "the answer swallowed, the message trimmed by retention, then published again";
  record("U2 trim", { what, injections: ANSWERS, ...tally, control: `${control} twice without a key`, seconds });
  expect(tally).toMatchObject({ lost: 0, twice: 0 });
});

/** A server on disk, in this process. */
async function diskServer(countMax = 100_000) {
  const directory = freshDirectory();
  const server = await startServer(() => disk(directory), { retain: { countMax } });
  return { url: server.url, port: Number(new URL(server.url).port), [Symbol.asyncDispose]: () => server.dispose() };
}
