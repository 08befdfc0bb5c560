import { checkChannelName } from "../protocol/channel-name.ts";
import type { Cancel, Clock, Random } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Start } from "../protocol/from.ts";
import type { Limits } from "../protocol/limits.ts";
import { checkEvent, checkKey, type Kind, type Level, utf8Length } from "../protocol/message.ts";
import { formatPosition } from "../protocol/position.ts";
import type { PresenceChange } from "../protocol/presence.ts";
import { Channel } from "./channel.ts";
import { type Connection, Connections } from "./connection.ts";
import { engineFault } from "./engine-fault.ts";
import { Flusher } from "./flusher.ts";
import { Gate } from "./gate.ts";
import { type History, type HistoryQuery, readHistory } from "./history.ts";
import type { Authenticate, Authorize, Identity } from "./identity.ts";
import { Inlet } from "./inlet.ts";
import { type HubEvents, Listeners } from "./listeners.ts";
import type { Appended, Draft, Log, Retention } from "./log.ts";
import type { Outlet } from "./outlet.ts";
import { Presence } from "./presence.ts";
import { printOf } from "./print.ts";
import { Reader } from "./reader.ts";
import { Readiness } from "./readiness.ts";
import { Requests } from "./requests.ts";
import { topOf } from "./resume.ts";
import { Revocations } from "./revocations.ts";
import { SharedReads } from "./shared-reads.ts";
import { Turns } from "./turns.ts";

export interface HubOptions {
  readonly engine: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly authenticate?: Authenticate | undefined;
  readonly authorize?: Authorize | undefined;
  readonly retain?: ((channel: string) => Partial<Retention> | undefined) | undefined;
  readonly warn: (sentence: string) => void;
  readonly onSlice?: ((ms: number) => void) | undefined;
}

/** One message to publish. */
export interface Publication {
  readonly channel: string;
  readonly event?: string | undefined;
  readonly kind: Kind;
  readonly data: string | Uint8Array;
  /** Bytes of data and event as UTF-8. */
  readonly size: number;
  readonly key?: string | undefined;
}

/** What a publish is answered. */
export interface Receipt {
  readonly position: string;
  readonly level: Level;
  readonly duplicate: boolean;
}

/** How long a channel without readers goes on following its log: someone who reloads a page comes back to a warm one. */
const LINGER_MS = 5_000;
/** A stopping server asks its readers to come back within this time, each at its own moment. */
const RESTART_SPREAD_MS = 5_000;

/** Everything that the transports share: channels, connections, the gate and the log, on this node. */
export class Hub {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: Random;
  readonly gate: Gate;
  readonly connections: Connections;
  readonly requests: Requests;
  readonly presence: Presence;
  readonly revocations: Revocations;
  readonly #options: HubOptions;
  readonly #log: Log;
  readonly #reads: SharedReads;
  readonly #flusher: Flusher;
  readonly #turns: Turns;
  readonly #readiness: Readiness;
  readonly #channels = new Map<string, Channel>();
  /** Those whose last reader has gone, not long ago. */
  readonly #lingering = new Map<Channel, Cancel>();
  readonly #inlets = new Map<string, Inlet>();
  readonly #listeners: Listeners;
  /** What this one is called among the nodes, once there is something to say to the others. */
  #node: string | null = null;
  #opening: Promise<void> | null = null;
  #outside: { readonly opening: Promise<void>; readonly opened: Promise<void> } | null = null;
  #isOpen = false;
  #closing: Promise<void> | null = null;
  /** Publishes that the log has not answered. */
  #publishing = 0;
  #onPublished: (() => void) | null = null;

  constructor(options: HubOptions) {
    const { engine: log, clock, random, limits, warn } = options;
    this.#options = options;
    this.#log = log;
    this.#reads = new SharedReads(log, clock);
    this.limits = limits;
    this.clock = clock;
    this.random = random;
    this.gate = new Gate({
      ...options,
      authenticate: options.authenticate,
      authorize: options.authorize,
      secondsMax: limits.gateSecondsMax,
      revocationsMax: limits.revocationsMax,
    });
    this.connections = new Connections(clock, limits, this.gate);
    this.#listeners = new Listeners(warn);
    const shared = { log, clock, limits, opened: () => this.opened(), node: () => (this.#node ??= random.letters(12)) };
    this.requests = new Requests({ ...shared, warn });
    this.#flusher = new Flusher(clock, options.onSlice);
    this.#turns = new Turns(clock, () => this.#flusher.isLive());
    this.#readiness = new Readiness({ clock, secondsMax: limits.readySecondsMax, look: () => this.#look() });
    this.presence = new Presence({
      ...{ log, clock, random, limits, gate: this.gate, flusher: this.#flusher },
      onChange: (channel, change) => this.#tellPresence(channel, change),
    });
    this.revocations = new Revocations({ ...shared, connections: this.connections, presence: this.presence });
  }

  get level(): Level {
    return this.#log.level;
  }

  /** Channels that have readers now. */
  get channelCount(): number {
    return this.#channels.size - this.#lingering.size;
  }

  get readerCount(): number {
    let readers = 0;
    for (const channel of this.#channels.values()) readers += channel.readers;
    return readers;
  }

  /** Opens the engine. Everything else awaits it by itself; call it to have a fault of the engine at start. One that failed is opened again by the next call. */
  open(): Promise<void> {
    if (this.#closing !== null) return Promise.reject(stopping("restart", "Come back in a moment."));
    this.#opening ??= this.#open().catch((error) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  /** The same for whoever came from outside: why it failed is for the operator, once. */
  opened(): Promise<void> {
    const opening = this.open();
    if (this.#outside?.opening !== opening) {
      const opened = opening.catch((error) => Promise.reject(engineFault(error, this.#options.warn)));
      this.#outside = { opening, opened };
    }
    return this.#outside.opened;
  }

  /** Null if what is published now would be stored, else the reason. */
  async ready(): Promise<string | null> {
    return this.#closing === null ? this.#readiness.ask() : "The server is stopping.";
  }

  /** Checked, stored, acknowledged. Throws what PROTOCOL.md §7 says. Asks no gate: whoever publishes for somebody has asked it. */
  async publish(identity: Identity, publication: Publication): Promise<Receipt> {
    const channel = checkChannelName(publication.channel, this.limits);
    const draft = this.#draft(identity, publication);
    const appended = await this.#append(channel, draft);
    const receipt = this.#receipt(channel, appended);
    if (appended.type === "stored" && this.#listeners.has("publish")) {
      this.#listeners.emit("publish", { channel, event: draft.event, position: receipt.position, identity });
    }
    return receipt;
  }

  /** A new reader on its way: `locate` it, then let it `begin`. Whoever calls this has asked the gate, and will `end` it. */
  read(channel: string, outlet: Outlet): Reader {
    const one = this.#channel(checkChannelName(channel, this.limits));
    one.hold();
    this.#lingering.get(one)?.();
    this.#lingering.delete(one);
    return new Reader(one, outlet);
  }

  /** Finds the place where a reader begins. If that fails the reader has ended. */
  async locate(reader: Reader, start: Start): Promise<void> {
    try {
      await this.#read(() => reader.locate(start));
    } catch (error) {
      reader.end();
      if (error instanceof ThroughlineError) throw error;
      this.#options.warn(`The log of ${reader.channel.name} could not be read: ${String(error)}`);
      throw new ThroughlineError("internal", `The log of ${reader.channel.name} could not be read. The server's log has the cause.`);
    }
  }

  /** To the readers of this node that are live, and by the engine to other nodes. Kept nowhere. */
  signal(channel: string, event: string, data: unknown, sender: string): void {
    checkEvent(event, this.limits);
    this.#channels.get(channel)?.signal({ type: "signal", channel, event, data, sender });
    if (this.#isOpen && this.#closing === null) this.#log.notify?.({ channel, body: JSON.stringify({ event, data, sender }) });
  }

  async history(channel: string, query: HistoryQuery): Promise<History> {
    return this.#read(() => readHistory(this.#log, checkChannelName(channel, this.limits), query));
  }

  /** Where a channel's log stands: the position of its head, and the offset of its first retained message. */
  async place(channel: string): Promise<{ position: string; first: number }> {
    const { head } = await this.#read(() => this.#log.read(channel, Number.MAX_SAFE_INTEGER, { count: 0, bytes: 0 }));
    return { position: formatPosition(topOf(head)), first: head?.first ?? 1 };
  }

  async remove(channel: string): Promise<void> {
    await this.opened();
    if (this.#log.remove === undefined) throw new ThroughlineError("unsupported", `The ${this.#log.name} engine cannot remove a channel.`);
    await this.#inlet(checkChannelName(channel, this.limits)).remove();
  }

  /** Tells an application what happens. */
  on<Name extends keyof HubEvents>(name: Name, listener: (detail: HubEvents[Name]) => void): () => void {
    return this.#listeners.on(name, listener);
  }

  warn(sentence: string): void {
    this.#options.warn(sentence);
  }

  /** A pipe is open. `leave` undoes it. */
  enter(connection: Connection): void {
    if (this.connections.add(connection)) this.#listeners.emit("connect", connection);
  }

  leave(connection: Connection): void {
    if (this.connections.remove(connection)) this.#listeners.emit("disconnect", connection);
  }

  /** Says goodbye to every pipe, stores what is in flight, closes the engine. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(): Promise<void> {
    const { limits, clock, random, warn, retain } = this.#options;
    await this.#log.open({
      clock,
      random,
      warn,
      retain: (channel, own) => ({ ...own, ...retain?.(channel) }),
      keysMax: limits.keysMax,
      keySecondsMin: limits.keySecondsMin,
      lineageMax: limits.lineageMax,
    });
    this.#isOpen = true;
    this.#log.listen?.((notice) => {
      if (this.presence.heard(notice) || this.requests.heard(notice) || this.revocations.heard(notice)) return;
      const { channel, body } = notice;
      const { event, data, sender } = JSON.parse(body) as { event: string; data: unknown; sender: string };
      this.#channels.get(channel)?.signal({ type: "signal", channel, event, data, sender });
    });
    this.requests.open();
    this.revocations.open();
  }

  async #look(): Promise<string | null> {
    await this.open();
    return (await this.#log.ready?.()) ?? null;
  }

  #tellPresence(channel: string, { type, member: { user, client, data } }: PresenceChange): void {
    if (!this.#listeners.has("presence")) return;
    this.#listeners.emit("presence", { channel, change: type, member: { user, client, data: JSON.parse(data) } });
  }

  async #close(): Promise<void> {
    // What was acknowledged goes out before the goodbye.
    for (const channel of this.#channels.values()) channel.flushNow();
    this.connections.close(
      (from, to) =>
        new ThroughlineError("restart", "The server is stopping. Come back in a moment.", {
          retryAfterMs: Math.floor(RESTART_SPREAD_MS * (from + (to - from) * this.random.fraction())),
        }),
    );
    for (const channel of this.#channels.values()) channel.close(stopping("restart", "Come back in a moment."));
    for (const cancel of this.#lingering.values()) cancel();
    this.presence.close();
    this.requests.close();
    this.revocations.close();
    this.#channels.clear();
    this.#lingering.clear();
    await this.#opening?.catch(() => undefined);
    // Not longer than `publishSecondsMax`: then each has been told `unknown`.
    if (this.#publishing > 0) await new Promise<void>((resolve) => (this.#onPublished = resolve));
    if (this.#isOpen) await this.#log.close();
  }

  async #read<Seen>(look: () => Promise<Seen>): Promise<Seen> {
    await this.opened();
    return look().catch((error) => Promise.reject(engineFault(error, this.#options.warn)));
  }

  async #append(channel: string, draft: Draft): Promise<Appended> {
    if (this.#closing !== null) throw stopping("not_stored", "The message was not stored; publish it again.");
    this.#publishing++;
    try {
      await this.opened();
      return await this.#inlet(channel).append(draft);
    } finally {
      if (--this.#publishing === 0) this.#onPublished?.();
    }
  }

  #channel(name: string): Channel {
    const known = this.#channels.get(name);
    if (known !== undefined) return known;
    const { clock, limits } = this;
    const channel = new Channel(name, {
      log: this.#log,
      reads: this.#reads,
      clock,
      limits,
      flusher: this.#flusher,
      turns: this.#turns,
      warn: this.#options.warn,
      onEmpty: (empty) => this.#linger(empty),
    });
    this.#channels.set(name, channel);
    return channel;
  }

  #linger(channel: Channel): void {
    if (this.#channels.get(channel.name) !== channel) return;
    const leave = () => this.#forget(channel);
    if (this.#closing === null) this.#lingering.set(channel, this.clock.after(LINGER_MS, leave));
    else leave();
    // Whoever comes and goes on channel after channel would leave one behind for each
    if (this.#lingering.size > this.limits.lingeringChannelsMax) this.#forget(this.#lingering.keys().next().value as Channel);
  }

  #forget(channel: Channel): void {
    this.#lingering.get(channel)?.();
    this.#lingering.delete(channel);
    this.#channels.delete(channel.name);
    channel.close(stopping("restart", "Come back in a moment."));
  }

  #inlet(channel: string): Inlet {
    let inlet = this.#inlets.get(channel);
    if (inlet === undefined) {
      const onIdle = () => this.#inlets.delete(channel);
      inlet = new Inlet(channel, { log: this.#log, clock: this.clock, limits: this.limits, flusher: this.#flusher, onIdle });
      this.#inlets.set(channel, inlet);
    }
    return inlet;
  }

  #draft(identity: Identity, { event, kind, data, size, key }: Publication): Draft {
    const checked = checkEvent(event, this.limits);
    const bytes = size - utf8Length(checked);
    if (bytes > this.limits.messageBytesMax) {
      const sentence = `The message has ${bytes} bytes; at most ${this.limits.messageBytesMax} are taken. Nothing was stored.`;
      throw new ThroughlineError("too_large", sentence);
    }
    if (key === undefined) return { event: checked, kind, data, size };
    // The length before the identity makes the pair one text that no other pair has.
    const owned = `${identity.id.length}:${identity.id}${checkKey(key, this.limits)}`;
    return { event: checked, kind, data, size, key: owned, print: printOf(checked, kind, data) };
  }

  #receipt(channel: string, appended: Appended): Receipt {
    switch (appended.type) {
      case "stored":
      case "duplicate":
        return { position: formatPosition(appended.position), level: this.level, duplicate: appended.type === "duplicate" };
      case "conflict":
        throw new ThroughlineError("key_conflict", `This key was used on ${channel} for another message. Use a new key for new content.`);
      case "keys_full": {
        const sentence = `${channel} remembers ${this.limits.keysMax} keys, as many as it may. Nothing was stored; publish without a key, or later.`;
        throw new ThroughlineError("keys_full", sentence);
      }
    }
  }
}

function stopping(code: "restart" | "not_stored", next: string): ThroughlineError {
  return new ThroughlineError(code, `The server is stopping. ${next}`, { retryAfterMs: 1_000 });
}
