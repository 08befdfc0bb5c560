import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freshDirectory, type Program, runProgram, startDevProgram } from "../server/program.ts";
import { freePort } from "../support/free-port.ts";
import { need } from "../support/need.ts";
import { PATIENCE_MS } from "../support/until.ts";

const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser: Browser;
let context: BrowserContext;

beforeAll(async () => {
  browser = await chromium.launch({ executablePath: need("chromium"), args: ARGS });
});
afterEach(() => context?.close());
afterAll(() => browser?.close());

interface Site {
  readonly url: string;
  readonly port: number;
  readonly directory: string;
  readonly server: Program;
  /** What the browser complained of, but for connections that failed. */
  readonly faults: string[];
  tab(hash?: string): Promise<Page>;
}

async function openSite(options: Parameters<Browser["newContext"]>[0] = {}): Promise<Site> {
  const port = await freePort();
  const directory = freshDirectory();
  const server = await startDevProgram(port, directory);
  const url = `http://127.0.0.1:${port}`;
  const faults: string[] = [];
  context = await browser.newContext(options);
  context.on("weberror", (error) => faults.push(String(error.error())));
  context.on("console", (said) => {
    if (said.type() === "error" && !/net::|WebSocket connection/.test(said.text())) faults.push(said.text());
  });
  return {
    url,
    port,
    directory,
    server,
    faults,
    async tab(hash = "") {
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE_MS);
      await page.goto(`${url}/${hash}`);
      await live(page);
      return page;
    },
  };
}

/** Both panes are up to date, and so is the page. */
async function live(page: Page): Promise<void> {
  await page.locator('#state[data-state="connected"]').waitFor();
  for (const id of ["a", "b"]) await page.locator(`#pane-${id} .pane-state`, { hasText: /^live$/ }).waitFor();
}

interface Numbers {
  readonly received: number;
  readonly faults: string;
}

async function numbers(page: Page, id: "a" | "b"): Promise<Numbers> {
  const read = async (name: string): Promise<string> => page.locator(`#pane-${id} [data-counter="${name}"] dd`).innerText();
  const received = Number((await read("received")).replaceAll(",", ""));
  return { received, faults: [await read("missing"), await read("twice"), await read("outOfOrder")].join("/") };
}

/** Waits until both panes have so many more, and nothing is wrong with any of them. */
async function expectReceived(page: Page, atLeast: number): Promise<void> {
  for (const id of ["a", "b"] as const) {
    await expect
      .poll(async () => (await numbers(page, id)).received, { timeout: PATIENCE_MS, message: `pane ${id}` })
      .toBeGreaterThanOrEqual(atLeast);
    expect((await numbers(page, id)).faults, `missing, twice, out of order in pane ${id}`).toBe("0/0/0");
  }
}

async function choose(page: Page, id: "a" | "b", name: string): Promise<void> {
  await page.locator(`#pane-${id} .choice label`, { hasText: name }).click();
  await page.locator(`#pane-${id} h3`, { hasText: name }).waitFor();
}

const published = (page: Page) => page.locator("#act-note", { hasText: "1,000 messages stored" }).waitFor();

describe("The live page", () => {
  test("three tabs at once on HTTP/1.1 are live, and what one says the others hear", async () => {
    const site = await openSite();
    const tabs = [await site.tab(), await site.tab(), await site.tab()];
    for (const [index, tab] of tabs.entries()) {
      await tab.locator("#name").fill(`Tab ${index + 1}`);
      await tab.locator("#text").fill(`hello from ${index + 1}`);
      await tab.locator("#say button").click();
    }
    for (const tab of tabs)
      for (const index of [1, 2, 3]) await tab.locator("#talk li", { hasText: `Tab ${index} hello from ${index}` }).waitFor();
    for (const tab of tabs) await tab.locator(".plot .value", { hasText: /cores?$/ }).waitFor();
    await tabs[0]!.reload();
    expect(await tabs[0]!.locator("#name").inputValue(), "the name is kept").toMatch(/^Tab \d$/);
    expect(site.faults).toEqual([]);
  });

  test("[D1] [D2] a burst arrives in both panes, each over its own transport, and the counters show nothing wrong", async () => {
    const site = await openSite();
    const page = await site.tab("#a/burst");
    expect(await page.locator("#pane-a h3").innerText()).toBe("SSE");
    expect(await page.locator("#pane-b h3").innerText()).toBe("WebSocket");
    await page.locator("#burst").click();
    await published(page);
    await expectReceived(page, 1_000);
    expect((await numbers(page, "a")).received).toBe(1_000);
    expect((await numbers(page, "b")).received).toBe(1_000);
    for (const id of ["a", "b"]) await page.locator(`#pane-${id} .row`, { hasText: "message 1,000 of 1,000" }).waitFor();
    const positions = await page.locator(".position").allInnerTexts();
    expect(positions[0]).toBe(positions[1]);
    expect(site.faults).toEqual([]);
  });

  test("[D6] a pane goes from transport to transport in the midst of bursts", async () => {
    const site = await openSite();
    const page = await site.tab("#a/switch");
    let sent = 0;
    for (const [id, name] of [
      ["a", "WebSocket"],
      ["b", "Long-poll"],
      ["a", "Long-poll"],
      ["b", "SSE"],
      ["a", "SSE"],
      ["b", "WebSocket"],
    ] as const) {
      await page.locator("#burst").click();
      await choose(page, id, name);
      await published(page);
      sent += 1_000;
      await expectReceived(page, sent);
    }
    expect((await numbers(page, "a")).received).toBe(6_000);
    expect((await numbers(page, "b")).received).toBe(6_000);
    expect(site.faults).toEqual([]);
  });

  test("[D2] cut from the network, it says so, comes back, and has missed nothing; what was published meanwhile is stored once", async () => {
    const site = await openSite();
    const page = await site.tab("#a/cut");
    await page.locator("#cut").click();
    await page.locator("#state", { hasText: "Reconnecting" }).waitFor();
    await page.locator("#cut", { hasText: "Network cut" }).waitFor();
    await page.locator("#burst").click();
    const url = ["--url", site.url];
    expect((await runProgram(["pub", "a/cut", ...url], "from\nelsewhere\n")).code).toBe(0);
    await live(page);
    await published(page);
    await expectReceived(page, 1_002);
    expect((await numbers(page, "a")).received).toBe(1_002);
    await page.locator("#cut", { hasText: "Cut this page" }).waitFor();
    expect(site.faults).toEqual([]);
  });

  test("[D2] [D4] the server is killed with -9 and started again: every reader goes on, nothing missing, nothing twice", async () => {
    const site = await openSite();
    const tabs = [await site.tab("#a/kill"), await site.tab("#a/kill")];
    await tabs[0]!.locator("#burst").click();
    for (const tab of tabs) await expectReceived(tab, 1);
    await site.server.kill();
    for (const tab of tabs) await tab.locator("#state", { hasText: "Reconnecting" }).waitFor();
    await startDevProgram(site.port, site.directory);
    for (const tab of tabs) await live(tab);
    await published(tabs[0]!);
    await tabs[1]!.locator("#burst").click();
    await published(tabs[1]!);
    for (const tab of tabs) {
      await expectReceived(tab, 2_000);
      expect((await numbers(tab, "a")).received).toBe(2_000);
      expect((await numbers(tab, "b")).received).toBe(2_000);
    }
    expect(site.faults).toEqual([]);
  });

  test("reads the channel that is chosen: a log that is piped in is seen arriving", async () => {
    const site = await openSite();
    const page = await site.tab();
    await page.locator("#channel").fill("not a channel");
    await page.locator("#channel-form button").click();
    await page.locator("#channel-error", { hasText: "A channel is a path" }).waitFor();
    await page.locator("#channel").fill("logs/app");
    await page.locator("#channel").press("Enter");
    await page.locator("#read-line", { hasText: `curl -N ${site.url}/channels/logs/app` }).waitFor();
    await live(page);
    await runProgram(["pub", "logs/app", "--url", site.url], "one <b>line</b>\nanother line\n");
    for (const id of ["a", "b"]) await page.locator(`#pane-${id} .row`, { hasText: "one <b>line</b>" }).waitFor();
    await expectReceived(page, 2);
    await page.reload();
    await live(page);
    expect(await page.locator("#channel").inputValue(), "the address keeps it").toBe("logs/app");
    expect(site.faults).toEqual([]);
  });

  for (const width of [320, 360, 768, 1600]) {
    test(`fits a window ${width} wide, and does not move while messages come`, async () => {
      const site = await openSite({ viewport: { width, height: 900 }, colorScheme: width === 360 ? "dark" : "light" });
      const page = await site.tab();
      expect(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")).toBe(0);
      const boxes = () =>
        page.evaluate(
          '[...document.querySelectorAll(".pane, .plot, .chat, .lines, .numbers > div")].map((e) => [e.offsetLeft, e.offsetTop, e.offsetWidth, e.offsetHeight].join())',
        );
      const before = await boxes();
      await page.locator("#burst").click();
      await published(page);
      await expectReceived(page, 1_000);
      expect(await boxes()).toEqual(before);
    });
  }
});
