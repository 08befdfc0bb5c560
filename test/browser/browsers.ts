import puppeteer, { type Browser, type BrowserContext, type ConsoleMessage, type Page } from "puppeteer-core";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";

/*
 * The browsers, behind the little that the tests ask of them. Chromium is driven by its own protocol, Firefox by WebDriver BiDi; what either
 * cannot do by that is told here, and nowhere else.
 */

export interface BrowserKind {
  readonly name: string;
  /** It can be told to stop a page whole, as it does to one that is hidden for long. */
  readonly freezes: boolean;
  /**
   * A page that closes its connections when it is told to go (`pagehide`) is kept in the back/forward cache. Firefox has decided by then:
   * whoever has a request under way is loaded anew ("requests in the loadgroup", says its log SHIPBFCache), be it a fetch or a WebSocket.
   */
  readonly keepsWhoeverCloses: boolean;
  launch(): Promise<Browser>;
}

/** What the driver turns off, and people have: a hidden page's timers are slow, and there is a back/forward cache. */
const AS_PEOPLE_HAVE_IT = [
  "--disable-back-forward-cache",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

/** Calls that Firefox would make by itself, beyond those that the driver turns off. */
const QUIET = {
  "app.normandy.enabled": false,
  "browser.newtabpage.activity-stream.feeds.system.topstories": false,
  "browser.region.network.url": "",
  "browser.safebrowsing.downloads.remote.enabled": false,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.topsites.contile.enabled": false,
  "dom.push.connection.enabled": false,
  "extensions.blocklist.enabled": false,
  "extensions.systemAddon.update.enabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.dns.disablePrefetch": true,
  "network.prefetch-next": false,
  "network.proxy.type": 0,
  "network.trr.mode": 5,
  "toolkit.telemetry.enabled": false,
  "toolkit.telemetry.unified": false,
};

export const BROWSERS: readonly BrowserKind[] = [
  {
    name: "Chromium",
    freezes: true,
    keepsWhoeverCloses: true,
    launch: () =>
      puppeteer.launch({
        executablePath: need("chromium"),
        args: ["--no-sandbox", "--disable-gpu", "--disable-component-update"],
        ignoreDefaultArgs: AS_PEOPLE_HAVE_IT,
      }),
  },
  {
    name: "Firefox",
    freezes: false,
    keepsWhoeverCloses: false,
    launch: () => puppeteer.launch({ browser: "firefox", executablePath: need("firefox"), extraPrefsFirefox: QUIET }),
  },
];

type InPage = typeof import("./in-page.ts");
type Functions = { [Name in keyof InPage as InPage[Name] extends (...given: never[]) => unknown ? Name : never]: InPage[Name] };

/** What a browser itself says of a connection that failed, and of an answer that is a no. */
const EXPECTED = /Failed to load resource|net::ERR_|WebSocket connection to|can.t establish a connection|connection to .* was interrupted/;

/** The page's script has run. */
const READY = "typeof follow === 'function'";

/** A page of the site, with the functions of `in-page.ts`. */
export class Tab {
  readonly #page: Page;
  /** What the page complained of, but for connections that failed. */
  readonly faults: string[] = [];

  constructor(page: Page) {
    this.#page = page;
    page.on("pageerror", (error) => this.#complains(String(error)));
    page.on("console", (said: ConsoleMessage) => {
      if (said.type() === "error") this.#complains(said.text());
    });
  }

  #complains(text: string): void {
    if (!EXPECTED.test(text)) this.faults.push(text);
  }

  async open(url: string): Promise<this> {
    await this.#page.goto(url);
    await until("the page's script has run", () => this.#page.evaluate(READY) as Promise<boolean>);
    return this;
  }

  run<Name extends keyof Functions>(name: Name, ...given: Parameters<Functions[Name]>): Promise<Awaited<ReturnType<Functions[Name]>>> {
    return this.#page.evaluate(`${name}(...${JSON.stringify(given)})`) as Promise<Awaited<ReturnType<Functions[Name]>>>;
  }

  /** Waits until so many messages have come to this reader. */
  async received(reader: string, count: number): Promise<void> {
    let got = 0;
    await until(`${reader} has ${count} messages`, async () => {
      got = await this.run("count", reader);
      return got >= count;
    }).catch(async (error) => {
      error.message += ` It has ${got}; the client: ${await this.#page.evaluate("try { JSON.stringify(fared()) } catch { 'none' }")}`;
      throw error;
    });
  }

  async reload(): Promise<void> {
    await this.#page.reload();
    await until("the page's script has run", () => this.#page.evaluate(READY) as Promise<boolean>);
  }

  /** Goes elsewhere, as by a link. */
  async follow(path: string): Promise<void> {
    await this.#page.evaluate(`setTimeout(() => location.assign(${JSON.stringify(path)}))`);
    await this.#arrive(path);
  }

  /** Back in history. The driver's own way is never done in Firefox where the page comes out of the back/forward cache: nothing loads. */
  async back(path: string): Promise<void> {
    await this.#page.evaluate("setTimeout(() => history.back())");
    await this.#arrive(path);
  }

  async #arrive(path: string): Promise<void> {
    const there = `location.pathname === ${JSON.stringify(path)} && ${READY}`;
    // Whoever asks while it goes is told that the page has gone
    await until(`it is at ${path}`, () => this.#page.evaluate(there).catch(() => false) as Promise<boolean>);
  }

  async offline(isOffline: boolean): Promise<void> {
    await this.#page.setOfflineMode(isOffline);
  }

  /** Brings this tab to the front, which hides the others of its window. */
  async show(): Promise<void> {
    await this.#page.bringToFront();
  }

  /** Stops everything in the page, or lets it go on; only where the kind `freezes`. */
  async freeze(isFrozen: boolean): Promise<void> {
    const session = await this.#page.createCDPSession();
    await session.send("Page.setWebLifecycleState", { state: isFrozen ? "frozen" : "active" });
    await session.detach();
  }
}

export type { Browser, BrowserContext };
