import { type Acts, channelOf } from "./sim-act.ts";
import type { Page } from "./sim-page.ts";
import type { World } from "./sim-world.ts";

const PAGES_MAX = 3;

/** What people do in browsers. */
export const PAGE_ACTS: Acts = {
  "open a page": [4, open],
  "close a page": [1, (world) => somePage(world, (page) => page.close())],
  "come back to a page": [1.5, (world) => somePage(world, (page) => comeBack(world, page))],
};

function somePage(world: World, act: (page: Page) => unknown): unknown {
  const pages = world.pages.filter(({ isDone }) => !isDone);
  return pages.length > 0 && act(world.chance.one(pages));
}

function open(world: World): unknown {
  const { chance, traits } = world;
  if (world.pages.filter(({ isDone }) => !isDone).length >= PAGES_MAX) return false;
  const isVector = chance.is(0.4);
  const channels = isVector ? traits.channels.slice(chance.dice(traits.channels.length)) : [channelOf(world)];
  world.openPage({ isVector, channels, from: fromOf(world), kept: "" });
}

/** It kept the last id, and gives it in the URL, as who cannot set headers must. */
function comeBack(world: World, page: Page): void {
  const { isVector, channels, from } = page.options;
  page.close();
  if (page.lastEventId !== "") world.saw("a kept id");
  world.openPage({ isVector, channels, from, kept: page.lastEventId }, page.identity);
}

function fromOf(world: World): string {
  const { chance } = world;
  switch (chance.dice(5)) {
    case 0:
    case 1:
      return "start";
    case 2:
      return `last:${chance.dice(8)}`;
    case 3:
      return `since:${new Date(world.time.clockOf(world.owner).now() - chance.dice(5_000)).toISOString()}`;
    default:
      return "now";
  }
}
