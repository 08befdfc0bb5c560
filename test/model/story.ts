import { CHANNEL, World } from "./world.ts";

/** All that stories tell of: a set of them that misses any of it proves less than it says. */
export const PLOTS = [
  ...["stored", "duplicate", "unknown", "not_stored", "overloaded"],
  ...["gap trimmed", "gap truncated", "gap epoch", "epoch", "signal", "lag", "a slice"],
];

/** One story: many random acts, then calm. Gives what went wrong. `seen` is told what came to pass. */
export async function play(seed: number, seen: Set<string> = new Set()): Promise<string[]> {
  const world = new World({ seed, engine: seed % 3 === 0 ? "memory" : "scripted" });
  const acts = weighted(world);
  await world.hub.open();
  const length = 10 + world.dice(60);
  for (let step = 0; step < length && world.faults.length === 0; step++) {
    world.one(acts)();
    if (world.dice(3) > 0) await world.settle();
    if (world.dice(3) > 0) world.turn();
  }
  if (world.faults.length === 0) {
    await world.calmDown();
    await world.checkCalm();
  }
  if (world.faults.length === 0) await world.leaveAndClose();
  for (const plot of world.seen) seen.add(plot);
  return world.faults;
}

/** What may happen, each as often as its weight says. */
function weighted(world: World): (() => unknown)[] {
  const { scripted } = world;
  const acts: [weight: number, act: () => unknown][] = [
    [10, () => world.attach()],
    [2, () => world.attach({ type: "after", position: world.forged() }, { forged: true })],
    [1, () => crowd(world)],
    [4, () => world.detach()],
    [6, () => world.one(world.watches)?.stall()],
    [12, () => world.one(world.watches)?.drain()],
    [16, () => world.publish()],
    [4, () => burst(world)],
    [4, () => world.publish(world.one(["k1", "k2", "k3"]))],
    [1, () => world.publish(world.one(["k1", "k2", "k3"]), { isMistaken: true })],
    [3, () => world.signal()],
    [3, () => world.page()],
    [1, () => world.remove()],
    [12, () => world.pass(world.dice(8))],
    [3, () => world.pass(world.dice(1_500))],
    [1, () => world.pass(70_000)],
  ];
  if (scripted !== null) {
    acts.push(
      [3, () => scripted.trim(1 + world.dice(6))],
      [2, () => scripted.loseTail(CHANNEL, world.dice(5))],
      [1, () => scripted.rewriteTail(CHANNEL, world.dice(5), () => world.makeData())],
      [2, () => scripted.addEra(CHANNEL)],
      [1, () => scripted.backUp()],
      [1, () => scripted.restore(CHANNEL)],
      [4, () => scripted.appendElsewhere(CHANNEL, world.makeData())],
      [2, () => world.behave({ readMsMax: 20, commitMsMax: 10 })],
      [1, () => world.behave({ readMsMax: 5, readFails: 0.4 })],
      [1, () => world.behave({ commitMsMax: 5, appendFails: 0.3 })],
      [2, () => world.behave({ tellsChanged: 0.7, readMsMax: 3 })],
      [1, () => world.behave({ tellsChanged: 0.7, readFails: 0.6 })],
      [1, () => world.behave({ hangs: true })],
      [3, () => world.behave({})],
    );
  }
  return acts.flatMap(([weight, act]) => Array.from({ length: weight }, () => act));
}

/** Enough readers for a flush to take several slices. */
function crowd(world: World): void {
  for (let count = 0; count < 30; count++) world.attach({ type: "now" });
}

function burst(world: World): void {
  for (let count = world.dice(10); count > 0; count--) world.publish();
}
