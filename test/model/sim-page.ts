import type { GapFrame } from "../../src/protocol/frame.ts";
import { hashOf } from "../check/history.ts";
import { VirtualEventSource } from "./sim-event-source.ts";
import type { Access } from "./sim-network.ts";
import { newOwner, type Owner } from "./sim-time.ts";
import type { World } from "./sim-world.ts";

/** One channel of a page: where it stands is all that there is to know. */
interface PageReader {
  readonly cid: string;
  readonly channel: string;
  position: string | null;
}

interface Begun {
  readonly channel: string;
  readonly position: string;
}

interface Envelope extends Begun {
  readonly data: unknown;
  readonly encoding?: "base64";
}

export interface PageOptions {
  readonly name: string;
  readonly identity: string;
  readonly access: Access;
  readonly channels: readonly string[];
  /** All of them on one stream with one id, be it one channel only; else there is only one. */
  readonly isVector: boolean;
  readonly from: string;
  /** The id that an earlier page had last; empty for none. */
  readonly kept: string;
}

/** A page without our client: a bare EventSource, and an application that writes down what it is given. */
export class Page {
  readonly name: string;
  readonly identity: string;
  readonly access: Access;
  readonly owner: Owner = newOwner();
  readonly options: PageOptions;
  readonly readers: readonly PageReader[];
  /** It closed its EventSource, or that gave up. */
  isDone = false;
  readonly #world: World;
  readonly #source: VirtualEventSource;

  constructor(world: World, options: PageOptions) {
    const { name, identity, access, channels, isVector, from, kept } = options;
    this.#world = world;
    this.options = options;
    this.name = name;
    this.identity = identity;
    this.access = access;
    this.readers = channels.map((channel, index) => ({ cid: `${name}/${index + 1}`, channel, position: null }));
    const query = new URLSearchParams(isVector ? channels.map((channel) => ["channel", channel]) : []);
    query.set("from", from);
    if (kept !== "") query.set("lastEventId", kept);
    this.#source = new VirtualEventSource({
      url: `http://line.test${isVector ? "/events" : `/channels/${channels[0]}`}?${query}`,
      cookie: () => world.tokenOf(identity),
      fetch: world.network.fetchOf(access),
      clock: world.time.clockOf(this.owner),
      onEvent: ({ name: event, data, lastEventId }) => this.#take(event, data, lastEventId),
      onFailed: () => this.#end(),
    });
  }

  /** Where to go on, on another page. */
  get lastEventId(): string {
    return this.#source.lastEventId;
  }

  close(): void {
    if (this.isDone) return;
    this.#end();
    this.#source.close();
  }

  /** Nothing is owed to it any more. */
  #end(): void {
    this.isDone = true;
    for (const { cid, channel } of this.readers) this.#world.history.push({ type: "end", t: this.#world.time.nowMs, cid, channel });
  }

  #take(event: string, data: string, id: string): void {
    if (event === "bye" || event.startsWith("$")) return;
    if (event === "connected") {
      const { channels, ...alone } = JSON.parse(data) as Begun & { readonly channels?: readonly Begun[] };
      for (const begun of channels ?? [alone]) this.#connected(begun);
      this.#world.history.push({ type: "open", t: this.#world.time.nowMs, cid: this.name, transport: "eventsource" });
    } else if (event === "gap") this.#skip(JSON.parse(data) as GapFrame);
    else if (this.options.isVector) {
      const { channel, position, data: told, encoding } = JSON.parse(data) as Envelope;
      this.#message(this.#of(channel), position, encoding === undefined ? told : new Uint8Array(Buffer.from(told as string, "base64")));
    } else this.#message(this.readers[0]!, id, contentOf(data));
    const places = this.readers.map(({ position }) => position).join(",");
    if (id !== places) this.#world.fail(`${this.name} was given the id ${id} at ${places}`);
  }

  #of(channel: string): PageReader {
    return this.readers.find((reader) => reader.channel === channel)!;
  }

  /** At the first time it is told where it begins, and later that it goes on where it was. */
  #connected({ channel, position }: Begun): void {
    const reader = this.#of(channel);
    if (reader.position !== null) {
      if (reader.position !== position) this.#world.fail(`${reader.cid} is at ${reader.position}, and was connected at ${position}`);
      return;
    }
    reader.position = position;
    this.#world.history.push({ type: "begin", t: this.#world.time.nowMs, cid: reader.cid, channel, position });
  }

  #message(reader: PageReader, position: string, data: unknown): void {
    const { cid, channel } = reader;
    reader.position = position;
    const hash = hashOf(data);
    this.#world.history.push({ type: "message", t: this.#world.time.nowMs, cid, channel, position, hash, transport: "eventsource" });
    this.#world.delivered(reader, position, data);
  }

  #skip(gap: GapFrame): void {
    const { channel, reason, since, resumeFrom, missing } = gap;
    const reader = this.#of(channel);
    reader.position = resumeFrom;
    const told = { reason, since, resumeFrom, missing };
    this.#world.history.push({ type: "gap", t: this.#world.time.nowMs, cid: reader.cid, channel, ...told });
    this.#world.told(gap);
  }
}

/** A plain event does not say what its data is. These applications know: bytes are base64, which is no JSON, and text has spaces. */
function contentOf(data: string): unknown {
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(data)) return new Uint8Array(Buffer.from(data, "base64"));
  return /^["{]/.test(data) ? JSON.parse(data) : data;
}
