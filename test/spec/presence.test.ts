import { describe, expect } from "vitest";
import type { Question } from "../../src/index.ts";
import { demand } from "../support/http.ts";
import { type Arrival, Guest, WatchReader } from "../support/presence.ts";
import { SocketReader } from "../support/raw-socket.ts";
import { byToken, LOBBY, numbers, promise, type Stage } from "../support/story.ts";
import { until } from "../support/until.ts";

const PATH = `/presence/${LOBBY}`;
/** A lease of 600 ms. */
const QUICK = { limits: { heartbeatSeconds: 0.6 } } as const;
const LEASE_MS = 1_200;
/** What a busy machine may need beyond it. */
const GRACE_MS = 1_500;

function guest({ server, transport, keep }: Stage, arrival: Partial<Arrival> = {}): Guest {
  const over = transport.name.replace("client/", "") as Arrival["over"];
  return keep(new Guest({ url: server.url, over, ...arrival }));
}

function ask(url: string, body: object, token?: string) {
  return demand(url + PATH, { method: "POST", body, token });
}

async function watcher({ server, keep }: Stage, lastEventId?: string): Promise<WatchReader> {
  return keep(await new WatchReader().open(server.url + PATH, lastEventId === undefined ? {} : { lastEventId }));
}

const CLIENTS = { needs: ["comesBack"] } as const;

describe("Presence", () => {
  promise("[D9] everyone on a channel sees everyone, and is told each join, update and leave once", CLIENTS, async (stage) => {
    const ada = guest(stage, { data: "ada" });
    await ada.seen("ada");
    const eve = guest(stage, { data: "eve", over: "sse" });
    await ada.seen("ada", "eve");
    await eve.seen("ada", "eve");
    await eve.here.update("eve!");
    await ada.seen("ada", "eve!");
    await eve.here.leave();
    await ada.seen("ada");
    expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'update "eve!"', 'leave "eve!"']);
  });

  promise("[D9] a client that vanishes has left within two heartbeats", { ...CLIENTS, ...QUICK, on: "one" }, async (stage) => {
    const ada = guest(stage, { data: "ada", over: "websocket" });
    await ada.seen("ada");
    const eve = guest(stage, { data: "eve" });
    await ada.seen("ada", "eve");
    eve.close();
    const vanished = performance.now();
    await ada.seen("ada");
    expect(performance.now() - vanished).toBeLessThan(LEASE_MS + GRACE_MS);
    expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'leave "eve"']);
  });

  promise("[D9] a cut and a reconnect within the lease is no leaving", CLIENTS, async (stage) => {
    const [ada, eve] = [guest(stage, { data: "ada" }), guest(stage, { data: "eve" })];
    await ada.seen("ada", "eve");
    for (const round of numbers(3)) {
      stage.server.cut();
      await eve.here.update(round);
      await ada.seen("ada", round);
    }
    expect(ada.told.filter((one) => one.startsWith("leave"))).toEqual([]);
    expect(ada.told.filter((one) => one.startsWith("join"))).toHaveLength(2);
  });

  promise("[D9] a switch to another transport is no leaving", { needs: ["switches"], on: "one" }, async (stage) => {
    const [ada, eve] = [guest(stage, { data: "ada" }), guest(stage, { data: "eve" })];
    await ada.seen("ada", "eve");
    for (const transport of ["websocket", "sse", "long-poll", "websocket"] as const) {
      eve.connection.switchTo(transport);
      await until(`it is on ${transport}`, () => eve.connection.transport === transport);
      await eve.here.update(transport);
      await ada.seen("ada", transport);
    }
    expect(ada.told.filter((one) => !one.startsWith("update")).sort()).toEqual(['join "ada"', 'join "eve"']);
  });

  promise("[D9] a server that restarts is no leaving for those who come back", { ...CLIENTS, atOnce: true }, async (stage) => {
    const ada = guest(stage, { data: "ada", over: "websocket" });
    await ada.seen("ada");
    guest(stage, { data: "eve" });
    await ada.seen("ada", "eve");
    await stage.server.restart();
    const again = guest(stage, { data: "new" });
    await again.seen("ada", "eve", "new");
    await ada.seen("ada", "eve", "new");
    expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'join "new"']);
  });

  promise(
    "[D9] who was there before a restart and does not come back has left within a lease",
    { ...CLIENTS, ...QUICK, on: "one" },
    async (stage) => {
      const ada = guest(stage, { data: "ada" });
      await ada.seen("ada");
      const eve = guest(stage, { data: "eve" });
      await ada.seen("ada", "eve");
      eve.close();
      await stage.server.restart();
      await ada.seen("ada");
      expect(ada.told.filter((one) => one.includes("eve"))).toEqual(['join "eve"', 'leave "eve"']);
    },
  );

  promise(
    "[D9] the tabs of one user are told apart, and seen together",
    { ...CLIENTS, on: "one", authenticate: byToken },
    async (stage) => {
      const tabs = [1, 2].map((data) => guest(stage, { data, token: "ada" }));
      const eve = guest(stage, { data: 3, token: "eve" });
      await eve.seen(1, 2, 3);
      expect([...eve.here.users].map(([user, members]) => [user, members.map(({ data }) => data).sort()]).sort()).toEqual([
        ["ada", [1, 2]],
        ["eve", [3]],
      ]);
      await tabs[0]!.here.leave();
      await eve.seen(2, 3);
      expect([...eve.here.users.keys()].sort()).toEqual(["ada", "eve"]);
    },
  );

  promise("a page that is loaded anew under the same name is there with what it says now", { ...CLIENTS, on: "one" }, async (stage) => {
    const ada = guest(stage, { data: "ada" });
    const before = guest(stage, { data: 1, client: "tab" });
    for (const n of [2, 3]) await before.here.update(n);
    await ada.seen("ada", 3);
    const left = before.here.leave();
    const after = guest(stage, { data: "anew", client: "tab" });
    await left;
    await ada.seen("ada", "anew");
    await after.seen("ada", "anew");
  });

  promise("who gives no data only watches, and is not there", { ...CLIENTS, on: "one" }, async (stage) => {
    const ada = guest(stage, { data: "ada" });
    const watching = guest(stage);
    await watching.seen("ada");
    await ada.here.leave();
    await watching.seen();
    expect(ada.told).toEqual(['join "ada"']);
  });

  promise("the process that hosts the channel sees who is there, and hears what changes", { ...CLIENTS, on: "one" }, async (stage) => {
    const heard: string[] = [];
    stage.server.tl.on("presence", ({ channel, change, member }) => heard.push(`${channel} ${change} ${member.data}`));
    const ada = guest(stage, { data: "ada" });
    await ada.seen("ada");
    expect(await stage.server.tl.channel(LOBBY).presence()).toEqual([{ user: "", client: ada.here.client, data: "ada" }]);
    await ada.here.leave();
    expect(heard).toEqual([`${LOBBY} join ada`, `${LOBBY} leave ada`]);
  });

  promise("a bare event stream is told the members and then every change, and goes on by Last-Event-ID", { over: "one" }, async (stage) => {
    const { server } = stage;
    await ask(server.url, { client: "a", data: 1 });
    const first = await watcher(stage);
    await ask(server.url, { client: "b", data: 2 });
    await ask(server.url, { client: "a", data: 3 });
    await until("it was told", () => first.told.length === 3);
    expect(first.told).toEqual(["members 1", "join 2", "update 3"]);
    first.close();
    await ask(server.url, { client: "b", leave: true });
    const second = await watcher(stage, first.lastEventId);
    await until("it was told", () => second.told.length === 1);
    expect(second.told).toEqual(["leave 2"]);
    const third = await watcher(stage, "7.made-up");
    await until("it was told", () => third.told.length === 1);
    expect(third.told).toEqual(["members 3"]);
  });

  promise(
    "[D9] a member that came in by a WebSocket is there while its pongs come",
    { ...QUICK, over: "one", on: "one" },
    async (stage) => {
      const { server, keep } = stage;
      const watching = await watcher(stage);
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      const [{ data }] = [await socket.ask({ type: "request", channel: LOBBY, name: "$presence", data: { client: "a", data: 1 } })] as [
        { data: { leaseSeconds: number } },
      ];
      expect(data.leaseSeconds * 1_000).toBe(LEASE_MS);
      const entered = performance.now();
      await until("three leases are over", () => performance.now() - entered > 3 * LEASE_MS);
      expect(watching.told).toEqual(["members", "join 1"]);
      // Its machine takes what it is sent no more, and says nothing
      socket.pause();
      await until("it has left", () => watching.told.length === 3);
      expect(watching.told[2]).toBe("leave 1");
    },
  );

  promise("[D9] over HTTP a member is there for a lease, which saying so renews", { ...QUICK, over: "one", on: "one" }, async (stage) => {
    const { server } = stage;
    const watching = await watcher(stage);
    await ask(server.url, { client: "a", data: 1 });
    const entered = performance.now();
    await until("two leases are over", async () => {
      await ask(server.url, { client: "a" });
      return performance.now() - entered > 2 * LEASE_MS;
    });
    expect(watching.told).toEqual(["members", "join 1"]);
    // One who is there is not kept waiting for longer than a third of it
    const { json } = await ask(server.url, { client: "a", position: "" });
    const asked = performance.now();
    await ask(server.url, { client: "a", position: json.position, wait: 25 });
    expect(performance.now() - asked).toBeLessThan(LEASE_MS);
    await until("it has left", () => watching.told.length === 3);
    expect(watching.told[2]).toBe("leave 1");
  });

  promise(
    "as JSON: the members in pages, and what changed since a position as soon as it does",
    { over: "one", limits: { presencePageMax: 2 } },
    async (stage) => {
      const { server } = stage;
      for (const client of ["c", "a", "b"]) await ask(server.url, { client, data: client });
      const get = async (query = "") => (await demand(`${server.url}${PATH}${query}`, { headers: { accept: "application/json" } })).json;
      const first = await get();
      const second = await get(`?after=${encodeURIComponent(first.more)}`);
      expect([first, second].map(({ members }) => members.map(({ data }: { data: string }) => data))).toEqual([["a", "b"], ["c"]]);
      expect([first.count, first.leaseSeconds, second.more]).toEqual([3, 30, undefined]);
      const news = get(`?position=${first.position}&wait=20`);
      await ask(server.url, { client: "b", leave: true });
      const { changes, position } = await news;
      expect(changes).toMatchObject([{ change: "leave", client: "b" }]);
      expect((await get(`?position=${position}`)).changes).toEqual([]);
    },
  );

  promise(
    "[D7] a client sees everyone, in however many pages they come",
    { ...CLIENTS, on: "one", limits: { presencePageMax: 10 } },
    async (stage) => {
      for (const n of numbers(95)) await ask(stage.server.url, { client: `c${n}`, data: n });
      const ada = guest(stage, { data: 0 });
      await ada.seen(0, ...numbers(95));
    },
  );

  promise(
    "[D7] a watcher that fell further behind than presenceChangesMax is given the members anew",
    { over: "one", on: "one", limits: { presenceChangesMax: 2 } },
    async (stage) => {
      const { server } = stage;
      await ask(server.url, { client: "a", data: "a" });
      const watching = await watcher(stage);
      await until("it was told", () => watching.lastEventId !== "");
      watching.close();
      for (const client of ["b", "c", "d"]) await ask(server.url, { client, data: client });
      const again = await watcher(stage, watching.lastEventId);
      await until("it was told", () => again.told.length === 1);
      expect(again.told).toEqual(['members "a" "b" "c" "d"']);
    },
  );

  describe("[D7] is refused", () => {
    const bad: readonly [why: string, body: object, code: string][] = [
      ["data above presenceBytesMax", { client: "a", data: "x".repeat(63) }, "too_large"],
      ["a name with other characters", { client: "a b" }, "bad_request"],
      ["a name that is too long", { client: "a".repeat(65) }, "bad_request"],
      ["no object", [], "bad_request"],
      ["a field of another kind", { client: 7 }, "bad_frame"],
      ["one member more than presenceMembersMax", { client: "other" }, "overloaded"],
    ];
    const limits = { presenceBytesMax: 64, presenceMembersMax: 1 };
    for (const [why, body, code] of bad) {
      promise(`${why}, with ${code}, by POST and by a frame`, { over: "one", on: "one", limits }, async ({ server, keep }) => {
        await ask(server.url, { client: "a", data: "x".repeat(62) });
        await expect(ask(server.url, body)).rejects.toMatchObject({ code });
        const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
        const framed = socket.ask({ type: "request", channel: LOBBY, name: "$presence", data: body });
        await expect(framed).rejects.toMatchObject({ code });
      });
    }
  });

  promise(
    "[D7] more questions at once on one socket than connectionChannelsMax are refused",
    { over: "one", on: "one", limits: { connectionChannelsMax: 2 } },
    async ({ server, keep }) => {
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      const waiting = () => socket.ask({ type: "request", channel: LOBBY, name: "$presence", data: { position: "0.0", wait: 25 } });
      const two = [waiting(), waiting()];
      await expect(waiting()).rejects.toMatchObject({ code: "too_many_requests" });
      await ask(server.url, { client: "a", data: 1 });
      for (const one of await Promise.all(two)) expect(one["data"]).toMatchObject({ changes: [{ change: "join", client: "a" }] });
    },
  );

  promise(
    "[D8] who is revoked has left at once, is told so, and sees no more",
    { ...CLIENTS, on: "one", authenticate: (asked) => !banned.has(String(asked.token)) && byToken(asked) },
    async (stage) => {
      const ada = guest(stage, { data: "ada", token: "ada", over: "websocket" });
      await ada.seen("ada");
      const eve = guest(stage, { data: "eve", token: stage.server.url });
      await ada.seen("ada", "eve");
      // Its token is good no more either: what it had already sent must not let it in again
      banned.add(stage.server.url);
      stage.server.tl.revoke(stage.server.url);
      await ada.seen("ada");
      await until("it is told why", () => eve.errors.length > 0);
      expect(eve.errors).toEqual([expect.stringMatching(/revoked|unauthenticated/)]);
    },
  );

  promise(
    "[D8] [D9] an identity that expires and comes back with a fresh token has never left",
    {
      ...CLIENTS,
      on: "one",
      atOnce: true,
      authenticate: ({ token }) => ({ id: String(token), ...(token === "eve" && { expiresAt: Date.now() + 700 }) }),
    },
    async (stage) => {
      const ada = guest(stage, { data: "ada", token: "ada", over: "websocket" });
      await ada.seen("ada");
      const eve = guest(stage, { data: "eve", token: "eve" });
      await ada.seen("ada", "eve");
      const began = performance.now();
      for (let round = 1; performance.now() - began < 2_500; round++) {
        await eve.here.update(round);
        await ada.seen("ada", round);
      }
      expect(ada.told.filter((one) => !one.startsWith("update"))).toEqual(['join "ada"', 'join "eve"']);
    },
  );

  promise(
    "[D8] who may be there and not watch, or watch and not be there, does the one and not the other",
    {
      ...CLIENTS,
      on: "one",
      authenticate: byToken,
      authorize: ({ identity, action }) => action !== (identity.id === "ada" ? "presence" : "watch"),
    },
    async (stage) => {
      const ada = guest(stage, { data: "ada", token: "ada" });
      await until("it is refused", () => ada.errors.length > 0);
      const watching = guest(stage, { token: "ada" });
      await ask(stage.server.url, { client: "eve", data: "eve" }, "eve");
      await watching.seen("eve");
      await expect(ask(stage.server.url, { client: "eve", position: "" }, "eve")).rejects.toMatchObject({ code: "forbidden" });
      expect(ada.errors).toEqual(["forbidden"]);
    },
  );

  promise(
    "[D8] on a review whoever may not watch or be there any more is ended, over every way to watch",
    { ...CLIENTS, on: "one", authenticate: byToken, authorize: ({ identity }) => allowed.has(identity.id) },
    async (stage) => {
      const { server, keep } = stage;
      for (const id of ["ada", "eve"]) allowed.add(id);
      const ada = guest(stage, { data: "ada", token: "ada" });
      await ada.seen("ada");
      const eve = guest(stage, { data: "eve", token: "eve" });
      const stream = keep(await new WatchReader().open(server.url + PATH, { token: "eve" }));
      await ada.seen("ada", "eve");
      await eve.seen("ada", "eve");
      allowed.delete("eve");
      await server.tl.review();
      await ada.seen("ada");
      await until("the stream was told", () => stream.events.at(-1)?.event === "bye");
      await until("the client was told", () => eve.errors.length > 0);
      expect([stream.events.at(-1)?.data["code"], eve.errors]).toEqual(["revoked", [expect.stringMatching(/revoked|forbidden/)]]);
    },
  );

  for (const action of ["presence", "watch"] as const) {
    promise(
      `[D8] who was on the way to ${action} during a review is asked about again, and is refused if it is refused now`,
      { over: "one", on: "one", authenticate: byToken, authorize: (question) => question.action !== action || slow(question) },
      async ({ server }) => {
        const coming = ask(server.url, action === "presence" ? { client: "a" } : { position: "" }, server.url);
        coming.catch(() => undefined);
        await until("it is asked about", () => answers.has(server.url));
        const first = answers.get(server.url)!;
        answers.delete(server.url);
        await server.tl.review();
        first(true);
        await until("it is asked about again", () => answers.has(server.url));
        answers.get(server.url)!(false);
        await expect(coming).rejects.toMatchObject({ code: "forbidden" });
        expect(await server.tl.channel(LOBBY).presence()).toEqual([]);
      },
    );
  }

  promise(
    "a watcher that does not read holds nothing up and nothing back, and when it reads again sees what is",
    { over: "one", on: "one" },
    async (stage) => {
      const { server, keep } = stage;
      const slow = await watcher(stage);
      const quick = await watcher(stage);
      slow.pause();
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      const say = (client: number, turn: number) =>
        socket.ask({ type: "request", channel: LOBBY, name: "$presence", data: { client: `c${client}`, data: `${turn} ${PADDING}` } });
      let turn = 0;
      const round = async () => {
        turn++;
        await Promise.all(numbers(100).map((client) => say(client, turn)));
      };
      while (server.unsent() < SINK_BYTES_MAX) await round();
      const full = server.unsent();
      for (const _ of numbers(20)) await round();
      // What each of them said last: as so many changes, or in the members that are given anew
      const isTold = ({ told }: WatchReader) => told.slice(-100).join().split(`"${turn} `).length > 100;
      await until("the quick one was told", () => isTold(quick));
      expect(server.unsent()).toBe(full);
      slow.resume();
      await until("the slow one was told", () => isTold(slow));
    },
  );

  promise(
    "[D7] an event stream of members that cannot be served now is answered 200, and told when to come back",
    { over: "one", on: "one", limits: { presenceChannelsMax: 1 } },
    async ({ server, keep }) => {
      await ask(server.url, { client: "a" });
      const stream = keep(await new WatchReader().open(`${server.url}/presence/other`));
      expect(stream.events).toEqual([{ event: "bye", id: "", data: expect.objectContaining({ code: "overloaded", retryAfterMs: 5_000 }) }]);
      await expect(demand(`${server.url}/presence/other`, { headers: { accept: "application/json" } })).rejects.toMatchObject({
        code: "overloaded",
      });
    },
  );

  promise(
    "who says less than is known of him, be it that he leaves, is told the turn that is known",
    { over: "one", on: "one" },
    async ({ server }) => {
      const say = async (more: object) => (await ask(server.url, { client: "a", ...more })).json;
      expect(await say({ turn: 5, data: 5 })).not.toHaveProperty("late");
      for (const late of [
        { turn: 4, data: 4 },
        { turn: 4, leave: true },
      ])
        expect(await say(late)).toMatchObject({ late: 5 });
      expect((await server.tl.channel(LOBBY).presence()).map(({ data }) => data)).toEqual([5]);
      expect(await say({ turn: 6, leave: true })).not.toHaveProperty("late");
      expect(await say({ turn: 6, data: 6 })).toMatchObject({ late: 6 });
      expect(await server.tl.channel(LOBBY).presence()).toEqual([]);
    },
  );

  promise(
    "[D7] nobody waits for news longer than waitSecondsMax, however long a lease is",
    { over: "one", on: "one", limits: { heartbeatSeconds: 60, waitSecondsMax: 0.2 } },
    async ({ server }) => {
      await ask(server.url, { client: "a", data: 1 });
      const { position } = await ask(server.url, { client: "a", data: 1, position: "" }).then(({ json }) => json as { position: string });
      expect((await ask(server.url, { client: "a", data: 1, position, wait: 40 })).json).toMatchObject({ changes: [] });
    },
  );

  promise(
    "[D7] a WebSocket that does not read is made no more answers than it may hold, and gets them all when it reads again",
    { over: "one", on: "one" },
    async ({ server, keep }) => {
      const question = (data: object) => ({ type: "request", channel: LOBBY, name: "$presence", data });
      const open = async () => keep(await new SocketReader({ url: server.url, channels: [] }).open());
      const [quick, slow] = [await open(), await open()];
      await Promise.all(numbers(100).map((n) => quick.ask(question({ client: `c${n}`, data: `${n} ${PADDING}` }))));
      slow.pause();
      const asked: Promise<unknown>[] = [];
      while (server.unsent() < SINK_BYTES_MAX) {
        asked.push(...numbers(50).map(() => slow.ask(question({ client: "slow", position: "" }))));
        for (const one of asked) one.catch(() => undefined);
        await quick.ask(question({}));
        await quick.ask(question({}));
      }
      expect(server.unsent()).toBeLessThan(SINK_BYTES_MAX + 2 * PAGE_BYTES_MAX);
      slow.resume();
      for (const answer of await Promise.allSettled(asked)) {
        if (answer.status === "rejected") expect(answer.reason).toMatchObject({ code: "too_many_requests" });
        else expect(answer.value).toMatchObject({ data: { count: 101 } });
      }
    },
  );

  promise(
    "[D8] an answer that waits for room is not given to one who may not watch any more",
    { over: "one", on: "one", authenticate: byToken, authorize: ({ identity }) => identity.id !== "slow" || !banned.has("watch") },
    async ({ server, keep }) => {
      const question = (data: object) => ({ type: "request", channel: LOBBY, name: "$presence", data });
      const open = async (token: string) => keep(await new SocketReader({ url: server.url, token, channels: [] }).open());
      const [quick, slow] = [await open("quick"), await open("slow")];
      await Promise.all(numbers(100).map((n) => quick.ask(question({ client: `c${n}`, data: `${n} ${PADDING}` }))));
      slow.pause();
      const asked: Promise<unknown>[] = [];
      while (server.unsent() < SINK_BYTES_MAX) {
        asked.push(...numbers(50).map(() => slow.ask(question({ position: "" }))));
        for (const one of asked) one.catch(() => undefined);
        await quick.ask(question({}));
        await quick.ask(question({}));
      }
      banned.add("watch");
      await server.tl.review();
      banned.delete("watch");
      slow.resume();
      const codes = (await Promise.allSettled(asked)).map((one) => (one.status === "rejected" ? one.reason.code : "told"));
      expect(codes.filter((code) => code !== "too_many_requests").at(-1)).toBe("revoked");
    },
  );

  promise(
    "[D7] pongs show the life of the members that came in last by a WebSocket, as many as it may have channels",
    { over: "one", on: "one", limits: { heartbeatSeconds: 0.6, connectionChannelsMax: 2 } },
    async ({ server, keep }) => {
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      for (const client of ["a", "b", "c"]) {
        await socket.ask({ type: "request", channel: LOBBY, name: "$presence", data: { client } });
      }
      const there = async () => (await server.tl.channel(LOBBY).presence()).map(({ client }) => client).sort();
      expect(await there()).toEqual(["a", "b", "c"]);
      await until("the first one has left", async () => (await there()).length < 3);
      expect(await there()).toEqual(["b", "c"]);
    },
  );

  promise(
    "[D7] among 10,000 members a change costs each watcher that change, and a client that comes back nothing",
    { over: "one", on: "one" },
    async (stage) => {
      const { server, keep } = stage;
      const socket = keep(await new SocketReader({ url: server.url, channels: [] }).open());
      const enter = (n: number) => socket.ask({ type: "request", channel: LOBBY, name: "$presence", data: { client: `c${n}`, data: n } });
      for (let n = 0; n < 10_000; n += 100) await Promise.all(numbers(100, n).map(enter));
      const watchers = await Promise.all(numbers(20).map(() => watcher(stage)));
      await until("all have everyone", () => watchers.every(({ lastEventId }) => lastEventId !== ""));
      const before = watchers.map(({ bytes }) => bytes);
      await enter(10_001);
      await until("all were told", () => watchers.every(({ events }) => events.at(-1)?.event === "join"));
      for (const [index, { bytes }] of watchers.entries()) expect(bytes - before[index]!).toBeLessThan(300);
      const [first] = watchers;
      first!.close();
      const again = await watcher(stage, first!.lastEventId);
      await enter(10_002);
      await until("it was told", () => again.told.length > 0);
      expect([again.told, again.bytes < 800]).toEqual([["join 10002"], true]);
    },
  );
});

const allowed = new Set<string>();
/** Tokens that are good no more: each is the URL of its own story's server. */
const banned = new Set<string>();
/** What answers a question that waits, by the identity that it is about. */
const answers = new Map<string, (isAllowed: boolean) => void>();

function slow({ identity }: Question): Promise<boolean> {
  return new Promise((resolve) => answers.set(identity.id, resolve));
}

const PADDING = "x".repeat(3_000);
const SINK_BYTES_MAX = 262_144;
const PAGE_BYTES_MAX = 131_072;
