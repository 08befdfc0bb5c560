import type { FaultEvent } from "../check/history.ts";
import type { ScriptedLog } from "./scripted-log.ts";
import { type Acts, channelOf } from "./sim-act.ts";
import type { ServerNode } from "./sim-node.ts";
import type { World } from "./sim-world.ts";

/** What servers and their disks do. */
export const SERVER_ACTS: Acts = {
  "kill the server": [2, (world) => killNode(world, false)],
  "the server's machine dies": [0.7, (world) => killNode(world, true)],
  "restart the server": [1.5, restartNode],
  "kill the store": [1.5, (world) => killStore(world, "kill the store", () => {})],
  "lose the tail": [1.2, loseTail],
  "restore an older copy": [1, restore],
  "copy the store": [2, copy],
  "rewrite the tail": [1.5, (world) => script(world, "rewrite the tail", ["truncated", "epoch"], ["memory"], rewriteTail(world), true)],
  "begin a new epoch": [3, (world) => script(world, "a new epoch", ["epoch"], [], (log, channel) => log.addEra(channel))],
  "write elsewhere": [
    6,
    (world) => script(world, "a write elsewhere", [], [], (log, channel) => log.appendElsewhere(channel, world.makeElsewhere(channel))),
  ],
  "bad habits": [4, habits],
  "set a clock": [1, setClock],
  "good habits": [4, (world) => world.store.scripted?.behave({}) ?? false],
  trim: [1.5, trim],
  "keep all again": [1, keepAll],
  "slow disk": [1, (world) => disk(world, "slow disk", { commitMsMax: 300 })],
  "failing disk": [1, (world) => disk(world, "failing disk", { fails: 0.5, isUncertain: world.chance.is(0.5) })],
  "fine disk": [3, (world) => world.store.platter.behave({})],
  "miss wake-ups": [1.5, (world) => way(world, "miss wake-ups", (node) => Object.assign(node.log, { isForgetful: true }))],
  "cut off from the store": [1, (world) => way(world, "cut off from the store", (node) => Object.assign(node.log, { isCutOff: true }))],
  "a good way to the store": [3, goodWay],
};

/** So far from the true time a clock is set at most: a key is remembered for longer. */
const CLOCK_MS_MAX = 6 * 3_600_000;

/** By hours, forward or back; not back where messages age, since what was passed over as too old would be given again. */
function setClock(world: World): void {
  const { chance, time } = world;
  const wall = chance.one(world.walls);
  const skewMs = Math.round(chance.between(-CLOCK_MS_MAX, CLOCK_MS_MAX));
  world.fault("clock set");
  Object.assign(wall, { skewMs: world.agesMessages ? Math.max(wall.skewMs, skewMs) : skewMs, setAtMs: time.nowMs });
}

/** A single node dies with its store: they are one process. */
function killNode(world: World, silence: boolean): unknown {
  const node = world.chance.one(world.nodes);
  if (!node.isUp || !world.store.isUp) return false;
  if (world.nodes.length === 1) return killStore(world, "kill the server", () => {}, silence);
  world.fault("kill the server");
  killOne(world, node, silence, world.chance.between(5, 3_000));
}

/** One of several, for so long. */
export function killOne(world: World, node: ServerNode, silence: boolean, ms: number): void {
  node.kill(silence);
  world.begin(world.sleep(ms).then(() => startNode(world, node)));
}

function startNode(world: World, node: ServerNode): void {
  node.start();
  world.fault("kill the server", { phase: "stop" });
}

function restartNode(world: World): unknown {
  const node = world.chance.one(world.nodes);
  const { engine } = world.traits;
  if (!node.isUp || !world.store.isUp) return false;
  const isAll = world.nodes.length === 1;
  world.fault("restart", isAll && engine === "memory" ? { may: ["epoch"], loses: ["memory"] } : {});
  world.begin(restart(world, node, isAll));
}

export async function restart(world: World, node: ServerNode, isAll: boolean): Promise<void> {
  await node.stop();
  if (isAll) await world.store.stop();
  await world.sleep(world.chance.between(5, 2_000));
  node.kill(false);
  if (isAll) await world.storeStarts();
  node.start();
}

/** And, where there is one node only, the node with it. `harm`: what befalls the disk meanwhile. */
function killStore(world: World, kind: string, harm: () => void, silence = false): unknown {
  const { store, nodes, chance, traits } = world;
  if (!store.isUp || nodes.some(({ isUp }) => !isUp)) return false;
  world.fault(kind, traits.engine === "memory" ? { may: ["epoch"], loses: ["memory"] } : {});
  const own = nodes.length === 1 ? nodes[0]! : null;
  own?.kill(silence);
  store.kill();
  harm();
  const back = async (): Promise<void> => {
    await world.sleep(chance.between(5, 3_000));
    await world.storeStarts();
    own?.start();
    world.fault(kind, { phase: "stop" });
  };
  world.begin(back());
}

function loseTail(world: World): unknown {
  const { scripted } = world.store;
  if (world.traits.engine === "memory") return false;
  if (scripted !== null) {
    return script(world, "lose the tail", ["truncated", "epoch"], ["memory"], (log, channel) =>
      log.loseTail(channel, 1 + world.chance.dice(5)),
    );
  }
  return killStore(world, "kill the server", () => {
    world.fault("lose the tail", { may: ["truncated", "epoch"], loses: ["disk"] });
    world.store.platter.loseTail(1 + world.chance.dice(8));
  });
}

function restore(world: World): unknown {
  if (world.traits.engine === "memory") return false;
  if (world.store.scripted !== null) {
    return script(world, "restore an older copy", ["truncated", "epoch"], ["memory"], (log, channel) => log.restore(channel));
  }
  return killStore(world, "kill the server", () => {
    if (world.store.platter.restore()) world.fault("restore an older copy", { may: ["truncated", "epoch"], loses: ["disk"] });
  });
}

/** What befalls a scripted log, while everything runs. */
function script(
  world: World,
  kind: string,
  may: NonNullable<FaultEvent["may"]>,
  loses: readonly string[],
  act: (log: ScriptedLog, channel: string) => unknown,
  rewrites = false,
): unknown {
  const { scripted } = world.store;
  if (scripted === null) return false;
  const channel = channelOf(world);
  world.fault(kind, { channel, may, loses, ...(rewrites ? { rewrites } : {}) });
  act(scripted.of(channel), channel);
}

function habits(world: World): unknown {
  const { scripted } = world.store;
  if (scripted === null) return false;
  world.fault("bad habits of the store");
  scripted.behave(
    world.chance.one([
      { readMsMax: 20, commitMsMax: 10 },
      { readMsMax: 5, readFails: 0.4 },
      { commitMsMax: 5, appendFails: 0.3 },
      { tellsChanged: 0.7, readMsMax: 3 },
      { tellsChanged: 0.7, readFails: 0.6 },
      { hangs: true },
    ]),
  );
}

function copy(world: World): unknown {
  const { scripted, platter } = world.store;
  if (scripted === null) return platter.copy();
  scripted.of(channelOf(world)).backUp();
}

function trim(world: World): void {
  if (world.store.scripted !== null) {
    script(world, "trim", ["trimmed"], [], (log) => log.trim(1 + world.chance.dice(8)));
    return;
  }
  world.fault("trim", { may: ["trimmed"] });
  world.store.retention = { ...world.store.retention, countMax: 1 + world.chance.dice(6) };
}

function keepAll(world: World): void {
  world.store.retention = { ...world.store.retention, countMax: 10_000 };
}

function rewriteTail(world: World): (log: ScriptedLog, channel: string) => void {
  return (log, channel) => log.rewriteTail(channel, 1 + world.chance.dice(5), () => world.makeElsewhere(channel));
}

function disk(world: World, kind: string, weather: { commitMsMax?: number; fails?: number; isUncertain?: boolean }): unknown {
  if (world.traits.engine !== "disk") return false;
  world.fault(kind);
  world.store.platter.behave(weather);
}

function way(world: World, kind: string, act: (node: ServerNode) => unknown): unknown {
  if (world.nodes.length === 1) return false;
  world.fault(kind);
  return act(world.chance.one(world.nodes));
}

function goodWay(world: World): void {
  for (const { log } of world.nodes) Object.assign(log, { isForgetful: false, isCutOff: false });
}
