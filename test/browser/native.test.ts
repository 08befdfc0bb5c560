import { expect, test } from "vitest";
import { record } from "../support/evidence.ts";
import { ask } from "../support/http.ts";
import { until } from "../support/until.ts";
import { FAULTLESS, faultsOf, inEachBrowser, LOBBY, publish, stream } from "./stage.ts";

const FROM_START = `/channels/${LOBBY}?from=start`;

inEachBrowser("A bare EventSource", ({ kind, open }) => {
  test("[D2] cut again and again under way, it resumes by itself; a page that begins anew instead is seen to lose", async () => {
    const beganMs = performance.now();
    const site = await open();
    const tab = await site.tab();
    await tab.run("listen", "reader", FROM_START);
    await tab.run("listenNaively", "naive", `/channels/${LOBBY}`);
    await until("both read", () => site.server.tl.counts().readers === 2);
    const publishing = stream(site, LOBBY, 200);
    for (const before of [20, 200]) {
      await tab.received("reader", before);
      site.server.cut();
      await until("both are gone", () => site.server.tl.counts().readers === 0);
      await until("both are back", () => site.server.tl.counts().readers === 2);
    }
    const last = await publishing.stop();
    await tab.received("reader", last);
    expect(faultsOf(await tab.run("story", "reader"), last)).toEqual(FAULTLESS);
    // The control: the same cuts, and this harness sees what they cost
    await until("the naive one has the last", async () => (await tab.run("story", "naive")).at(-1)?.[0] === last);
    const { missing, ...others } = faultsOf(await tab.run("story", "naive"), last);
    expect(missing.length).toBeGreaterThan(20);
    expect(others).toEqual({ ...FAULTLESS, missing: undefined });
    record("browser EventSource", {
      what: `a bare EventSource in ${kind.name}, cut twice under 200 messages/s`,
      injections: 2,
      delivered: last,
      lost: 0,
      twice: 0,
      disordered: 0,
      untold: 0,
      control: `${missing.length} lost by one that is opened anew after each error`,
      seconds: Math.round((performance.now() - beganMs) / 1_000),
    });
  });

  test("[D2] it goes on over a restart of the server on the same log", async () => {
    const site = await open({ on: "disk" });
    const tab = await site.tab();
    await tab.run("listen", "reader", FROM_START);
    await publish(site, LOBBY, 50);
    await tab.received("reader", 50);
    await site.server.restart();
    await publish(site, LOBBY, 50, 51);
    await tab.received("reader", 100);
    expect(faultsOf(await tab.run("story", "reader"), 100)).toEqual(FAULTLESS);
  });

  test("[D3] what a restart has lost is told as an event before any later message", async () => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("listen", "reader", FROM_START);
    await publish(site, LOBBY, 3);
    await tab.received("reader", 3);
    await site.server.restart();
    await publish(site, LOBBY, 2);
    await tab.received("reader", 5);
    const story = await tab.run("story", "reader");
    const back = story.indexOf("gap epoch");
    // On a connection that it had open it may have come too soon, and been told again
    expect(story.slice(0, back).filter((told) => told !== "open" && told !== "bye restart")).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect(story.slice(back)).toEqual(["gap epoch", [1, 1], [2, 2]]);
  });

  test("[D10] turned away while the server is full, by an answer of 200 that ends, it comes back when there is room", async () => {
    const site = await open({ limits: { connectionsMax: 1 } });
    const tab = await site.tab();
    await publish(site, LOBBY, 3);
    await tab.run("listen", "first", FROM_START);
    await tab.received("first", 3);
    await tab.run("listen", "second", FROM_START);
    await until("the second is turned away", async () => (await tab.run("story", "second")).includes("bye overloaded"));
    await tab.run("closeSource", "first");
    await tab.received("second", 3);
    const story = await tab.run("story", "second");
    expect(faultsOf(story, 3)).toEqual(FAULTLESS);
    expect(story.slice(0, 3)).toEqual(["open", "bye overloaded", "open"]);
  });

  test("[D2] many channels on one stream are resumed by the one id that stands for all", async () => {
    const site = await open();
    const tab = await site.tab();
    const channels = Array.from({ length: 32 }, (_, index) => `room/${index}`);
    await tab.run("listenToMany", "reader", `/events?from=start&${channels.map((name) => `channel=${name}`).join("&")}`);
    for (const name of channels) await publish(site, name, 3);
    await tab.received(`reader ${channels.at(-1)}`, 3);
    site.server.cut();
    for (const name of channels) await publish(site, name, 3, 4);
    for (const name of channels) {
      await tab.received(`reader ${name}`, 6);
      expect(faultsOf(await tab.run("story", `reader ${name}`), 6)).toEqual(FAULTLESS);
    }
    const ids = (await tab.run("story", "reader")).filter((told) => told !== "open") as string[];
    expect(ids.map((id) => id.split(",").length)).toEqual(Array(6 * 32).fill(32));
  });
});

inEachBrowser("A bare WebSocket", ({ open }) => {
  test("[D1] [D2] what its URL names is all that it takes to read, from the start and on", async () => {
    const site = await open();
    const tab = await site.tab();
    await publish(site, LOBBY, 100);
    await tab.run("openSocket", "reader", `${site.url}/socket?channel=${LOBBY}&from=start`);
    await tab.received("reader", 100);
    await publish(site, LOBBY, 100, 101);
    await tab.received("reader", 200);
    const story = await tab.run("story", "reader");
    expect(faultsOf(story, 200)).toEqual(FAULTLESS);
    expect(story.slice(0, 2)).toEqual(["connected", "subscribed"]);
  });

  test("[D4] bytes go in as a binary message and come out as one, to the last bit", async () => {
    const site = await open();
    const tab = await site.tab();
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    await tab.run("openSocket", "reader", `${site.url}/socket?channel=${LOBBY}&from=start`);
    await until("it is live", async () => (await tab.run("story", "reader")).includes("live"));
    await tab.run("sendBytes", "reader", { type: "publish", id: 1, channel: LOBBY }, bytes);
    await tab.received("reader", 1);
    await until("it is acknowledged", async () => (await tab.run("story", "reader")).includes("ack"));
    expect((await tab.run("story", "reader")).filter((told) => typeof told !== "string")).toEqual([[1, bytes]]);
  });

  test("why it ended stands in the close code: cut, frames that cannot be read, a token that is missing or revoked, a restart", async () => {
    const site = await open({ authenticate: ({ token }) => token !== null && { id: token }, limits: { badFramesMax: 2 } });
    const tab = await site.tab();
    const url = `${site.url}/socket`;
    await tab.run("openSocket", "stranger", url, []);
    for (const reader of ["babbler", "eve", "cut"]) await tab.run("openSocket", reader, url, [reader]);
    for (const reader of ["babbler", "eve", "cut"])
      await until(`${reader} is in`, async () => (await tab.run("story", reader)).includes("connected"));
    for (let frame = 0; frame < 3; frame++) await tab.run("sendFrame", "babbler", { type: "publish" });
    site.server.tl.revoke("eve");
    const ends = async (reader: string): Promise<unknown> => {
      const closed = async () => (await tab.run("story", reader)).at(-1);
      await until(`${reader} is closed`, async () => String(await closed()).startsWith("closed"));
      return (await tab.run("story", reader)).slice(-2);
    };
    expect(await ends("stranger")).toEqual(["bye unauthenticated", "closed 4401 cleanly"]);
    expect(await ends("babbler")).toEqual(["bye bad_frame", "closed 4400 cleanly"]);
    expect(await ends("eve")).toEqual(["bye revoked", "closed 4403 cleanly"]);
    site.cutSockets();
    expect(await ends("cut")).toEqual(["connected", "closed 1006 without a word"]);
    await tab.run("openSocket", "last", url, ["last"]);
    await until("it is in", async () => (await tab.run("story", "last")).includes("connected"));
    await site.server.stop();
    expect(await ends("last")).toEqual(["bye restart", "closed 1012 cleanly"]);
  });

  test("[D8] a page of another origin is refused", async () => {
    const site = await open();
    const tab = await site.tab();
    await tab.run("openSocket", "foreign", `${site.url.replace("127.0.0.1", "localhost")}/socket?channel=${LOBBY}`);
    await until("it is closed", async () => (await tab.run("story", "foreign")).length > 0);
    expect(await tab.run("story", "foreign")).toEqual(["closed 1006 without a word"]);
    expect((await ask(site.url + FROM_START, { headers: { origin: "http://evil.example", accept: "application/json" } })).status).toBe(403);
  });
});
