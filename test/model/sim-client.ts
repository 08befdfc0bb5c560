import { type Client, connect } from "../../src/client/connect.ts";
import type { Transport } from "../../src/client/options.ts";
import type { Channel, Gap, Message, Subscription } from "../../src/client.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import type { From } from "../../src/protocol/frame.ts";
import { hashOf } from "../check/history.ts";
import type { Chance } from "./sim-chance.ts";
import type { Access } from "./sim-network.ts";
import { Reader } from "./sim-reader.ts";
import { newOwner, type Owner } from "./sim-time.ts";
import type { World } from "./sim-world.ts";

export interface Publish {
  readonly channel: string;
  readonly key: string | undefined;
  readonly event: string | undefined;
  readonly data: unknown;
  readonly identity: string;
  readonly hash: string;
}

/** Codes that say that nothing was stored. A client that no longer waits (`closed`, `retries_exhausted`) says nothing of a publish. */
const NOT_STORED = /^(not_stored|overloaded|too_large|key_conflict|keys_full|bad_|outbox_full|forbidden|unauthenticated|revoked|expired)/;

/** One application with one client: the real one, over the virtual network. It writes down what it sees. */
export class SimClient {
  readonly name: string;
  readonly owner: Owner = newOwner();
  readonly access: Access;
  readonly client: Client;
  readonly identity: string;
  readonly readers: Reader[] = [];
  /** Kept, since a client holds its channels weakly, and when they are collected is not ours to say. */
  readonly #channels = new Map<string, Channel>();
  readonly #world: World;
  readonly madeMs: number;
  #seq = 0;
  #errors = 0;
  /** Publishes and requests that it still waits for. */
  unanswered = 0;
  isClosed = false;

  constructor(world: World, options: { name: string; transport: Transport | "auto"; identity: string; access: Access; chance: Chance }) {
    const { name, transport, identity, access, chance } = options;
    const { time, network } = world;
    this.#world = world;
    this.madeMs = time.nowMs;
    this.name = name;
    this.identity = identity;
    this.access = access;
    const clock = time.clockOf(this.owner);
    this.client = connect("http://line.test", {
      transport,
      token: () => world.tokenOf(identity),
      fetch: network.fetchOf(access),
      WebSocket: network.webSocketOf(access),
      clock,
      random: () => chance.random.fraction(),
      limits: { iteratorCountMax: 8, connectSecondsMax: 4, backoffMsMin: 50, backoffMsMax: 3_000 },
    });
    this.client.on("error", (error) => this.#heard(error));
    this.client.on("state", (state) => {
      if (state === "failed") this.#failed();
    });
    this.client.on("transport", (transport) => {
      if (transport !== null) world.history.push({ type: "open", t: time.nowMs, cid: name, transport });
      else if (this.client.state === "reconnecting") this.#lost();
    });
  }

  get isDone(): boolean {
    return this.isClosed || !this.owner.isAlive || this.client.state === "failed";
  }

  channel(name: string): Channel {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = this.client.channel(name);
      this.#channels.set(name, channel);
      channel.on("gap", (gap: Gap) => {
        if (!this.owner.isAlive) return;
        const readers = this.readers.filter((reader) => reader.channel === name && !reader.hasEnded);
        const taken = readers.map((reader) => reader.told(gap, readers.length > 1));
        if (!taken.includes(true)) this.#world.fail(`${this.name} was told a gap of ${name} that is nobody's: ${JSON.stringify(gap)}`);
      });
      channel.on("state", () => {
        const { position } = channel as Channel;
        if (position !== null) for (const reader of this.readers) if (reader.channel === name) reader.joins(position);
      });
    }
    return channel;
  }

  read(channelName: string, kind: "callback" | "iterator", from: From): Reader {
    const channel = this.channel(channelName);
    const cid = `${this.name}/${this.readers.length + 1}`;
    const isFirst = channel.state === "closed";
    const reader = new Reader(this.#world, { cid, channel: channelName, from, kind, client: this, isFirst });
    this.readers.push(reader);
    if (kind === "callback") {
      const subscription: Subscription = channel.subscribe((message: Message) => reader.take(message), { from });
      reader.stop = () => subscription.unsubscribe();
    } else void this.#pull(reader, channel, from);
    return reader;
  }

  async #pull(reader: Reader, channel: Channel, from: From): Promise<void> {
    const abort = new AbortController();
    reader.stop = () => abort.abort();
    try {
      for await (const message of channel.messages({ from, signal: abort.signal })) {
        await reader.mayTake();
        // It may have been told to stop with this one in its hand
        if (!reader.hasEnded) reader.take(message);
      }
    } catch (error) {
      if (!(error instanceof ThroughlineError)) this.#world.fail(`for await threw ${String(error)}`);
    }
    reader.ends();
  }

  publish(publish: Publish): void {
    const { channel, key, event, data, hash } = publish;
    const world = this.#world;
    const seq = ++this.#seq;
    const pid = `${this.name}:${channel}`;
    const head = { channel, pid, seq };
    world.history.push({ type: "publish", t: world.time.nowMs, ...head, key: key ?? "", hash });
    this.unanswered++;
    const asked = this.channel(channel).publish(event ?? "message", data, key === undefined ? {} : { key });
    asked.then(
      ({ position, level, duplicate }) => {
        this.unanswered--;
        if (!this.owner.isAlive) return;
        world.acknowledged(publish, position);
        world.history.push({ type: "stored", t: world.time.nowMs, ...head, position, level, duplicate });
      },
      (error: ThroughlineError) => {
        this.unanswered--;
        if (!this.owner.isAlive) return;
        const { code } = error;
        if (code === undefined) world.fail(`a publish rejected with ${String(error)}`);
        world.history.push({ type: NOT_STORED.test(code) ? "refused" : "unknown", t: world.time.nowMs, ...head, code });
      },
    );
  }

  signal(channel: string): void {
    this.channel(channel).signal("typing", { by: this.name });
  }

  request(channel: string, fails: boolean): void {
    const world = this.#world;
    const question = { n: ++this.#seq, of: this.name, fails };
    const asked = { question, channel, identity: this.identity, askedMs: world.time.nowMs };
    this.unanswered++;
    this.channel(channel)
      .request("echo", question)
      .then(
        (answer) => {
          this.unanswered--;
          world.requests.answered(asked, answer);
        },
        (error) => {
          this.unanswered--;
          if (error instanceof ThroughlineError) world.requests.failed(asked, error.code);
          else world.fail(`a request rejected with ${String(error)}`);
        },
      );
  }

  /** Ends it as an application does. */
  close(): void {
    this.#endAll();
    this.client.close();
    this.isClosed = true;
  }

  /** Ends it as a battery does. */
  crash(silence: boolean): void {
    this.owner.isAlive = false;
    this.access.isGone = true;
    this.isClosed = true;
    this.#endAll();
    for (const line of [...this.access.lines]) {
      if (silence) line.cutSilently("nobody");
      line.leave();
    }
  }

  /** It was told not to come back, as is told to who was revoked alone. */
  #failed(): void {
    this.#endAll();
    if (this.#world.recalls.isPermittedSince(this.identity, this.madeMs))
      this.#world.fail(`${this.name} of ${this.identity} was told not to come back, and is permitted`);
  }

  #endAll(): void {
    for (const reader of this.readers) reader.ends();
  }

  /** What carried it is gone. That is a cut, of which it tells in the same turn: it never gives up one for another that has not proven itself (D6). */
  #lost(): void {
    const errors = this.#errors;
    queueMicrotask(() => {
      if (this.#errors === errors) this.#world.fail(`${this.name} left what carried it, and nothing had cut that`);
    });
  }

  #heard(error: unknown): void {
    this.#errors++;
    const cause = error instanceof ThroughlineError ? error.cause : error;
    // What networks do comes as this; any other is of its own making
    if (cause !== undefined && !(cause instanceof TypeError && cause.message === "fetch failed"))
      this.#world.fail(`${this.name} reports ${String((cause as Error)?.stack ?? cause)}`);
  }
}

export function makePublish(channel: string, identity: string, number: number, size: number, key?: string): Publish {
  const pad = "x".repeat(size);
  const data = number % 7 === 0 ? `${number} ${pad}\n` : number % 11 === 0 ? Buffer.from(`${number} ${pad}`) : { n: number, pad };
  const event = number % 5 === 0 ? "order" : undefined;
  return { channel, key, event, data: data instanceof Buffer ? new Uint8Array(data) : data, identity, hash: hashOf(data) };
}
