import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test, vi } from "vitest";
import { fakeWorld } from "../../test/support/fake-client.ts";
import { until } from "../../test/support/until.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Until whatever nobody holds is gone. What one turn of the event loop has looked at by a WeakRef lives as long as the turn. */
async function collect(): Promise<void> {
  const witness = new WeakRef({});
  await until("garbage is collected", () => {
    gc();
    return witness.deref() === undefined;
  });
}

test("[D2] a channel that is read is the same object for all, though no application holds it", async () => {
  const { client, server, settle } = fakeWorld({ transport: "sse" });
  const told: string[] = [];
  client.channel("a").subscribe(({ offset }) => told.push(`first ${offset}`));
  await settle();
  server.publish("a", 1);
  await settle();
  await collect();
  expect(client.channel("a").state).toBe("live");
  await collect();
  client.channel("a").subscribe(({ offset }) => told.push(`second ${offset}`));
  await settle();
  server.publish("a", 2);
  await settle();
  expect(told).toEqual(["first 1", "first 2", "second 2"]);
  client.close();
});

test("a listener of a channel that nobody holds hears of what happens to it later", async () => {
  const { client, settle } = fakeWorld({ transport: "sse" });
  const told: string[] = [];
  const listening = client.channel("a").on("state", (state) => told.push(state));
  await collect();
  const reading = client.channel("a").subscribe(() => undefined);
  await settle();
  expect(told).toEqual(["subscribing", "catching-up", "live"]);
  reading.unsubscribe();
  listening.unsubscribe();
  client.close();
});

test("[D7] a channel that is asked for again and again is watched once", () => {
  const watched: unknown[] = [];
  class Registry {
    register(_: object, name: string): void {
      watched.push(name);
    }
  }
  vi.stubGlobal("FinalizationRegistry", Registry);
  try {
    const { client } = fakeWorld({ transport: "sse" });
    const channel = client.channel("a");
    for (let call = 0; call < 100; call++) expect(client.channel("a")).toBe(channel);
    expect(watched).toEqual(["a"]);
    client.close();
  } finally {
    vi.unstubAllGlobals();
  }
});

test("a channel that is neither read nor listened to is forgotten", async () => {
  const { client } = fakeWorld({ transport: "sse" });
  let gone = 0;
  const watched = new FinalizationRegistry(() => gone++);
  const handler = () => undefined;
  (() => {
    const channel = client.channel("a");
    channel.subscribe(handler).unsubscribe();
    channel.on("gap", handler).unsubscribe();
    channel.on("signal", handler).unsubscribe();
    watched.register(channel, 0);
  })();
  await until("it is collected", async () => {
    await collect();
    return gone === 1;
  });
  client.close();
});
