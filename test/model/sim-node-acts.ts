import type { Transport } from "../../src/client/options.ts";
import type { Chance } from "./sim-chance.ts";
import { FAIR, type Weather } from "./sim-notices.ts";
import { killOne, restart } from "./sim-server-acts.ts";
import type { World } from "./sim-world.ts";

type Act = (world: World, chance: Chance) => unknown;

/** How likely one of them is before each act of a story. */
const OFTEN = 0.06;
/** When a revocation is told again (src/core/revocations.ts). */
const AGAIN_MS: readonly number[] = [200, 1_000, 4_000, 14_000, 44_000];

const WEATHERS: readonly (readonly [kind: string, weather: Partial<Weather>])[] = [
  ["lost notices", { loses: 0.3 }],
  ["lost notices", { loses: 0.9 }],
  ["double notices", { doubles: 0.8 }],
  ["late notices", { lateMsMax: 30 }],
  ["late notices", { lateMsMax: 5_000 }],
  ["lost, double and late notices", { loses: 0.2, doubles: 0.4, lateMsMax: 200 }],
];

/** What several nodes have to do with each other. */
const ACTS: readonly (readonly [weight: number, act: Act])[] = [
  [3, changeWeather],
  [2, clearUp],
  [4, ask],
  [1, askAndKill],
  [1, letInAgain],
  [1, revokeBehind],
];

/** Acts of stories of several nodes. `chance` is their own, as with `rarely`. */
export function amongNodes(world: World, chance: Chance): void {
  if (world.nodes.length > 1 && chance.is(OFTEN)) chance.weighted(ACTS)(world, chance);
}

function changeWeather(world: World, chance: Chance): void {
  const [kind, weather] = chance.one(WEATHERS);
  world.fault(kind);
  world.store.notices.weather = { ...FAIR, ...weather };
}

function clearUp(world: World): void {
  world.store.notices.weather = FAIR;
}

/** Several at once, each of any node. */
function ask(world: World, chance: Chance): void {
  if (!world.forwards) return;
  for (let count = 1 + chance.dice(3); count > 0; count--) world.ask(chance, { fails: chance.is(0.1), ms: lengthOf(chance) });
}

function lengthOf(chance: Chance): number {
  return chance.weighted([
    [70, chance.between(0, 40)],
    [25, chance.between(40, 3_000)],
    [5, chance.between(3_000, 29_000)],
  ]);
}

/** While it is on its way, or done. */
function askAndKill(world: World, chance: Chance): void {
  if (!world.forwards) return;
  for (let count = 1 + chance.dice(2); count > 0; count--) world.ask(chance, { fails: false, ms: chance.between(0, 60) });
  const node = chance.one(world.nodes);
  const isStopped = chance.is(0.4);
  const end = (): void => {
    if (!node.isUp || !world.store.isUp) return;
    world.fault(isStopped ? "restart" : "kill the server");
    if (isStopped) world.begin(restart(world, node, false));
    else killOne(world, node, chance.is(0.3), chance.between(5, 3_000));
  };
  world.time.after(chance.between(0, 60), end, world.owner);
}

/** Someone who is on his way in by a node that gets no answer from the store is revoked by another, of which that one does not hear at first. */
function revokeBehind(world: World, chance: Chance): void {
  const [node, other] = chance.is(0.5) ? world.nodes : world.nodes.toReversed();
  if (!node?.isUp || !other?.isUp) return;
  world.fault("the way to the store hangs");
  node.log.hangsUntilMs = world.time.nowMs + chance.between(1_100, 3_500);
  const identity = `late${world.clients.length}`;
  const client = world.newClient(chance.one<Transport>(["sse", "long-poll"]), identity, chance);
  Object.assign(client.access, { target: () => node, latencyMs: chance.between(0.2, 3) });
  client.read(chance.one(world.traits.channels), "callback", "now");
  const revoke = (): void => {
    if (!other.isUp) return;
    world.saw("revoked");
    world.revoke(identity, other);
  };
  world.time.after(chance.between(10, 500), revoke, world.owner);
}

/** Someone is revoked, is permitted again soon after, and comes back, mostly just when it is told again that he was revoked. */
function letInAgain(world: World, chance: Chance): void {
  const present = world.clients.filter((client) => !client.isDone && !world.isRevoked(client));
  if (present.length > 0) world.begin(comeBack(world, chance, chance.one(present).identity));
}

async function comeBack(world: World, chance: Chance, identity: string): Promise<void> {
  const beganMs = world.time.nowMs;
  world.saw("revoked");
  world.revoke(identity);
  const backMs = chance.is(0.7) ? chance.one(AGAIN_MS) + chance.between(-6, 4) : chance.between(100, 20_000);
  await world.sleep(chance.between(20, backMs - 10));
  world.recalls.permit(identity);
  await world.sleep(beganMs + backMs - world.time.nowMs);
  if (world.isRevoked({ identity })) return;
  world.saw("let in again");
  for (let count = 1 + chance.dice(3); count > 0; count--) {
    const client = world.newClient(chance.one<Transport>(["sse", "websocket", "long-poll"]), identity, chance);
    client.access.latencyMs = chance.between(0.2, 3);
    client.read(chance.one(world.traits.channels), "callback", "now");
  }
}
