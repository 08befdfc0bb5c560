import type { Transport } from "../../src/client/options.ts";
import type { From } from "../../src/protocol/frame.ts";
import type { FaultEvent } from "../check/history.ts";
import type { ScriptedLog } from "./scripted-log.ts";
import type { SimClient } from "./sim-client.ts";
import type { Line } from "./sim-line.ts";
import type { ServerNode } from "./sim-node.ts";
import type { World } from "./sim-world.ts";

const CLIENTS_MAX = 7;
const MODES: readonly (Transport | "auto")[] = ["auto", "sse", "websocket", "long-poll"];

/** What may happen, by name, each as often as its weight says. False: there was nothing for it to happen to. */
export const ACTS: Readonly<Record<string, readonly [weight: number, act: (world: World) => unknown]>> = {
  // What applications do
  publish: [22, (world) => some(world, (client) => world.publish(client, channelOf(world)))],
  burst: [8, burst],
  "publish with a key": [5, (world) => some(world, (client) => world.publish(client, channelOf(world), `k${world.published.length}`))],
  "publish again with the key": [5, publishAgain],
  "lose the ack": [4, loseAck],
  connect: [9, connect],
  "read another channel": [3, (world) => some(world, (client) => read(world, client))],
  "stop reading": [2, (world) => some(world, (client) => stopReading(world, client))],
  "take nothing": [3, (world) => hold(world, true)],
  "take again": [4, (world) => hold(world, false)],
  "close and come back": [3, comeBack],
  "crash a client": [1, crashClient],
  switch: [7, (world) => some(world, (client) => client.client.switchTo(world.chance.one(MODES)))],
  signal: [2, (world) => some(world, (client) => client.signal(channelOf(world)))],
  revoke: [0.4, revoke],
  "revoke on the way": [0.6, revokeOnTheWay],
  remove: [0.5, remove],

  // What networks do
  cut: [9, (world) => breakLine(world, "cut", (line) => line.cut())],
  "cut, told to nobody": [2, (world) => breakLine(world, "half open", (line) => line.cutSilently("nobody"))],
  "cut, told to the client": [2, (world) => breakLine(world, "half open", (line) => line.cutSilently("client"))],
  "cut, told to the server": [2, (world) => breakLine(world, "half open", (line) => line.cutSilently("server"))],
  "cut all of a client": [2, cutAll],
  stall: [5, (world) => breakLine(world, "stall", (line) => line.stall())],
  flow: [5, flow],
  slow: [4, slow],
  fast: [2, fast],
  "block WebSocket": [3, blockWebSocket],
  "let WebSocket through": [2, (world) => some(world, ({ access }) => Object.assign(access, { webSocket: "open" }))],
  offline: [2, offline],
  online: [3, (world) => some(world, ({ access }) => Object.assign(access, { isOffline: false }))],
  "move to another node": [3, move],

  // What servers and their disks do
  "kill the server": [2, (world) => killNode(world, false)],
  "the server's machine dies": [0.7, (world) => killNode(world, true)],
  "restart the server": [1.5, restartNode],
  "kill the store": [1.5, (world) => killStore(world, "kill the store", () => {})],
  "lose the tail": [1.2, loseTail],
  "restore an older copy": [1, restore],
  "copy the store": [2, copy],
  "rewrite the tail": [1.5, (world) => script(world, "rewrite the tail", ["truncated", "epoch"], ["memory"], rewriteTail(world))],
  "begin a new epoch": [3, (world) => script(world, "a new epoch", ["epoch"], [], (log, channel) => log.addEra(channel))],
  "write elsewhere": [
    6,
    (world) => script(world, "a write elsewhere", [], [], (log, channel) => log.appendElsewhere(channel, world.makeElsewhere(channel))),
  ],
  "bad habits": [4, habits],
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

function some(world: World, act: (client: SimClient) => unknown): unknown {
  const clients = world.clients.filter(({ isDone }) => !isDone);
  return clients.length > 0 && act(world.chance.one(clients));
}

function channelOf(world: World): string {
  return world.chance.one(world.traits.channels);
}

function burst(world: World): unknown {
  const { chance } = world;
  const channel = channelOf(world);
  return some(world, (client) => {
    for (let count = 2 + chance.dice(10); count > 0; count--) world.publish(client, channel);
  });
}

/** By the same person, from wherever. */
function publishAgain(world: World): unknown {
  const keyed = world.published.filter(({ key }) => key !== undefined);
  if (keyed.length === 0) return false;
  const publish = world.chance.one(keyed);
  const own = world.clients.filter(({ isDone, identity }) => !isDone && identity === publish.identity);
  if (own.length === 0) return false;
  world.saw("a publish again");
  world.chance.one(own).publish(publish);
  return true;
}

/** As soon as it is stored, before its answer comes through. */
function loseAck(world: World): unknown {
  return some(world, (client) => {
    const publish = world.publish(client, channelOf(world), world.chance.is(0.5) ? `k${world.published.length}` : undefined);
    world.onceStored.set(publish.hash, () => {
      world.fault("lost ack");
      for (const line of [...client.access.lines]) {
        if (world.chance.is(0.5)) line.cut();
        else line.cutSilently("client");
      }
    });
  });
}

function fromOf(world: World, channel: string): From {
  const { chance } = world;
  switch (chance.dice(6)) {
    case 0:
    case 1:
      return "start";
    case 2:
      return { last: chance.dice(8) };
    case 3:
      return { since: new Date(world.time.clockOf(world.owner).now() - chance.dice(5_000)).toISOString() };
    case 4: {
      const known = world.oracle.logs.get(channel) ?? [];
      return known.length === 0 ? "now" : { after: chance.one(known) };
    }
    default:
      return "now";
  }
}

function connect(world: World): unknown {
  if (world.clients.filter(({ isDone }) => !isDone).length >= CLIENTS_MAX) return false;
  const client = world.newClient(world.chance.one(MODES));
  if (world.chance.is(0.15)) client.access.bytesPerMs = world.chance.between(0.2, 3);
  if (world.chance.is(0.15)) client.access.webSocket = "refused";
  read(world, client);
}

function read(world: World, client: SimClient): unknown {
  const channel = channelOf(world);
  const kind = world.chance.is(0.3) ? "iterator" : "callback";
  const known = client.readers.filter((reader) => reader.channel === channel && !reader.hasEnded).length;
  if (known > 1 || (known === 1 && !world.chance.is(0.3))) return false;
  if (known === 1) world.saw("two readers on one line");
  client.read(channel, kind, fromOf(world, channel));
}

function stopReading(world: World, client: SimClient): unknown {
  const reading = client.readers.filter(({ hasEnded }) => !hasEnded);
  if (reading.length === 0) return false;
  const reader = world.chance.one(reading);
  reader.ends();
  reader.stop();
}

function hold(world: World, isHolding: boolean): unknown {
  const pulled = world.clients.flatMap((client) =>
    client.isDone ? [] : client.readers.filter(({ kind, hasEnded }) => kind === "iterator" && !hasEnded),
  );
  if (pulled.length === 0) return false;
  const reader = world.chance.one(pulled);
  if (isHolding) {
    reader.isHolding = true;
    world.fault("take nothing");
  } else reader.goOn();
}

/** What it had read, it kept. */
function comeBack(world: World): unknown {
  return some(world, (client) => {
    const kept = client.readers.flatMap(({ channel, position, hasEnded }) =>
      hasEnded || position === null ? [] : [{ channel, position }],
    );
    client.close();
    const heir = world.newClient(world.chance.one(MODES), client.identity);
    for (const { channel, position } of kept) heir.read(channel, "callback", { after: position });
    if (kept.length > 0) world.saw("a kept position");
  });
}

function crashClient(world: World): unknown {
  return some(world, (client) => {
    world.fault("client crash");
    client.crash(world.chance.is(0.5));
  });
}

function revoke(world: World): unknown {
  return some(world, (client) => {
    world.saw("revoked");
    world.revoke(client.identity);
  });
}

/** While its pipe waits for its permission, or for its place in the log. */
function revokeOnTheWay(world: World): void {
  const client = world.newClient(world.chance.one(MODES));
  client.access.latencyMs = 2;
  read(world, client);
  world.saw("revoked");
  world.time.after(world.chance.between(0, 30), () => world.revoke(client.identity), world.owner);
}

function remove(world: World): unknown {
  const channel = channelOf(world);
  const node = world.chance.one(world.nodes);
  if (!node.isUp || !world.store.isUp) return false;
  world.fault("remove", { channel, may: ["epoch"], loses: ["memory", "disk"] });
  world.begin(node.hub.remove(channel).catch(() => undefined));
}

// Networks

function breakLine(world: World, kind: string, act: (line: Line) => void): unknown {
  const lines = [...world.network.lines.keys()].filter(({ passes }) => passes);
  if (lines.length === 0) return false;
  world.fault(kind);
  act(world.chance.one(lines));
}

function cutAll(world: World): unknown {
  return some(world, ({ access }) => {
    for (const line of [...access.lines]) {
      world.fault("cut");
      line.cut();
    }
  });
}

function flow(world: World): unknown {
  const stalled = [...world.network.lines.keys()].filter(({ isStalled }) => isStalled);
  if (stalled.length === 0) return false;
  world.chance.one(stalled).flow();
}

function slow(world: World): unknown {
  return some(world, ({ access }) => {
    world.fault("slow");
    access.bytesPerMs = world.chance.between(0.1, 2);
    for (const line of access.lines) line.bytesPerMs = access.bytesPerMs;
  });
}

function fast(world: World): unknown {
  return some(world, ({ access }) => {
    access.bytesPerMs = Number.POSITIVE_INFINITY;
    for (const line of access.lines) line.heal();
  });
}

function blockWebSocket(world: World): unknown {
  return some(world, ({ access }) => {
    world.fault("WebSocket blocked");
    access.webSocket = world.chance.one(["refused", "dies", "deaf", "hangs"]);
  });
}

function offline(world: World): unknown {
  return some(world, ({ access }) => {
    world.fault("offline");
    access.isOffline = true;
    for (const line of [...access.lines]) line.cutSilently(world.chance.one(["client", "nobody"]));
  });
}

function move(world: World): unknown {
  if (world.nodes.length === 1) return false;
  return some(world, ({ access }) => {
    world.fault("move");
    const node = world.chance.one(world.nodes);
    access.target = () => node;
    for (const line of [...access.lines]) line.cut();
  });
}

// Servers

/** A single node dies with its store: they are one process. */
function killNode(world: World, silence: boolean): unknown {
  const node = world.chance.one(world.nodes);
  if (!node.isUp || !world.store.isUp) return false;
  if (world.nodes.length === 1) return killStore(world, "kill the server", () => {}, silence);
  world.fault("kill the server");
  node.kill(silence);
  world.begin(world.sleep(world.chance.between(5, 3_000)).then(() => startNode(world, node)));
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

async function restart(world: World, node: ServerNode, isAll: boolean): Promise<void> {
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
): unknown {
  const { scripted } = world.store;
  if (scripted === null) return false;
  const channel = channelOf(world);
  world.fault(kind, { channel, may, loses });
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
