import { test } from "vitest";
import { until } from "../support/until.ts";
import type { Tab } from "./browsers.ts";
import { inEachBrowser, LOBBY } from "./stage.ts";

inEachBrowser("Presence", ({ open }) => {
  test.each(["sse", "websocket", "long-poll", "auto"] as const)(
    "[D9] over %s two pages see each other, also after a cut",
    async (transport) => {
      const site = await open();
      const tabs = [await site.tab(), await site.tab()];
      for (const [index, tab] of tabs.entries()) {
        await tab.run("follow", "reader", { channel: LOBBY, transport });
        await tab.run("attend", LOBBY, index);
      }
      for (const tab of tabs) await seen(tab, [0, 1]);
      site.server.cut();
      const third = await site.tab();
      await third.run("follow", "reader", { channel: LOBBY, transport });
      await third.run("attend", LOBBY, 2);
      for (const tab of [...tabs, third]) await seen(tab, [0, 1, 2]);
    },
  );

  test("[D9] a page that is left while it stands on a WebSocket has left at once", async () => {
    const site = await open();
    const [stays, leaves] = [await site.tab(), await site.tab()];
    for (const [index, tab] of [stays, leaves].entries()) {
      await tab.run("follow", "reader", { channel: LOBBY, transport: "websocket" });
      await tab.run("attend", LOBBY, index);
      await until("it is on a WebSocket", async () => (await tab.run("fared")).transport === "websocket");
    }
    await seen(stays, [0, 1]);
    // Told as a browser tells a page that will not come back: what it keeps of one that may is covered by the lease, of 30 s
    await leaves.run("sayLeaving");
    await seen(stays, [0]);
  });
});

async function seen(tab: Tab, data: readonly number[]): Promise<void> {
  await until(`it sees ${data}`, async () => String((await tab.run("members")).sort()) === String(data));
}
