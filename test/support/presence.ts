import { createParser } from "eventsource-parser";
import { type Channel, type Client, connect, type Transport } from "../../src/client.ts";
import { type Presence, presence } from "../../src/presence.ts";
import { open } from "./http.ts";
import { until } from "./until.ts";

export interface Arrival {
  readonly url: string;
  readonly over: Transport | "auto";
  readonly token?: string | undefined;
  /** What it says of itself. Left out: it only watches. */
  readonly data?: unknown;
  readonly channel?: string;
  readonly client?: string;
}

/** The client library on a channel, with all that it was told: `join ada 1`. */
export class Guest {
  readonly connection: Client;
  readonly channel: Channel;
  readonly here: Presence;
  readonly told: string[] = [];
  readonly errors: string[] = [];
  #reading: { unsubscribe(): void };

  constructor({ url, over, token, data, channel = "chat/lobby", client }: Arrival) {
    const limits = { backoffMsMin: 20, backoffMsMax: 200 };
    this.connection = connect(url, { transport: over, limits, ...(token === undefined ? {} : { token }) });
    this.connection.on("error", () => undefined);
    this.channel = this.connection.channel(channel);
    this.#reading = this.channel.subscribe(() => undefined);
    this.here = presence(this.channel, data, client === undefined ? {} : { client });
    for (const name of ["join", "update", "leave"] as const) {
      this.here.on(name, ({ data: said }) => this.told.push(`${name} ${JSON.stringify(said)}`));
    }
    this.here.on("error", ({ code }) => this.errors.push(code));
  }

  /** What the members say of themselves. */
  get sees(): string[] {
    return this.here.members.map(({ data }) => JSON.stringify(data)).sort();
  }

  /** Waits until exactly these are there. */
  async seen(...data: readonly unknown[]): Promise<void> {
    const expected = data.map((one) => JSON.stringify(one)).sort();
    try {
      await until(`it sees ${expected}`, () => String(this.sees) === String(expected));
    } catch (error) {
      throw new Error(`It sees ${this.sees} and was told ${this.told}. ${(error as Error).message}`);
    }
  }

  /** As a process that is killed: it says nothing any more, leaving least of all. */
  close(): void {
    this.#reading.unsubscribe();
    this.connection.close();
  }
}

/** A watcher as EventSource is one: an event stream, and nothing else. */
export class WatchReader {
  readonly events: { readonly event: string; readonly id: string; readonly data: Record<string, unknown> }[] = [];
  lastEventId = "";
  /** Characters that have come. */
  bytes = 0;
  close: () => void = () => {};
  pause: () => void = () => {};
  resume: () => void = () => {};

  async open(url: string, call: { token?: string; lastEventId?: string } = {}): Promise<this> {
    const { token, lastEventId } = call;
    const headers = { accept: "text/event-stream", ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) };
    const response = await open(url, { token, headers });
    if (response.statusCode !== 200)
      throw Object.assign(new Error(`The answer was ${response.statusCode}.`), { status: response.statusCode });
    const parser = createParser({
      onEvent: ({ event = "", id = "", data }) => {
        if (id !== "") this.lastEventId = id;
        this.events.push({ event, id, data: JSON.parse(data) });
      },
    });
    response.setEncoding("utf8");
    response.on("data", (text: string) => {
      this.bytes += text.length;
      parser.feed(text);
    });
    response.on("error", () => undefined);
    this.pause = () => response.pause();
    this.resume = () => response.resume();
    this.close = () => response.destroy();
    await until("it is connected", () => this.events.length > 0);
    return this;
  }

  /** `join 1`, and of members `members 1 2`. */
  get told(): string[] {
    return this.events.slice(1).map(({ event, data }) => {
      const members = (data["members"] ?? [data]) as { data: unknown }[];
      return [event, ...members.map((one) => JSON.stringify(one.data)).sort()].join(" ");
    });
  }
}
