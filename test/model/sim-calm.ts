import type { Transport } from "../../src/client/options.ts";
import type { SimClient } from "./sim-client.ts";
import { FAIR } from "./sim-notices.ts";
import { isAt, mayBeginAtEnd, offsetOf } from "./sim-reader.ts";
import type { World } from "./sim-world.ts";

const TRANSPORTS: readonly Transport[] = ["sse", "websocket", "long-poll"];
/** When faults have stopped everyone is at the end within this time (D10): a machine's belief in a line, an attempt that hangs, a backoff. */
const CALM_MS_MAX = 150_000;
/** A stream that was ended waits so long for what its client does not take. */
const CLOSE_MS = 11_000;
/** And a machine believes so long in a connection of which it hears nothing. */
const BELIEF_MS = 100_000;
/** A channel follows its log for so long after its last reader has gone, and a little. */
const LINGER_MS = 5_100;
/** What a request may take: to find who answers (`offerSecondsMax`), his answer (`requestSecondsMax`), and the way there and back. */
const ANSWER_MS_MAX = 34_000;
/** Readings at the end: with each of them a node has had longer to hear of what became of its log. */
const ANEW_MAX = 3;
/** What nothing is trimmed by. */
const UNLIMITED = { countMax: 1e9, bytesMax: 1e9, secondsMax: 1e9 };

/** Faults stop, and everyone comes to the end within bounded time (D10). */
export async function calmDown(world: World): Promise<void> {
  const { time, store, nodes, network } = world;
  const untilMs = time.nowMs + CALM_MS_MAX;
  while (world.pending.size > 0 && time.nowMs < untilMs) await time.pass(200);
  if (world.pending.size > 0) world.fail("a server that was to come back did not");
  store.platter.behave({});
  store.scripted?.behave({});
  for (const node of nodes) Object.assign(node.log, { isForgetful: false, isCutOff: false, hangsUntilMs: 0 });
  store.notices.weather = FAIR;
  for (const { access } of [...world.clients, ...world.pages])
    Object.assign(access, { isOffline: false, webSocket: "open", bytesPerMs: Number.POSITIVE_INFINITY });
  for (const client of world.clients) if (!client.isDone) for (const reader of client.readers) reader.goOn();
  for (const line of network.lines.keys()) line.heal();
  world.fault("calm", { phase: "calm" });
  const closer = world.newClient("sse", "closer");
  for (const channel of world.traits.channels) world.publish(closer, channel);
  await allCome(world, world.clients);
  for (const client of world.clients) if (!client.isDone) for (const reader of client.readers) if (!reader.hasEnded) reader.settle();
  if (world.agesMessages) {
    // What is past its age is not given, but goes only when something is stored: then it stays gone
    for (const channel of world.traits.channels) world.publish(closer, channel);
    for (let waitedMs = 0; closer.unanswered > 0 && waitedMs < CLOSE_MS; waitedMs++) await time.pass(1);
    store.retention = UNLIMITED;
    await allCome(world, world.clients);
  }
  await readFinally(world);
  if (world.forwards) await askFinally(world);
  if (time.nowMs < world.recalls.judgedMs) await time.passUntil(world.recalls.judgedMs);
}

/** Whichever node is asked, it finds who answers; and whoever still waits, and whose connection is sound, waits no longer than a request may last. */
async function askFinally(world: World): Promise<void> {
  const { time, nodes, askers } = world;
  const chance = world.chanceOf("last questions");
  for (const node of nodes) world.ask(chance, { fails: false }, node);
  for (let waitedMs = 0; askers.some(({ isWaiting, isLost }) => isWaiting && !isLost); waitedMs += 100) {
    if (waitedMs < ANSWER_MS_MAX) await time.pass(100);
    else {
      for (const { name, isWaiting, isLost } of askers) if (isWaiting && !isLost) world.fail(`${name} still waits for its answer`);
      return;
    }
  }
}

interface Way {
  readonly via: string;
  readonly readers: readonly { channel: string; cid: string; position: string | null }[];
}

/** A fresh reader over each transport, and the store itself. Nothing is trimmed between one reading and the next. */
async function readFinally(world: World): Promise<void> {
  world.store.retention = UNLIMITED;
  const { channels } = world.traits;
  let ways = await readAnew(world);
  // One that begins on a node that has yet to hear of a rewritten tail has some of each log, and was told so; who begins after it has not
  for (let times = 0; times < ANEW_MAX && ways.some(({ readers }) => readers.some(({ cid }) => isOfTwo(world, cid))); times++)
    ways = await readAnew(world);
  for (const channel of channels) {
    const { head, first, log } = await world.readStore(channel);
    world.history.push({ type: "final", t: world.time.nowMs, channel, via: "store", first, head, log });
    const known = world.oracle.logs.get(channel) ?? [];
    const kept = known.slice(known.length - log.length);
    if (world.store.scripted === null && log.some(({ position }, index) => position !== kept[index]))
      world.fail(`the log of ${channel} is not what was told of it`);
  }
  for (const { via, readers } of ways) {
    for (const { channel, cid, position } of readers) {
      const log = readBy(world, cid);
      const head = position ?? "";
      const first = log[0] === undefined ? offsetOf(head) + 1 : offsetOf(log[0].position);
      world.history.push({ type: "final", t: world.time.nowMs, channel, via, first, head, log });
    }
  }
}

async function readAnew(world: World): Promise<Way[]> {
  const { channels } = world.traits;
  const clients = TRANSPORTS.map((transport) => world.newClient(transport, "last"));
  const ways: Way[] = [];
  for (const [index, client] of clients.entries()) {
    client.access.latencyMs = 1;
    ways.push({ via: TRANSPORTS[index]!, readers: channels.map((channel) => client.read(channel, "callback", "start")) });
  }
  if (world.pages.length > 0) {
    const { readers } = world.openPage({ channels, isVector: channels.length > 1, from: "start", kept: "" }, "last");
    ways.push({ via: "eventsource", readers });
  }
  await allCome(world, clients);
  return ways;
}

/** It was told that the log has other messages where it stood, from an unknown place on. */
function isOfTwo(world: World, reader: string): boolean {
  return world.history.some(
    (event) => event.type === "gap" && event.cid === reader && event.reason === "truncated" && event.missing === null,
  );
}

/** What a reader was given, without what a gap took back: one that begins on a node that has yet to hear of a loss is given that too. */
function readBy(world: World, reader: string): { position: string; hash: string }[] {
  const log: { position: string; hash: string }[] = [];
  for (const event of world.history) {
    if ((event.type !== "message" && event.type !== "gap") || event.cid !== reader) continue;
    if (event.type === "message") log.push({ position: event.position, hash: event.hash });
    else while (log.length > 0 && offsetOf(log.at(-1)!.position) > offsetOf(event.resumeFrom)) log.pop();
  }
  return log;
}

async function allCome(world: World, clients: readonly SimClient[]): Promise<void> {
  const { time } = world;
  const untilMs = time.nowMs + CALM_MS_MAX;
  for (let stepMs = 20; world.fails.length === 0; stepMs = Math.min(1_000, stepMs * 2)) {
    await time.pass(stepMs);
    world.look();
    const late = await lateOf(world, clients);
    if (late.length === 0) return;
    if (time.nowMs < untilMs) continue;
    for (const what of late) world.fail(what);
  }
}

/** Whoever is not at the end. */
async function lateOf(world: World, clients: readonly SimClient[]): Promise<string[]> {
  const late: string[] = [];
  const heads = new Map<string, { head: string; first: number }>();
  for (const channel of world.traits.channels) heads.set(channel, await world.readStore(channel));
  for (const client of clients) {
    if (client.isDone || world.isRevoked(client)) continue;
    if (client.unanswered > 0) late.push(`${client.name} still waits for ${client.unanswered} answers (${client.client.state})`);
    // Of who was revoked, and is permitted again, an earlier client may have been refused a channel
    if (!world.recalls.isPermittedSince(client.identity, client.madeMs)) continue;
    for (const reader of client.readers) {
      if (reader.hasEnded) continue;
      const { head, first } = heads.get(reader.channel)!;
      const { place: position, from, cid, channel } = reader;
      const isEmpty = first > offsetOf(head);
      if (position === null ? isEmpty || mayBeginAtEnd(from) : isAt(position, head)) continue;
      const state = `${client.client.state}, ${client.client.transport}, ${client.channel(channel).state}`;
      late.push(`${cid}, from ${JSON.stringify(from)}, is at ${position} and not at the end of ${channel}, ${head} (${state})`);
    }
  }
  for (const page of world.pages) {
    if (page.isDone) continue;
    if (world.isRevoked(page)) {
      if (world.recalls.isKnownToAll(page.identity)) late.push(`${page.name} is still there, though its person was revoked`);
      continue;
    }
    for (const { channel, cid, position } of page.readers) {
      const { head } = heads.get(channel)!;
      if (position === null || !isAt(position, head))
        late.push(`${cid} is at ${position} and not at the end of ${channel}, ${head} (${[...page.access.lines].join(" ")})`);
    }
  }
  return late;
}

/** When all have left nothing is left of them (D7). */
export async function leave(world: World): Promise<void> {
  const { time, network, nodes, store } = world;
  for (const client of world.clients) if (!client.isClosed) client.close();
  for (const page of world.pages) page.close();
  for (const asker of world.askers) asker.leave();
  await time.pass(CLOSE_MS);
  for (const { name, owner } of [...world.clients, ...world.pages])
    if (owner.isAlive && owner.timers > 0) world.fail(`${name} left ${owner.timers} timers`);
  for (let waitedMs = 0; network.lines.size > 0 && waitedMs < BELIEF_MS; waitedMs += CLOSE_MS) await time.pass(CLOSE_MS);
  await time.pass(LINGER_MS);
  if (network.lines.size > 0) world.fail(`connections are left: ${[...network.lines.keys()].join(" ")}`);
  for (const [index, node] of nodes.entries()) {
    const { hub, log } = node;
    if (hub.connections.size > 0) world.fail(`node ${index} holds ${hub.connections.size} connections that are gone`);
    if (hub.readerCount > 0) world.fail(`node ${index} holds ${hub.readerCount} readers that are gone`);
    if (hub.channelCount > 0 || log.follows) world.fail(`node ${index} follows channels that nobody reads`);
    await node.stop();
    await time.pass(10);
    // A handler that still runs has one, and one bounds it
    const left = node.owner.timers - 2 * world.runningOn(node);
    if (left > 0) world.fail(`node ${index} left ${left} timers`);
  }
  await store.stop();
  await time.pass(10);
  if (store.timers > 0) world.fail(`the log left ${store.timers} timers`);
}
