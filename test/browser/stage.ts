import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { numbers } from "../support/story.ts";
import { BROWSERS, type Browser, type BrowserKind } from "./browsers.ts";
import type { Told } from "./in-page.ts";
import { openSite, type Site, type SiteOptions } from "./site.ts";

export const LOBBY = "chat/lobby";

export interface BrowserStage {
  readonly kind: BrowserKind;
  /** A site for this test, whose pages must have nothing to complain of at its end. */
  open(options?: SiteOptions): Promise<Site>;
}

/** Each browser is started once in a file, and all of them at once. */
const started = new Map<BrowserKind, Promise<Browser>>();

function start(kind: BrowserKind): Promise<Browser> {
  for (const each of BROWSERS) if (!started.has(each)) started.set(each, each.launch());
  return started.get(kind)!;
}

afterAll(async () => {
  for (const browser of started.values()) await (await browser).close();
});

/** The same stories in each browser: one after the other in each, and in all at the same time. */
export function inEachBrowser(title: string, tell: (stage: BrowserStage) => void): void {
  describe.each(BROWSERS)(`${title} in $name`, { concurrent: true }, (kind) => {
    let browser: Browser;
    let site: Site | undefined;

    beforeAll(async () => {
      browser = await start(kind);
    }, 60_000);
    afterEach(async () => {
      const faults = site?.tabs.flatMap((tab) => tab.faults) ?? [];
      await site?.close();
      site = undefined;
      expect(faults, "what the pages complained of").toEqual([]);
    });

    describe("", { sequential: true }, () => {
      tell({
        kind,
        async open(options) {
          site = await openSite(browser, options);
          return site;
        },
      });
    });
  });
}

/** Publishes so many messages, from the application on the server, each of which says its own offset. */
export async function publish({ server }: Site, channel: string, count: number, first = 1): Promise<number> {
  await Promise.all(numbers(count, first).map((n) => server.tl.channel(channel).publish(n)));
  return first + count - 1;
}

/** Publishes at this rate, each message saying its own offset, until it is stopped; then says how many there are. */
export function stream({ server }: Site, channel: string, perSecond: number, first = 1): { readonly stop: () => Promise<number> } {
  const began = performance.now();
  let published = first - 1;
  let runs = true;
  const running = (async () => {
    while (runs) {
      const due = first - 1 + Math.floor(((performance.now() - began) * perSecond) / 1_000);
      const batch = numbers(Math.max(0, due - published), published + 1);
      published += batch.length;
      await Promise.all(batch.map((n) => server.tl.channel(channel).publish(n)));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  // Whoever asks for it is told; a test that has failed does not ask
  running.catch(() => undefined);
  return {
    async stop() {
      runs = false;
      await running;
      return published;
    },
  };
}

/** What is wrong with a story in which the messages 1 to `count` should stand, once each, in order, each with the data that says so. */
export function faultsOf(story: readonly Told[], count: number) {
  const told = story.filter((one) => typeof one !== "string");
  const offsets = told.map(([offset]) => offset);
  const known = new Set(offsets);
  return {
    missing: numbers(count).filter((n) => !known.has(n)),
    twice: offsets.filter((offset, index) => offsets.indexOf(offset) !== index),
    disordered: offsets.filter((offset, index) => index > 0 && offset < offsets[index - 1]!),
    forged: told.filter(([offset, data]) => data !== offset || offset > count),
    gaps: story.filter((one) => typeof one === "string" && one.startsWith("gap")),
  };
}

export const FAULTLESS = { missing: [], twice: [], disordered: [], forged: [], gaps: [] };
