import type { Transport } from "../../src/client/options.ts";
import type { Gap } from "../../src/client.ts";
import type { HandlerInput } from "../../src/core/handlers.ts";
import type { Identity } from "../../src/core/identity.ts";
import { epochOf, topOf } from "../../src/core/resume.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import { formatPosition, parsePosition } from "../../src/protocol/position.ts";
import type { Pipe } from "../../src/transports/pipe.ts";
import { type FaultEvent, type HistoryEvent, hashOf } from "../check/history.ts";
import { Asker } from "./sim-asker.ts";
import { Chance } from "./sim-chance.ts";
import { makePublish, type Publish, SimClient } from "./sim-client.ts";
import { type Access, Network } from "./sim-network.ts";
import { ServerNode } from "./sim-node.ts";
import { hashOfData, hashOfEntry, Oracle } from "./sim-oracle.ts";
import { Page, type PageOptions } from "./sim-page.ts";
import { Recalls } from "./sim-recalls.ts";
import { type Question, Requests } from "./sim-requests.ts";
import { Store } from "./sim-store.ts";
import { newOwner, newWall, type Owner, Time, type Wall } from "./sim-time.ts";
import { answerersOf, CHANNELS, type Traits, traitsOf } from "./sim-traits.ts";

/** What reaches live connections within a second (D8). */
const SECOND_MS = 1_000;
/** Beyond two heartbeats of silence, for a client that leaves a line that says nothing (PROTOCOL.md §10). */
const PATIENCE_MS = 500;

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
  readonly pages: Page[] = [];
  readonly askers: Asker[] = [];
  readonly requests = new Requests(this);
  readonly recalls = new Recalls(this);
  /** The clocks of the machines, the log's own first. */
  readonly walls: readonly Wall[];
  readonly oracle: Oracle;
  readonly fails: string[] = [];
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
  /** Which node is told of a revocation. */
  readonly #tellChance: Chance;
  /** When a node went or came last. */
  #changedMs = 0;
  readonly #running = new Map<Owner, number>();
  #made = 0;
  #people = 0;
  #elsewhere = 0;

  constructor(seed: number) {
    this.#seed = seed;
    const chance = this.chanceOf("world");
    this.chance = chance;
    const { time } = this;
    this.traits = traitsOf(chance);
    this.#tellChance = this.chanceOf("revocations");
    const { engine, limits, retainSeconds } = this.traits;
    const answerers = answerersOf(this.traits.nodes, this.chanceOf("handlers"));
    const nodes = answerers.length;
    const wall = newWall();
    this.walls = nodes === 1 ? [wall] : [wall, ...answerers.map(() => newWall())];
    const warn = (sentence: string) => this.#warned(sentence);
    this.network = new Network(time, this.chanceOf("network"));
    this.store = new Store({
      engine,
      time,
      chance: this.chanceOf("store"),
      limits,
      retention: { countMax: chance.is(0.3) ? 6 + chance.dice(20) : 10_000, bytesMax: 1e9, secondsMax: retainSeconds },
      channels: CHANNELS,
      wall,
      wayMs: nodes === 1 ? 0 : 0.5,
      warn,
      noticeChance: this.chanceOf("notices"),
      onSaid: (notice) => {
        if (notice.body.startsWith('request {"type":"put"')) this.saw("a request by way of another node");
        this.recalls.said(notice);
      },
      onHeard: (by, notice) => this.recalls.heard(by, notice),
      onStored: (channel, told) => {
        if (told.type === "changed") {
          // A removal takes its time: what was stored meanwhile is gone too
          if (this.removing.delete(channel)) this.fault("remove", { phase: "stop", channel, loses: ["memory", "disk"] });
          void this.#compare(channel);
        }
        for (const hash of this.oracle.stored(channel, told)) {
          this.onceStored.get(hash)?.();
          this.onceStored.delete(hash);
        }
      },
    });
    const { scripted } = this.store;
    this.oracle = new Oracle(
      scripted && {
        hashAt: (channel, position) => hashOfData(scripted.of(channel).truth.dataAt(parsePosition(position))),
        isPair: (channel, before, position) => scripted.of(channel).truth.isPair(parsePosition(before), parsePosition(position)),
      },
    );
    this.nodes = answerers.map(
      (isAnswering, index) =>
        new ServerNode({
          time,
          chance: this.chanceOf(`node ${index}`),
          network: this.network,
          store: this.store,
          limits,
          wall: this.walls[nodes === 1 ? 0 : index + 1]!,
          authenticate:
            (node) =>
            ({ token, header }) =>
              this.#identityOf(node, token ?? header("cookie")),
          authorize:
            (node) =>
            ({ identity }) =>
              this.#mayDo(node, identity),
          answer: isAnswering ? (node) => (asked) => this.#answer(node, asked) : null,
          hasPeers: nodes > 1,
          onChange: () => {
            this.#changedMs = this.time.nowMs;
          },
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
    if (this.store.retention.countMax < 10_000 || this.agesMessages) this.fault("trim", { may: ["trimmed"] });
  }

  /** Retention by age reaches messages of this story. */
  get agesMessages(): boolean {
    return this.store.scripted === null && this.traits.retainSeconds < 3_600;
  }

  fail(what: string): void {
    this.fails.push(`${Math.round(this.time.nowMs)} ms: ${what}`);
  }

  /** Something is broken, or mended. */
  fault(kind: string, told: Partial<Pick<FaultEvent, "phase" | "channel" | "may" | "loses" | "rewrites">> = {}): void {
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

  delivered({ cid, channel }: { readonly cid: string; readonly channel: string }, position: string, data: unknown): void {
    this.deliveries++;
    const fault = this.oracle.faultOf(channel, position, hashOf(data));
    if (fault !== null) this.fail(`${cid} got at ${position} what ${fault}`);
  }

  acknowledged({ channel, hash }: Publish, position: string): void {
    // What was stored and trimmed by one commit whose outcome nobody was told, the oracle has never seen
    if (this.oracle.holdsOther(channel, position, hash)) this.fail(`${hash} was acknowledged at ${position}, the place of another`);
  }

  told({ reason }: Pick<Gap, "reason">): void {
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

  isRevoked({ identity }: { readonly identity: string }): boolean {
    return this.recalls.isBarred(identity);
  }

  /** One node is told, if any is up. */
  revoke(identity: string, told?: ServerNode): void {
    const up = this.nodes.filter(({ isUp }) => isUp);
    this.recalls.bar(identity, told ?? (up.length > 1 ? this.#tellChance.one(up) : up[0]));
  }

  // Who asks

  /** Some of the nodes have no handler. */
  get forwards(): boolean {
    return this.nodes.some(({ isAnswering }) => !isAnswering);
  }

  /** All nodes are up, and nothing has been in the way of what they say to each other since. */
  isQuietSince(ms: number): boolean {
    return this.isSameSince(ms) && this.store.notices.troubledMs < ms;
  }

  /** No node is down, and none has come since. */
  isSameSince(ms: number): boolean {
    return this.nodes.every(({ isUp }) => isUp) && this.#changedMs < ms;
  }

  /** Of any of the nodes that are up. */
  ask(chance: Chance, told: Pick<Question, "fails" | "ms">, node = chance.one(this.nodes.filter(({ isUp }) => isUp))): Asker {
    const asker = new Asker(this, `a${this.askers.length + 1}`, node, chance);
    this.askers.push(asker);
    asker
      .ask(chance.one(this.traits.channels), told)
      .catch((error) => this.fail(`${asker.name} failed: ${String((error as Error).stack)}`));
    return asker;
  }

  // Clients

  newClient(transport: Transport | "auto", identity = this.newIdentity(), from = this.chance): SimClient {
    const name = `c${++this.#made}`;
    const chance = this.chanceOf(`client ${this.#made}`);
    const client = new SimClient(this, { name, transport, identity, chance, access: this.#newAccess(from) });
    this.clients.push(client);
    return client;
  }

  openPage(options: Pick<PageOptions, "channels" | "isVector" | "from" | "kept">, identity = this.newIdentity()): Page {
    const page = new Page(this, { ...options, name: `p${++this.#made}`, identity, access: this.#newAccess(this.chance) });
    this.pages.push(page);
    return page;
  }

  #newAccess(chance: Chance): Access {
    const home = this.nodes[chance.dice(this.nodes.length)]!;
    return {
      target: () => (this.traits.isScattered ? this.chance.one(this.nodes) : home),
      latencyMs: chance.one([0.2, 2, 20, 80]),
      bytesPerMs: Number.POSITIVE_INFINITY,
      isOffline: false,
      isGone: false,
      webSocket: "open",
      lines: new Set(),
    };
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
    for (const channel of CHANNELS) await this.#compare(channel);
  }

  async #compare(channel: string): Promise<void> {
    const present = await this.readStore(channel).catch(() => null);
    if (present !== null) this.oracle.becomes(channel, present.log);
  }

  /** D8, looked at where it is decided: no pipe of such an identity is open. */
  lookAt(nodes: readonly ServerNode[], isGone: (identity: Identity, asked: number) => boolean, why: string): void {
    for (const node of nodes) {
      if (!node.isUp) continue;
      for (const connection of node.hub.connections) {
        const { identity, transport, asked } = connection;
        if (isGone(identity, asked) && !(connection as Pipe).ended)
          this.fail(`a pipe (${transport}) of ${identity.id} is open, who ${why}`);
      }
    }
  }

  /** What must not last, looked at between two acts. */
  look(): void {
    for (const node of this.nodes) {
      // Its clock may have been set just now
      if (this.time.nowMs - node.wall.setAtMs < SECOND_MS) continue;
      const nowMs = this.time.clockOf(node.owner).now();
      this.lookAt([node], ({ expiresAt }) => (expiresAt ?? Number.POSITIVE_INFINITY) + SECOND_MS < nowMs, "expired a second ago");
    }
    const silentMs = this.traits.limits.heartbeatSeconds * 2_000 + PATIENCE_MS;
    for (const { name, access } of this.clients) {
      for (const { isStream, clientOpen, heardAtMs } of access.lines) {
        if (isStream && clientOpen && this.time.nowMs - heardAtMs > silentMs) this.fail(`${name} keeps a line that has long been silent`);
      }
    }
  }

  /** What a token says of its end is counted from now on, by the clock of the node that is asked. */
  #identityOf({ owner }: ServerNode, token: string | null): Identity | false {
    const [id = "", until] = (token ?? "").split("|");
    if (token === null || this.recalls.isBarred(id)) return false;
    return { id, expiresAt: this.time.clockOf(owner).now() - Math.floor(this.time.nowMs) + Number(until) };
  }

  /** The application's answer to a request, after a while. */
  async #answer(node: ServerNode, { data, channel, identity }: HandlerInput): Promise<unknown> {
    const question = data as Question;
    this.requests.runs(question);
    const ms = question.ms ?? this.chance.between(0, 40);
    const { owner } = node;
    this.#running.set(owner, this.runningOn(node) + 1);
    await new Promise<void>((resolve) => this.time.after(ms, resolve, owner));
    this.#running.set(owner, (this.#running.get(owner) as number) - 1);
    if (question.fails) throw new ThroughlineError("request_failed", "As it was asked to.");
    return { data, channel, by: identity.id };
  }

  /** Handlers that have not answered yet, in its present life. */
  runningOn({ owner }: ServerNode): number {
    return this.#running.get(owner) ?? 0;
  }

  #mayDo(node: ServerNode, { id }: Identity): boolean | Promise<boolean> {
    const may = !this.recalls.isBarred(id);
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
