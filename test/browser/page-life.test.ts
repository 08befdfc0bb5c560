import { beforeEach, expect, test } from "vitest";
import { record } from "../support/evidence.ts";
import { until } from "../support/until.ts";
import type { Tab } from "./browsers.ts";
import type { Site } from "./site.ts";
import { FAULTLESS, faultsOf, inEachBrowser, LOBBY, publish, stream } from "./stage.ts";

const TRANSPORTS = ["sse", "websocket", "long-poll"] as const;

inEachBrowser("The client in a page", ({ kind, open }) => {
  const keep = (what: string, delivered: number, control: string) =>
    record("C3", {
      what: `a page of ${kind.name}, ${what}`,
      injections: 1,
      delivered,
      lost: 0,
      twice: 0,
      disordered: 0,
      untold: 0,
      control,
      seconds: Math.round((performance.now() - beganMs) / 1_000),
    });
  let beganMs = 0;
  beforeEach(() => {
    beganMs = performance.now();
  });

  test("[D2] that is reloaded in mid-stream goes on at the position that it kept", async () => {
    const site = await open();
    const tab = await site.tab();
    const publishing = stream(site, LOBBY, 300);
    await tab.run("follow", "reader", { channel: LOBBY, kept: true });
    let heardByNaive = 0;
    for (const count of [50, 300, 500]) {
      await tab.run("listen", "naive", `/channels/${LOBBY}`);
      await tab.received("reader", count);
      heardByNaive += await tab.run("count", "naive");
      await tab.reload();
      await tab.run("follow", "reader", { channel: LOBBY, kept: true });
    }
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
    expect(last - heardByNaive, "the test can see a loss").toBeGreaterThan(0);
    keep("reloaded three times under 300 messages/s", last, `${last - heardByNaive} missed by a reader that begins anew at each load`);
  });

  test.each(TRANSPORTS)(
    "[D2] that goes into the back/forward cache and comes out again, over %s, has missed nothing",
    async (transport) => {
      const site = await open();
      const tab = await site.tab();
      await tab.run("follow", "reader", { channel: LOBBY, transport });
      await publish(site, LOBBY, 100);
      await tab.received("reader", 100);
      const publishing = stream(site, LOBBY, 300, 101);
      await tab.received("reader", 150);
      if (!kind.keepsWhoeverCloses) {
        await tab.run("sayGoing");
        await until("it has closed", () => site.server.tl.counts().connections === 0);
      }
      await tab.follow("/away");
      await until("the page that is away holds no connection", () => site.server.tl.counts().connections === 0);
      await tab.back("/page");
      expect(await tab.run("shown")).toEqual([false, true]);
      const cameBack = await tab.run("count", "reader");
      await tab.received("reader", cameBack + 50);
      const last = await publishing.stop();
      await tab.received("reader", last);
      expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
      expect((await tab.run("fared")).state).toBe("connected");
      keep(`in the back/forward cache and out of it, over ${transport}`, last, "pageshow.persisted is true, and no connection was held");
    },
  );

  test("[D2] that is left by a link and come back to by the button goes on where it was, kept by the browser or loaded anew", async () => {
    const site = await open();
    const tab = await site.tab();
    const publishing = stream(site, LOBBY, 300);
    await tab.run("follow", "reader", { channel: LOBBY, kept: true });
    await tab.received("reader", 50);
    await tab.follow("/away");
    await tab.back("/page");
    expect(await tab.run("shown")).toEqual(kind.keepsWhoeverCloses ? [false, true] : [false]);
    if (!kind.keepsWhoeverCloses) await tab.run("follow", "reader", { channel: LOBBY, kept: true });
    await tab.received("reader", 200);
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
  });

  test.each(TRANSPORTS)("[D2] [D10] that is hidden, cut, and looked at again, over %s, has everything at once", async (transport) => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY, transport });
    await tab.run("listenNaively", "naive", `/channels/${LOBBY}`);
    await until("both read", () => eventStreams(site) === (transport === "sse" ? 2 : 1) && site.server.tl.counts().readers === 2);
    await publish(site, LOBBY, 10);
    await tab.received("reader", 10);
    const other = await site.tab("/away");
    await other.show();
    await until("the page knows that it is hidden", async () => (await tab.run("seen")).at(-1) === "hidden");
    if (kind.freezes) await tab.freeze(true);
    await publish(site, LOBBY, 100, 11);
    site.server.cut();
    await publish(site, LOBBY, 100, 111);
    if (kind.freezes) await tab.freeze(false);
    await tab.show();
    await tab.received("reader", 210);
    expect(await tab.run("seen")).toEqual(kind.freezes ? ["hidden", "freeze", "resume", "visible"] : ["hidden", "visible"]);
    expect(faultsOf(await tab.run("story", "reader"), 210)).toEqual(FAULTLESS);
    const naive = await lostByNaive(site, tab, 211);
    keep(`hidden${kind.freezes ? ", frozen" : ""}, cut, and looked at again, over ${transport}`, 210, naive);
  });

  test("[D10] that is looked at again on a WebSocket that is dead and does not know it finds out in seconds, not heartbeats", async () => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY, transport: "websocket" });
    await publish(site, LOBBY, 10);
    await tab.received("reader", 10);
    const other = await site.tab("/away");
    await other.show();
    await until("the page knows that it is hidden", async () => (await tab.run("seen")).at(-1) === "hidden");
    site.server.freeze();
    await publish(site, LOBBY, 100, 11);
    expect(await tab.run("count", "reader")).toBe(10);
    await tab.show();
    await tab.received("reader", 110);
    expect(faultsOf(await tab.run("story", "reader"), 110)).toEqual(FAULTLESS);
    expect((await tab.run("fared")).reconnects).toBe(1);
  });

  test.each(TRANSPORTS)("[D2] [D10] whose network goes and comes back, over %s, knows it, and has missed nothing", async (transport) => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY, transport });
    await tab.run("listenNaively", "naive", `/channels/${LOBBY}`);
    await until("both read", () => eventStreams(site) === (transport === "sse" ? 2 : 1) && site.server.tl.counts().readers === 2);
    await publish(site, LOBBY, 10);
    await tab.received("reader", 10);
    await tab.offline(true);
    await until("it knows", async () => (await tab.run("fared")).state === "offline");
    await until("the client has closed what it had", () => site.server.tl.counts().connections === 1);
    // A driver that says offline lets stand what is open; a network that goes does not
    site.server.cut();
    await until("the server sees nobody", () => site.server.tl.counts().connections === 0);
    await publish(site, LOBBY, 100, 11);
    await tab.offline(false);
    await tab.received("reader", 110);
    await publish(site, LOBBY, 10, 111);
    await tab.received("reader", 120);
    expect(faultsOf(await tab.run("story", "reader"), 120)).toEqual(FAULTLESS);
    expect(await tab.run("fared")).toMatchObject({ state: "connected", transport, reconnects: 1 });
    keep(`offline and back, over ${transport}`, 120, await lostByNaive(site, tab, 121));
  });

  test("[D5] what is published while the network is gone is stored once, in order, when it is back", async () => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY });
    await publish(site, LOBBY, 1);
    await tab.received("reader", 1);
    await tab.offline(true);
    await until("it knows", async () => (await tab.run("fared")).state === "offline");
    const stored = tab.run("publish", LOBBY, [2, 3, 4, 5, 6]);
    await tab.offline(false);
    expect(await stored).toEqual([2, 3, 4, 5, 6]);
    await tab.received("reader", 6);
    expect(faultsOf(await tab.run("story", "reader"), 6)).toEqual(FAULTLESS);
  });
});

function eventStreams({ server }: Site): number {
  return [...server.tl.connections()].filter(({ transport }) => transport === "sse").length;
}

/**
 * The control: how many of the messages before `next` an EventSource lost in the same page, which is opened anew after each error. More are
 * published until it is back.
 */
async function lostByNaive(site: Site, tab: Tab, next: number): Promise<string> {
  let last = next - 1;
  await until("the naive one is back", async () => {
    last = await publish(site, LOBBY, 1, last + 1);
    const latest = (await tab.run("story", "naive")).at(-1);
    return typeof latest === "object" && latest[0] >= next;
  });
  const { missing } = faultsOf(await tab.run("story", "naive"), next - 1);
  expect(missing.length, "the test can see a loss").toBeGreaterThan(0);
  return `${missing.length} lost by an EventSource that is opened anew after each error`;
}
