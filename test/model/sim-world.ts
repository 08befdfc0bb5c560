import type { Transport } from "../../src/client/options.ts";
import type { Gap } from "../../src/client.ts";
import type { Identity } from "../../src/core/identity.ts";
import { epochOf, topOf } from "../../src/core/resume.ts";
import { formatPosition, parsePosition } from "../../src/protocol/position.ts";
import type { Pipe } from "../../src/transports/pipe.ts";
import { type FaultEvent, type HistoryEvent, hashOf } from "../check/history.ts";
import { Chance } from "./sim-chance.ts";
import { makePublish, type Publish, SimClient } from "./sim-client.ts";
import { Network } from "./sim-network.ts";
import { ServerNode } from "./sim-node.ts";
import { hashOfData, hashOfEntry, Oracle } from "./sim-oracle.ts";
import { isAt, mayBeginAtEnd, offsetOf, type Reader } from "./sim-reader.ts";
import { Store } from "./sim-store.ts";
import { newOwner, Time } from "./sim-time.ts";
import { CHANNELS, type Traits, traitsOf } from "./sim-traits.ts";

const TRANSPORTS: readonly Transport[] = ["sse", "websocket", "long-poll"];
/** When faults have stopped everyone is at the end within this time (D10): two heartbeats of silence, an attempt that hangs, a backoff. */
const CALM_MS_MAX = 150_000;
/** A stream that was ended waits so long for what its client does not take. */
const CLOSE_MS = 11_000;
/** And a machine believes so long in a connection of which it hears nothing. */
const BELIEF_MS = 100_000;
/** A channel follows its log for so long after its last reader has gone, and a little. */
const LINGER_MS = 5_100;
/** What reaches live connections within a second (D8). */
const SECOND_MS = 1_000;

/** The whole line in one process: nodes on one log, clients, and all that is between them, on a time that moves when it is told. */
export class World {
  readonly time = new Time();
  readonly history: HistoryEvent[] = [];
  readonly chance: Chance;
  readonly traits: Traits;
  readonly network: Network;
  readonly store: Store;
  readonly nodes: ServerNode[];
  readonly clients: SimClient[] = [];
  readonly oracle: Oracle;
  readonly fails: string[] = [];
  readonly errors = new Map<string, number>();
  readonly faults = new Map<string, number>();
  readonly plots = new Map<string, number>();
  readonly owner = newOwner();
  deliveries = 0;
  /** What has begun and will end by itself: a server that is on its way back. */
  readonly pending = new Set<Promise<unknown>>();
  readonly published: Publish[] = [];
  /** What is to happen when a content has been stored. */
  readonly onceStored = new Map<string, () => void>();
  /** Channels whose removal is under way. */
  readonly removing = new Set<string>();
  readonly #seed: number;
  readonly #revoked = new Set<string>();
  #made = 0;
  #people = 0;
  #elsewhere = 0;

  constructor(seed: number) {
    this.#seed = seed;
    const chance = this.chanceOf("world");
    this.chance = chance;
    const { time } = this;
    this.traits = traitsOf(chance);
    const { engine, nodes, limits } = this.traits;
    const warn = (sentence: string) => this.#warned(sentence);
    this.network = new Network(time, this.chanceOf("network"));
    this.store = new Store({
      engine,
      time,
      chance: this.chanceOf("store"),
      limits,
      retention: { countMax: chance.is(0.3) ? 6 + chance.dice(20) : 10_000, bytesMax: 1e9, secondsMax: 86_400 },
      channels: CHANNELS,
      wayMs: nodes === 1 ? 0 : 0.5,
      warn,
      onStored: (channel, told) => {
        if (told.type === "changed") {
          // A removal takes its time: what was stored meanwhile is gone too
          if (this.removing.delete(channel)) this.fault("remove", { phase: "stop", channel, loses: ["memory", "disk"] });
          void this.#lookAt(channel);
        }
        for (const hash of this.oracle.stored(channel, told)) {
          this.onceStored.get(hash)?.();
          this.onceStored.delete(hash);
        }
      },
    });
    const { scripted } = this.store;
    this.oracle = new Oracle(scripted && ((channel, position) => hashOfData(scripted.of(channel).truth.dataAt(parsePosition(position)))));
    this.nodes = Array.from(
      { length: nodes },
      (_, index) =>
        new ServerNode({
          time,
          chance: this.chanceOf(`node ${index}`),
          network: this.network,
          store: this.store,
          limits,
          authenticate: ({ token }) => this.#identityOf(token),
          authorize:
            (node) =>
            ({ identity }) =>
              this.#mayDo(node, identity),
          warn,
        }),
    );
  }

  chanceOf(part: string): Chance {
    return new Chance(this.#seed, part);
  }

  async open(): Promise<void> {
    await this.store.start();
    for (const node of this.nodes) node.start();
    if (this.store.retention.countMax < 10_000) this.fault("trim", { may: ["trimmed"] });
  }

  fail(what: string): void {
    this.fails.push(`${Math.round(this.time.nowMs)} ms: ${what}`);
  }

  /** Something is broken, or mended. */
  fault(kind: string, told: Partial<Pick<FaultEvent, "phase" | "channel" | "may" | "loses">> = {}): void {
    const { phase = "start" } = told;
    if (phase === "start") this.faults.set(kind, (this.faults.get(kind) ?? 0) + 1);
    this.history.push({ type: "fault", t: this.time.nowMs, kind, phase, ...told });
  }

  saw(plot: string): void {
    this.plots.set(plot, (this.plots.get(plot) ?? 0) + 1);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.time.after(ms, resolve, this.owner));
  }

  /** Goes on beside the story, which waits for it before the end. */
  begin(act: Promise<unknown>): void {
    const done = act
      .catch((error) => this.fail(`an act failed: ${String((error as Error).stack)}`))
      .finally(() => this.pending.delete(done));
    this.pending.add(done);
  }

  // What clients tell

  delivered({ cid, channel }: Reader, position: string, data: unknown): void {
    this.deliveries++;
    const fault = this.oracle.faultOf(channel, position, hashOf(data));
    if (fault !== null) this.fail(`${cid} got at ${position} what ${fault}`);
  }

  acknowledged({ channel, hash }: Publish, position: string): void {
    // What was stored and trimmed by one commit whose outcome nobody was told, the oracle has never seen
    if (this.oracle.holdsOther(channel, position, hash)) this.fail(`${hash} was acknowledged at ${position}, the place of another`);
  }

  told({ reason }: Gap): void {
    this.saw(`gap ${reason}`);
  }

  // Who is who

  newIdentity(): string {
    this.#people++;
    return `${this.chance.is(0.2) ? "brief" : "user"}${this.#people}`;
  }

  tokenOf(identity: string): string {
    const lifeMs = identity.startsWith("brief") ? 3_000 + (Number(identity.replace(/\D+/, "")) % 5) * 2_000 : 1e9;
    return `${identity}|${Math.round(this.time.nowMs + lifeMs)}`;
  }

  revoke(identity: string): void {
    this.#revoked.add(identity);
    for (const node of this.nodes) if (node.isUp) node.hub.connections.revoke(identity);
    this.time.after(SECOND_MS, () => this.#look((person) => person.id === identity, "was revoked a second ago"), this.owner);
  }

  // Clients

  newClient(transport: Transport | "auto", identity = this.newIdentity()): SimClient {
    const { chance } = this;
    const home = this.nodes[chance.dice(this.nodes.length)]!;
    const client = new SimClient(this, {
      name: `c${++this.#made}`,
      transport,
      identity,
      chance: this.chanceOf(`client ${this.#made}`),
      access: {
        target: () => (this.traits.isScattered ? chance.one(this.nodes) : home),
        latencyMs: chance.one([0.2, 2, 20, 80]),
        bytesPerMs: Number.POSITIVE_INFINITY,
        isOffline: false,
        isGone: false,
        webSocket: "open",
        lines: new Set(),
      },
    });
    this.clients.push(client);
    return client;
  }

  /** Content that another node writes, of whom nobody here knows. */
  makeElsewhere(channel: string): string {
    const data = `elsewhere ${this.published.length + this.#made} ${this.chance.random.letters(6)}`;
    this.history.push({
      type: "publish",
      t: this.time.nowMs,
      channel,
      pid: "elsewhere",
      seq: ++this.#elsewhere,
      key: "",
      hash: hashOf(data),
    });
    return data;
  }

  publish(client: SimClient, channel: string, key?: string): Publish {
    const publish = makePublish(channel, client.identity, this.published.length, this.chance.one([0, 10, 40, 200]), key);
    this.published.push(publish);
    client.publish(publish);
    return publish;
  }

  /** The log as it stands is what readers must come to. */
  async readStore(channel: string): Promise<{ head: string; first: number; log: { position: string; hash: string }[] }> {
    const unlimited = { count: 1e9, bytes: 1e9 };
    const { head, entries } = await this.store.ask(
      (engine) => engine.read(channel, 0, unlimited),
      () => new Error("the store is not there"),
    );
    const log = entries.map((entry) => {
      const { offset, tag } = entry;
      return { position: formatPosition({ epoch: epochOf(head!, offset), offset, tag }), hash: hashOfEntry(entry) };
    });
    return { head: formatPosition(topOf(head)), first: head?.first ?? 1, log };
  }

  /** The store is back, perhaps with less than it had. */
  async storeStarts(): Promise<void> {
    await this.store.start();
    for (const channel of CHANNELS) await this.#lookAt(channel);
  }

  async #lookAt(channel: string): Promise<void> {
    const present = await this.readStore(channel).catch(() => null);
    if (present !== null) this.oracle.becomes(channel, present.log);
  }

  // The end

  /** Faults stop, and everyone comes to the end within bounded time (D10). */
  async calmDown(): Promise<void> {
    const untilMs = this.time.nowMs + CALM_MS_MAX;
    while (this.pending.size > 0 && this.time.nowMs < untilMs) await this.time.pass(200);
    if (this.pending.size > 0) this.fail("a server that was to come back did not");
    this.store.platter.behave({});
    this.store.scripted?.behave({});
    for (const node of this.nodes) {
      node.log.isForgetful = false;
      node.log.isCutOff = false;
    }
    for (const client of this.clients) {
      Object.assign(client.access, { isOffline: false, webSocket: "open", bytesPerMs: Number.POSITIVE_INFINITY });
      if (!client.isDone) for (const reader of client.readers) reader.goOn();
    }
    for (const line of this.network.lines.keys()) line.heal();
    this.fault("calm", { phase: "calm" });
    const closer = this.newClient("sse", "closer");
    for (const channel of this.traits.channels) this.publish(closer, channel);
    await this.#allCome(this.clients);
    for (const client of this.clients) if (!client.isDone) for (const reader of client.readers) if (!reader.hasEnded) reader.settle();
    await this.#readFinally();
  }

  /** A fresh reader over each transport, and the store itself. */
  async #readFinally(): Promise<void> {
    // Nothing is trimmed between one reading and the next
    this.store.retention = { ...this.store.retention, countMax: 1e9 };
    const fresh = TRANSPORTS.map((transport) => {
      const client = this.newClient(transport, "last");
      client.access.latencyMs = 1;
      return { transport, readers: this.traits.channels.map((channel) => client.read(channel, "callback", "start")), client };
    });
    await this.#allCome(fresh.map(({ client }) => client));
    for (const channel of this.traits.channels) {
      const { head, first, log } = await this.readStore(channel);
      this.history.push({ type: "final", t: this.time.nowMs, channel, via: "store", first, head, log });
      const known = this.oracle.logs.get(channel) ?? [];
      const kept = known.slice(known.length - log.length);
      if (this.store.scripted === null && log.some(({ position }, index) => position !== kept[index]))
        this.fail(`the log of ${channel} is not what was told of it`);
    }
    for (const { transport, readers } of fresh) {
      for (const { channel, cid, position } of readers) {
        const log = this.history.flatMap((event) =>
          event.type === "message" && event.cid === cid ? [{ position: event.position, hash: event.hash }] : [],
        );
        const head = position ?? "";
        const first = log[0] === undefined ? offsetOf(head) + 1 : offsetOf(log[0].position);
        this.history.push({ type: "final", t: this.time.nowMs, channel, via: transport, first, head, log });
      }
    }
  }

  async #allCome(clients: readonly SimClient[]): Promise<void> {
    const untilMs = this.time.nowMs + CALM_MS_MAX;
    for (let stepMs = 20; ; stepMs = Math.min(1_000, stepMs * 2)) {
      await this.time.pass(stepMs);
      const late = await this.#late(clients);
      if (late.length === 0) return;
      if (this.time.nowMs < untilMs) continue;
      for (const what of late) this.fail(what);
      return;
    }
  }

  async #late(clients: readonly SimClient[]): Promise<string[]> {
    const late: string[] = [];
    const heads = new Map<string, { head: string; first: number }>();
    for (const channel of this.traits.channels) heads.set(channel, await this.readStore(channel));
    for (const client of clients) {
      if (client.isDone || this.#revoked.has(client.identity)) continue;
      if (client.unanswered > 0) late.push(`${client.name} still waits for ${client.unanswered} answers (${client.client.state})`);
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
    return late;
  }

  /** When all have left nothing is left of them (D7). */
  async leave(): Promise<void> {
    for (const client of this.clients) if (!client.isClosed) client.close();
    await this.time.pass(CLOSE_MS);
    for (const client of this.clients)
      if (client.owner.isAlive && client.owner.timers > 0) this.fail(`${client.name} left ${client.owner.timers} timers`);
    for (let waitedMs = 0; this.network.lines.size > 0 && waitedMs < BELIEF_MS; waitedMs += CLOSE_MS) await this.time.pass(CLOSE_MS);
    await this.time.pass(LINGER_MS);
    if (this.network.lines.size > 0) this.fail(`connections are left: ${[...this.network.lines.keys()].join(" ")}`);
    for (const [index, node] of this.nodes.entries()) {
      const { hub, log } = node;
      if (hub.connections.size > 0) this.fail(`node ${index} holds ${hub.connections.size} connections that are gone`);
      if (hub.readerCount > 0) this.fail(`node ${index} holds ${hub.readerCount} readers that are gone`);
      if (hub.channelCount > 0 || log.follows) this.fail(`node ${index} follows channels that nobody reads`);
      await node.stop();
      await this.time.pass(10);
      if (node.owner.timers > 0) this.fail(`node ${index} left ${node.owner.timers} timers`);
    }
    await this.store.stop();
    await this.time.pass(10);
    if (this.store.timers > 0) this.fail(`the log left ${this.store.timers} timers`);
  }

  /** D8, looked at where it is decided: no pipe of such an identity is open. */
  #look(isGone: (identity: Identity) => boolean, why: string): void {
    for (const node of this.nodes) {
      if (!node.isUp) continue;
      for (const connection of node.hub.connections) {
        const { identity, transport } = connection;
        if (isGone(identity) && !(connection as Pipe).ended) this.fail(`a pipe (${transport}) of ${identity.id} is open, who ${why}`);
      }
    }
  }

  lookForExpired(): void {
    const nowMs = this.time.clockOf(this.owner).now();
    this.#look(({ expiresAt }) => (expiresAt ?? Number.POSITIVE_INFINITY) + SECOND_MS < nowMs, "expired a second ago");
  }

  #identityOf(token: string | null): Identity | false {
    const [id = "", until] = (token ?? "").split("|");
    if (token === null || this.#revoked.has(id)) return false;
    return { id, expiresAt: this.time.clockOf(this.owner).now() - Math.floor(this.time.nowMs) + Number(until) };
  }

  #mayDo(node: ServerNode, { id }: Identity): boolean | Promise<boolean> {
    const may = !this.#revoked.has(id);
    const { authorizeMs } = this.traits;
    return authorizeMs === 0
      ? may
      : new Promise((resolve) => this.time.after(this.chance.between(0, authorizeMs), () => resolve(may), node.owner));
  }

  #warned(sentence: string): void {
    const isExpected = /^The log of .* could not be read/.test(sentence) && !/gives nothing/.test(sentence);
    if (!isExpected && !/the store is not there|as scripted/.test(sentence)) this.fail(`warned: ${sentence}`);
  }
}
