import { expect, test } from "vitest";
import { record } from "../support/evidence.ts";
import { numbers } from "../support/story.ts";
import { until } from "../support/until.ts";
import type { Tab } from "./browsers.ts";
import type { Site } from "./site.ts";
import { FAULTLESS, faultsOf, inEachBrowser, LOBBY, publish, stream } from "./stage.ts";

inEachBrowser("Where WebSocket does not get through, the client", ({ kind, open }) => {
  test.each([
    ["refused", "refuses"],
    ["opened and dropped at once", "opens and dies"],
  ] as const)("[D2] [D6] whose upgrade is %s stays on SSE, loses nothing, and does not try again soon", async (how, way) => {
    const beganMs = performance.now();
    const site = await open();
    site.way = way;
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY });
    expect(await tab.run("publish", LOBBY, numbers(20))).toEqual(numbers(20));
    await until("it has tried", () => site.upgrades.length > 0);
    const publishing = stream(site, LOBBY, 200, 21);
    for (const count of [100, 200, 300]) {
      await tab.received("reader", count);
      await tab.run("signal", LOBBY, "talking", count);
    }
    expect(site.upgrades).toHaveLength(1);
    const naive = await lostByNaive(site, tab);
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
    expect(await tab.run("fared")).toMatchObject({ transport: "sse", reason: "WebSocket is blocked", switches: 0, reconnects: 0 });
    expect(site.upgrades).toHaveLength(2); // that of the control
    expect(naive, "the test can see a loss").toBeGreaterThan(0);
    record("N11", {
      what: `a page of ${kind.name} whose upgrade is ${how}, under 200 messages/s`,
      injections: 1,
      delivered: last,
      lost: 0,
      twice: 0,
      disordered: 0,
      untold: 0,
      control: `${naive} lost by a page that closes its EventSource before the WebSocket carries, and then comes back`,
      seconds: Math.round((performance.now() - beganMs) / 1_000),
    });
  });

  test("[D2] [D6] whose WebSocket is cut young three times in a row goes back to SSE, and loses nothing", async () => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY });
    await tab.run("publish", LOBBY, numbers(3));
    const publishing = stream(site, LOBBY, 200, 4);
    for (const cuts of numbers(3)) {
      await until(
        `WebSocket ${cuts} carries it`,
        async () => site.upgrades.length === cuts && (await tab.run("fared")).transport === "websocket",
      );
      site.cutSockets();
    }
    await until("it is back on SSE", async () => (await tab.run("fared")).transport === "sse");
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
    expect(await tab.run("fared")).toMatchObject({ transport: "sse", reason: "WebSocket is blocked", switches: 2 });
    expect(site.upgrades).toHaveLength(3);
  });

  test("[D6] whose upgrade is never answered reads on over SSE all the while, and publishes", async () => {
    const site = await open();
    site.way = "hangs";
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY });
    expect(await tab.run("publish", LOBBY, numbers(20))).toEqual(numbers(20));
    await until("it tries", () => site.upgrades.length === 1);
    await publish(site, LOBBY, 100, 21);
    expect(await tab.run("publish", LOBBY, numbers(20, 121))).toEqual(numbers(20, 121));
    await tab.received("reader", 140);
    expect(faultsOf(await tab.run("story", "reader"), 140)).toEqual(FAULTLESS);
    expect(await tab.run("fared")).toMatchObject({ transport: "sse", switches: 0, reconnects: 0 });
  });

  test("[D2] told to use nothing but WebSocket, waits ever longer between attempts, and reads all once it gets through", async () => {
    const site = await open();
    site.way = "opens and dies";
    const tab = await site.tab();
    await tab.run("follow", "reader", { channel: LOBBY, transport: "websocket", unlucky: true });
    await until("it has tried three times", () => site.upgrades.length === 3);
    site.way = "open";
    await publish(site, LOBBY, 100);
    await tab.received("reader", 100);
    expect(faultsOf(await tab.run("story", "reader"), 100)).toEqual(FAULTLESS);
    const [first = 0, second = 0, third = 0, fourth = 0] = site.upgrades;
    // Windows of 300, 600 and 1,200 ms, whose ends it waits for; the last attempt gets through
    expect([second - first > 290, third - second > 580, fourth - third > 1_150, site.upgrades.length]).toEqual([true, true, true, 4]);
  });
});

/** The control, beside a reader that has all of it: how many messages are lost by a page that moves by closing what it has and opening anew, and must go back. */
async function lostByNaive(site: Site, tab: Tab): Promise<number> {
  const offsets = async (reader: string) => (await tab.run("story", reader)).flatMap((told) => (typeof told === "string" ? [] : [told[0]]));
  await tab.run("listen", "naive", `/channels/${LOBBY}`);
  await tab.received("naive", 10);
  await tab.run("closeSource", "naive");
  await tab.run("openSocket", "naive socket", `${site.url}/socket?channel=${LOBBY}`);
  await until("it is closed", async () => String((await tab.run("story", "naive socket")).at(-1)).startsWith("closed"));
  const before = await offsets("naive");
  // Meanwhile something is published, however fast it is back
  await tab.received("reader", (before.at(-1) as number) + 3);
  await tab.run("listen", "naive again", `/channels/${LOBBY}`);
  await tab.received("naive again", 10);
  const after = await offsets("naive again");
  return (after[0] as number) - (before.at(-1) as number) - 1;
}
