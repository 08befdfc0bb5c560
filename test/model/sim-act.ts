import type { SimClient } from "./sim-client.ts";
import type { Page } from "./sim-page.ts";
import type { World } from "./sim-world.ts";

/** What may happen, by name, each as often as its weight says. False: there was nothing for it to happen to. */
export type Acts = Readonly<Record<string, readonly [weight: number, act: (world: World) => unknown]>>;

export function some(world: World, act: (client: SimClient) => unknown): unknown {
  const clients = world.clients.filter(({ isDone }) => !isDone);
  return clients.length > 0 && act(world.chance.one(clients));
}

/** Whoever reads: with our client, or with a bare EventSource. */
export function someone(world: World, act: (one: SimClient | Page) => unknown): unknown {
  const all = [...world.clients, ...world.pages].filter(({ isDone }) => !isDone);
  return all.length > 0 && act(world.chance.one(all));
}

export function channelOf(world: World): string {
  return world.chance.one(world.traits.channels);
}
