import { expect, test } from "vitest";
import { record } from "../support/evidence.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";
import type { Tab } from "./browsers.ts";
import type { Told } from "./in-page.ts";
import type { Site } from "./site.ts";
import { FAULTLESS, faultsOf, inEachBrowser, LOBBY, publish, stream } from "./stage.ts";

const TRANSPORTS = ["sse", "websocket", "long-poll"] as const;

inEachBrowser("The client", ({ kind, open }) => {
  test.each([...TRANSPORTS, "auto"] as const)(
    "[D2] [D4] over %s it reads, publishes in order, and comes back from a cut",
    async (transport) => {
      const site = await open();
      const tab = await site.tab();
      await publish(site, LOBBY, 100);
      await tab.run("follow", "reader", { channel: LOBBY, transport });
      await tab.received("reader", 100);
      expect(await tab.run("publish", LOBBY, numbers(50, 101))).toEqual(numbers(50, 101));
      await until("it moves up when the page talks, unless told otherwise", async () => {
        return (await tab.run("fared")).transport === (transport === "auto" ? "websocket" : transport);
      });
      site.server.cut();
      await publish(site, LOBBY, 50, 151);
      expect(await tab.run("publish", LOBBY, numbers(50, 201))).toEqual(numbers(50, 201));
      await tab.received("reader", 250);
      expect(faultsOf(await tab.run("story", "reader"), 250)).toEqual(FAULTLESS);
    },
  );

  test.each(TRANSPORTS)("over %s it signals, asks the application, and sends bytes", async (transport) => {
    const site = await open();
    site.server.tl.handle("chat/:room", "double", ({ data }) => (data as number) * 2);
    const [tab, other] = [await site.tab(), await site.tab()];
    for (const one of [tab, other]) {
      await one.run("follow", "reader", { channel: LOBBY, transport });
      await one.run("hearSignals", "ear", LOBBY);
    }
    await until("both read", () => transport === "long-poll" || site.server.tl.counts().readers === 2);
    await tab.run("publish", LOBBY, [1]);
    for (const one of [tab, other]) await one.received("reader", 1);
    await other.run("signal", LOBBY, "typing", { who: "other" });
    await until("it is heard", async () => (await tab.run("story", "ear")).length > 0);
    expect(await tab.run("story", "ear")).toEqual(['typing {"who":"other"}']);
    expect(await tab.run("request", LOBBY, "double", 21)).toBe(42);
    expect(await tab.run("request", LOBBY, "treble", 21)).toBe("no_handler");
    expect(await tab.run("publishBytes", LOBBY, [0, 128, 255])).toBe(2);
    await other.received("reader", 2);
    expect(await other.run("story", "reader")).toEqual([
      [1, 1],
      [2, [0, 128, 255]],
    ] satisfies Told[]);
  });

  test.each(TRANSPORTS)("[D8] over %s it is told that it is not let in, says so once, and does not come back", async (transport) => {
    const site = await open({ authenticate: () => false });
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY, transport });
    await until("it has given up", async () => (await tab.run("fared")).state === "failed");
    expect(await tab.run("fared")).toMatchObject({ error: "unauthenticated", reconnects: 0 });
    expect(site.upgrades).toHaveLength(transport === "websocket" ? 1 : 0);
    expect(tab.faults.splice(0)).toEqual([expect.stringContaining("Who you are was not accepted.")]);
  });

  test("[D2] [D6] moved up and down 60 times under 500 messages a second: every message once, in order", async () => {
    const beganMs = performance.now();
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY, transport: "sse" });
    const publishing = stream(site, LOBBY, 500);
    await tab.received("reader", 10);
    await tab.run("moveAbout", ["websocket", "sse", "long-poll"], 60);
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
    expect(await tab.run("fared")).toMatchObject({ transport: "long-poll", switches: 60, reconnects: 0 });
    // The control: the same moves by closing what there is and opening anew
    const naive = await movedNaively(site, tab, 20);
    expect(naive, "the test can see a loss").toBeGreaterThan(0);
    record("browser moves", {
      what: `the client in ${kind.name} moved through WebSocket, SSE and long-poll under 500 messages/s`,
      injections: 60,
      delivered: last,
      lost: 0,
      twice: 0,
      disordered: 0,
      untold: 0,
      control: `${naive} lost in 20 moves of an EventSource that is closed before the next is open`,
      seconds: Math.round((performance.now() - beganMs) / 1_000),
    });
  });

  test("[D2] it goes on over a restart of the server on the same log, on every transport", async () => {
    const site = await open({ on: "disk" });
    const tabs = [];
    for (const transport of TRANSPORTS) {
      const tab = await site.tab();
      await tab.run("follow", "reader", { channel: LOBBY, transport });
      tabs.push(tab);
    }
    await publish(site, LOBBY, 100);
    for (const tab of tabs) await tab.received("reader", 100);
    await site.server.restart();
    await publish(site, LOBBY, 100, 101);
    for (const tab of tabs) {
      await tab.received("reader", 200);
      expect(faultsOf(await tab.run("story", "reader"), 200)).toEqual(FAULTLESS);
    }
  });

  test("[D3] it tells a log that was lost in a restart as a gap", async () => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY });
    await publish(site, LOBBY, 2);
    await tab.received("reader", 2);
    await site.server.restart();
    await publish(site, LOBBY, 2);
    await tab.received("reader", 4);
    expect(await tab.run("story", "reader")).toEqual([[1, 1], [2, 2], "gap epoch", [1, 1], [2, 2]]);
  });

  test("[D2] six tabs at once on HTTP/1.1, which gives a page six connections: each reads all, and can still publish", async () => {
    const site = await open();
    const tabs = [];
    for (const n of numbers(6)) {
      const tab = await site.tab();
      // The last two come over WebSocket, since six streams would leave no connection to load a page with
      await tab.run("follow", "reader", { channel: LOBBY, transport: n < 5 ? "sse" : "websocket" });
      tabs.push(tab);
    }
    for (const [index, tab] of tabs.entries()) expect(await tab.run("publish", LOBBY, numbers(5, index * 5 + 1))).toHaveLength(5);
    site.server.cut();
    for (const [index, tab] of tabs.entries()) expect(await tab.run("publish", LOBBY, numbers(5, index * 5 + 31))).toHaveLength(5);
    for (const tab of tabs) {
      await tab.received("reader", 60);
      expect(faultsOf(await tab.run("story", "reader"), 60)).toEqual(FAULTLESS);
    }
  });

  test("[D2] tabs that read different channels get their own, and one that reads both gets both", async () => {
    const site = await open();
    const [a, b, both] = [await site.tab(), await site.tab(), await site.tab()];
    await a.run("follow", "a", { channel: "room/a" });
    await b.run("follow", "b", { channel: "room/b" });
    for (const name of ["a", "b"]) await both.run("follow", name, { channel: `room/${name}` });
    const publishing = [stream(site, "room/a", 200), stream(site, "room/b", 300)];
    await both.received("b", 100);
    site.server.cut();
    await both.received("b", 250);
    const [lastA = 0, lastB = 0] = await Promise.all(publishing.map(({ stop }) => stop()));
    for (const [tab, name, last] of [
      [a, "a", lastA],
      [b, "b", lastB],
      [both, "a", lastA],
      [both, "b", lastB],
    ] as const) {
      await tab.received(name, last);
      expect(faultsOf(await tab.run("story", name), last)).toEqual(FAULTLESS);
    }
  });
});

/** What an EventSource loses that is closed and opened anew so many times under 500 messages a second. */
async function movedNaively(site: Site, tab: Tab, moves: number): Promise<number> {
  const publishing = stream(site, "chat/naive", 500);
  let heard = 0;
  let first = 0;
  let last = 0;
  for (let move = 0; move <= moves; move++) {
    await tab.run("listen", `naive ${move}`, "/channels/chat/naive");
    await tab.received(`naive ${move}`, 1);
    await tab.run("closeSource", `naive ${move}`);
    const offsets = (await tab.run("story", `naive ${move}`)).flatMap((told) => (typeof told === "string" ? [] : [told[0]]));
    heard += offsets.length;
    if (move === 0) first = offsets[0] as number;
    last = offsets.at(-1) as number;
  }
  await publishing.stop();
  return last + 1 - first - heard;
}
