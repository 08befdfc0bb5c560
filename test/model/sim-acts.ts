import type { Transport } from "../../src/client/options.ts";
import type { From } from "../../src/protocol/frame.ts";
import { type Acts, channelOf, some, someone } from "./sim-act.ts";
import type { SimClient } from "./sim-client.ts";
import { NETWORK_ACTS } from "./sim-network-acts.ts";
import { PAGE_ACTS } from "./sim-page-acts.ts";
import { SERVER_ACTS } from "./sim-server-acts.ts";
import type { World } from "./sim-world.ts";

const CLIENTS_MAX = 7;
const MODES: readonly (Transport | "auto")[] = ["auto", "sse", "websocket", "long-poll"];

/** What applications do, and all else that may happen. */
export const ACTS: Acts = {
  publish: [22, (world) => some(world, (client) => world.publish(client, channelOf(world)))],
  burst: [8, burst],
  "publish with a key": [5, (world) => some(world, (client) => world.publish(client, channelOf(world), `k${world.published.length}`))],
  "publish again with the key": [5, publishAgain],
  "lose the ack": [4, loseAck],
  connect: [9, connect],
  "read another channel": [3, (world) => some(world, (client) => read(world, client))],
  "read anew": [3, readAnew],
  "stop reading": [2, (world) => some(world, (client) => stopReading(world, client))],
  "take nothing": [3, (world) => hold(world, true)],
  "take again": [4, (world) => hold(world, false)],
  "close and come back": [3, comeBack],
  "crash a client": [1, crashClient],
  switch: [7, (world) => some(world, (client) => client.client.switchTo(world.chance.one(MODES)))],
  signal: [2, (world) => some(world, (client) => client.signal(channelOf(world)))],
  request: [3, (world) => some(world, (client) => client.request(channelOf(world), world.chance.is(0.2)))],
  revoke: [0.4, revoke],
  "revoke on the way": [0.6, revokeOnTheWay],
  remove: [0.5, remove],
  ...PAGE_ACTS,
  ...NETWORK_ACTS,
  ...SERVER_ACTS,
};

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

/** A channel is left and read anew on one WebSocket, while what is stored meanwhile is on its way under the earlier subscription. */
function readAnew(world: World): unknown {
  const { chance, time } = world;
  const talking = world.clients.filter(({ isDone, client }) => !isDone && client.transport === "websocket");
  const reading = talking.flatMap((client) =>
    client.readers.filter(({ hasEnded }) => !hasEnded).map(({ channel }) => ({ client, channel })),
  );
  if (reading.length === 0) return false;
  const { client, channel } = chance.one(reading);
  for (let count = 2 + chance.dice(4); count > 0; count--) world.publish(client, channel);
  const anew = (): void => {
    if (client.isDone) return;
    for (const reader of client.readers) {
      if (reader.channel !== channel || reader.hasEnded) continue;
      reader.ends();
      reader.stop();
    }
    client.read(channel, "callback", fromOf(world, channel));
    world.saw("a channel read anew");
  };
  time.after(chance.between(0, 4 * client.access.latencyMs + 5), anew, world.owner);
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
  return someone(world, ({ identity }) => {
    world.saw("revoked");
    world.revoke(identity);
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
  world.removing.add(channel);
  // Not waited for: of a node that is killed meanwhile nobody hears what came of it
  void node.hub.remove(channel).catch(() => undefined);
}
