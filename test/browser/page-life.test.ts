import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { FAULTLESS, faultsOf, inEachBrowser, LOBBY, publish, stream } from "./stage.ts";

const TRANSPORTS = ["sse", "websocket", "long-poll"] as const;

inEachBrowser("The client in a page", ({ kind, open }) => {
  test("[D2] that is reloaded in mid-stream goes on at the position that it kept", async () => {
    const site = await open();
    const tab = await site.tab();
    const publishing = stream(site, LOBBY, 300);
    await tab.run("follow", "reader", { channel: LOBBY, kept: true });
    for (const count of [50, 300, 500]) {
      await tab.received("reader", count);
      await tab.reload();
      await tab.run("follow", "reader", { channel: LOBBY, kept: true });
    }
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
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
    await publish(site, LOBBY, 10);
    await tab.received("reader", 10);
    await tab.offline(true);
    await until("it knows", async () => (await tab.run("fared")).state === "offline");
    await until("the server sees nobody", () => site.server.tl.counts().connections === 0);
    await publish(site, LOBBY, 100, 11);
    await tab.offline(false);
    await tab.received("reader", 110);
    await publish(site, LOBBY, 10, 111);
    await tab.received("reader", 120);
    expect(faultsOf(await tab.run("story", "reader"), 120)).toEqual(FAULTLESS);
    expect(await tab.run("fared")).toMatchObject({ state: "connected", transport, reconnects: 1 });
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
