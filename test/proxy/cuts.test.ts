import { describe, expect, test } from "vitest";
import { SYSTEM_CLOCK } from "../../src/client/system.ts";
import { ClientReader } from "../support/client-reader.ts";
import { record } from "../support/evidence.ts";
import { ask } from "../support/http.ts";
import type { Message } from "../support/inbox.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { FramesReader, PlainReader } from "../support/raw-sse.ts";
import type { Reader } from "../support/reader.ts";
import { until } from "../support/until.ts";
import { type Behind, behind } from "./behind.ts";
import { EventSourceReader } from "./event-source-reader.ts";
import { PROXIES, type ProxySetup } from "./proxies.ts";

/** One configuration of each proxy, since how they cut does not differ from one to the other: the first that lets WebSocket through. */
const EACH = PROXIES.filter(
  ({ name, powers }, index, all) =>
    powers.webSocket && all.findIndex((one) => one.powers.webSocket && sameProgram(one.name, name)) === index,
);

const CHANNEL = "chat/lobby";

describe.concurrent("A proxy that cuts what is idle for 2 s, with a heartbeat of 15 s", () => {
  test.for(EACH)("[D2] $name: every reader comes back, with nothing lost and nothing twice", (proxy) =>
    onStage(proxy, { idleSeconds: 2 }, async (stage) => {
      const { bare, clients, socket, all } = await openAll(stage, proxy);
      const auto = stage.keep(await new ClientReader(stage.asked(CHANNEL), "auto").open());
      const published = await stage.publish(CHANNEL, 3);
      const cut = proxy.cutsWebSocket ? clients : clients.slice(0, 1);
      await until("each of the clients was cut twice", () => cut.every(({ client }) => client.counts.reconnects >= 2));
      published.push(...(await stage.publish(CHANNEL, 3)));
      await until("the EventSource was cut", () => bare.opened >= 2);
      published.push(...(await stage.publish(CHANNEL, 3)));
      if (proxy.cutsWebSocket) expect(await socket?.ended()).toEqual({ code: "cut" });
      await until("one that may choose has had enough of it", () => auto.client.transport === "long-poll");
      published.push(...(await stage.publish(CHANNEL, 3)));
      for (const reader of [...all, auto]) await expectAll(reader, published);
    }),
  );
});

const HEARTBEAT_SECONDS = 1.5;
const IDLE_SECONDS = 6;
/** A client's, whose time goes slowly: it does not give up a pipe for a heartbeat that a busy machine brings late, so that what cuts it is the proxy. */
const PATIENT: typeof SYSTEM_CLOCK = {
  ...SYSTEM_CLOCK,
  elapsed: () => SYSTEM_CLOCK.elapsed() / 10,
  after: (ms, act) => SYSTEM_CLOCK.after(ms * 10, act),
};

describe.concurrent(`A proxy that cuts what is idle for ${IDLE_SECONDS} s, with a heartbeat of ${HEARTBEAT_SECONDS} s`, () => {
  test.for(EACH)("[D2] $name never cuts a reader, and the server sees within its heartbeats that one has left", (proxy) =>
    onStage(proxy, { idleSeconds: IDLE_SECONDS, limits: { heartbeatSeconds: HEARTBEAT_SECONDS } }, async (stage) => {
      const { bare, clients, socket, all } = await openAll(stage, proxy, PATIENT);
      const raw = [new PlainReader(stage.asked(CHANNEL)), new FramesReader(stage.asked(CHANNEL))];
      for (const reader of raw) stage.keep(await reader.open());
      await until("heartbeats have come for longer than that", () =>
        raw.every(({ heartbeats }) => (heartbeats - 1) * HEARTBEAT_SECONDS > IDLE_SECONDS),
      );
      const published = await stage.publish(CHANNEL, 3);
      for (const reader of [...all, ...raw]) await expectAll(reader, published);
      for (const reader of [...raw, ...(socket ? [socket] : [])]) expect(reader.inbox.ending).toBe(null);
      for (const { client, errors } of clients) expect([client.counts.reconnects, errors]).toEqual([0, []]);
      expect(bare.opened).toBe(1);

      const open = () => stage.server.tl.counts().connections;
      expect(open()).toBe(all.length + raw.length);
      // Just after a heartbeat, so that none is on its way when they leave
      const beats = raw.map(({ heartbeats }) => heartbeats);
      await until("each has had one more", () => raw.every(({ heartbeats }, index) => heartbeats > beats[index]!));
      const left = performance.now();
      const written = stage.heartbeats();
      for (const reader of [...all, ...raw]) reader.close();
      await until("the server sees that they have left", () => open() === 0);
      const heartbeats = written();
      const seenMs = Math.round(performance.now() - left);
      console.info(`${proxy.name}: the departed are seen after ${heartbeats} heartbeats, ${seenMs} ms`);
      record("proxy departure", {
        what: `${proxy.name}: the heartbeats that the server writes at most to one who has left, ${HEARTBEAT_SECONDS} s apart, until it sees it`,
        injections: all.length + raw.length,
        heartbeats,
        seenMs,
        seconds: Math.round(seenMs / 1_000),
      });
      expect(heartbeats).toBeLessThanOrEqual(proxy.departureHeartbeats);
    }),
  );
});

describe.concurrent("A proxy that asks GET for HEAD", () => {
  test.for(PROXIES.filter(({ headByGet }) => headByGet))("[D7] $name leaves no stream open that nobody reads", (proxy) =>
    onStage(proxy, { limits: { heartbeatSeconds: 1 } }, async (stage) => {
      let connected = 0;
      stage.server.tl.on("connect", () => connected++);
      const { status } = await ask(`${stage.proxy.url}/channels/${CHANNEL}`, { method: "HEAD" });
      expect(status).toBe(200);
      await until(
        "the server was asked for a stream, and is rid of it",
        () => connected === 1 && stage.server.tl.counts().connections === 0,
      );
    }),
  );
});

describe.concurrent("A proxy that dies and comes back on its port", () => {
  test.for(PROXIES)("[D2] [D10] $name: every reader catches up, with nothing lost and nothing twice", (proxy) =>
    onStage(proxy, {}, async (stage) => {
      const began = performance.now();
      const { bare, clients, socket, all } = await openAll(stage, proxy);
      const published = await stage.publish(CHANNEL, 3);
      const naive = [stage.keep(await new PlainReader(stage.asked(CHANNEL)).open())];
      for (let times = 1; times <= 2; times++) {
        await stage.proxy.restart(async () => {
          published.push(...(await stage.publish(CHANNEL, 3)));
        });
        naive.push(stage.keep(await new PlainReader(stage.asked(CHANNEL)).open()));
        await until("the clients are back", () => clients.every(({ client }) => client.state === "connected"));
        await until("the EventSource is back", () => bare.opened > times);
        published.push(...(await stage.publish(CHANNEL, 3)));
      }
      if (socket) expect(await socket.ended()).toEqual({ code: "cut" });
      for (const reader of all) await expectAll(reader, published);
      // The control: one that comes back without its position, to what is there then
      await naive.at(-1)?.next(3);
      const missed = published.length - 3 - naive.reduce((sum, { inbox }) => sum + inbox.waiting, 3);
      expect(missed, "the test can see a loss").toBeGreaterThanOrEqual(2 * 3);
      record("N9", {
        what: `${proxy.name} dies (SIGKILL) twice under ${all.length} readers, and comes back on its port`,
        injections: 2,
        delivered: (all.length - (socket ? 1 : 0)) * published.length,
        lost: 0,
        twice: 0,
        disordered: 0,
        control: `${missed} lost by one that comes back without Last-Event-ID`,
        seconds: Math.round((performance.now() - began) / 1_000),
      });
    }),
  );
});

describe.concurrent("A proxy that reads its configuration again", () => {
  test.for(PROXIES.filter(({ powers }) => powers.reload))("[D2] $name: readers go on, with nothing lost and nothing twice", (proxy) =>
    onStage(proxy, {}, async (stage) => {
      const { all } = await openAll(stage, proxy);
      const published = await stage.publish(CHANNEL, 3);
      const reloading = stage.proxy.reload();
      published.push(...(await stage.publish(CHANNEL, 3)));
      await reloading;
      const late = stage.keep(await new ClientReader(stage.asked(CHANNEL, "start"), "long-poll").open());
      published.push(...(await stage.publish(CHANNEL, 3)));
      for (const reader of [...all, late]) await expectAll(reader, published);
    }),
  );
});

async function onStage(proxy: ProxySetup, options: Parameters<typeof behind>[1], story: (stage: Behind) => Promise<void>): Promise<void> {
  const stage = await behind(proxy, options);
  try {
    await story(stage);
  } finally {
    await stage.close();
  }
}

/** Who stays on a pipe: a bare EventSource and our client, which come back by themselves, and a bare WebSocket, which does not. */
async function openAll({ asked, keep }: Behind, { powers }: ProxySetup, clock = SYSTEM_CLOCK) {
  const here = asked(CHANNEL);
  const bare = keep(await new EventSourceReader(here).open());
  const clients = [keep(await new ClientReader(here, "sse", { clock }).open())];
  if (powers.webSocket) clients.push(keep(await new ClientReader(here, "websocket", { clock }).open()));
  const socket = powers.webSocket ? keep(await new SocketReader(here).open()) : null;
  return { bare, clients, socket, all: [bare, ...clients, ...(socket ? [socket] : [])] };
}

/** All of it, once, in order. Of one that was cut and does not come back: so much of it as came. */
async function expectAll(reader: Reader, published: readonly Message[]): Promise<void> {
  const count = reader.inbox.ending === null ? published.length : reader.inbox.waiting;
  expect(await reader.next(count)).toEqual(published.slice(0, count));
  expect(reader.inbox.waiting).toBe(0);
}

function sameProgram(one: string, other: string): boolean {
  return one.split(" ")[0] === other.split(" ")[0];
}
