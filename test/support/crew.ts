import { createParser } from "eventsource-parser";
import { type Client, type ConnectOptions, connect, type Published, type Transport } from "../../src/client.ts";
import { check, type ViolationName } from "../check/checker.ts";
import { Chronicle, type Tally } from "./chronicle.ts";
import { demand, open } from "./http.ts";
import { offsetOf } from "./inbox.ts";
import { until } from "./until.ts";

/** So that a test need not wait for a client to come back, nor for an attempt that hangs: `fetch` keeps connections, and one of those may be what is frozen. */
const FAST = { backoffMsMin: 20, backoffMsMax: 100, connectSecondsMax: 1 };
const TICK_MS = 10;

export const CHANNEL = "faults/line";

/** The people of a story about faults: readers, publishers, and the chronicle of what they were told. */
export class Crew {
  readonly chronicle = new Chronicle();
  readonly clients: Client[] = [];
  readonly loops: BareLoop[] = [];
  readonly #direct: string;
  /** Characters of the padding of each message. */
  padding = 0;
  #start = "";
  #sent = 0;

  private constructor(direct: string) {
    this.#direct = direct;
  }

  /** `direct`: the server itself, past all faults. A first message is published, so that every reader has a place to begin at. */
  static async meet(direct: string): Promise<Crew> {
    const crew = new Crew(direct);
    const data = { first: true };
    const send = async () => storedOf((await demand(`${direct}/channels/${CHANNEL}`, { method: "POST", body: data })).json);
    crew.#start = (await crew.chronicle.publish(CHANNEL, data, send))?.position ?? "";
    return crew;
  }

  get start(): string {
    return this.#start;
  }

  /** A client through `url`. Its errors are cuts, which mend themselves. */
  client(url: string, transport: Transport | "auto", options: ConnectOptions = {}): Client {
    const client = connect(url, { transport, limits: FAST, ...options });
    client.on("error", () => undefined);
    this.clients.push(client);
    return client;
  }

  /** A client that reads from the beginning of the story. */
  reader(url: string, transport: Transport | "auto", options: ConnectOptions & { cid?: string } = {}): Client {
    const client = this.client(url, transport, options);
    this.chronicle.follow(options.cid ?? `${transport}-${this.clients.length}`, client, CHANNEL, this.#start);
    return client;
  }

  /** Resolves when all of them are live. */
  async live(): Promise<void> {
    for (const client of this.clients) await until("it is live", () => /live|closed/.test(client.channel(CHANNEL).state));
  }

  /** Publishes so many messages, one after the other without waiting for the answers; resolves with these. */
  publish(client: Client, count: number): Promise<(Published | null)[]> {
    const sending = Array.from({ length: count }, () => {
      const data = { n: ++this.#sent, sentAt: performance.now(), padding: "x".repeat(this.padding) };
      return this.chronicle.publish(CHANNEL, data, () => client.channel(CHANNEL).publish("message", data));
    });
    return Promise.all(sending);
  }

  /** Publishes all the while, by turns through each client. The function that it returns stops, and waits for every answer. */
  load(publishers: readonly Client[], perSecond: number): () => Promise<void> {
    const began = performance.now();
    const before = this.#sent;
    const answers: Promise<unknown>[] = [];
    const timer = setInterval(() => {
      const due = Math.floor(((performance.now() - began) * perSecond) / 1_000) - (this.#sent - before);
      for (let count = 0; count < due; count++) {
        answers.push(this.publish(publishers[this.#sent % publishers.length] as Client, 1));
      }
    }, TICK_MS);
    return async () => {
      clearInterval(timer);
      await Promise.all(answers);
    };
  }

  get sent(): number {
    return this.#sent;
  }

  /** All faults are over: waits until every client has everything, reads the log, and says what it came to. Throws what the checker finds. */
  async judge(patienceMs = 20_000): Promise<Tally> {
    this.chronicle.calm();
    const { json } = await demand(`${this.#direct}/channels/${CHANNEL}?from=last:1`, { headers: { accept: "application/json" } });
    const head = offsetOf(json.position);
    const { offsets } = this.chronicle;
    for (const cid of offsets.keys()) await until(`${cid} has come to ${head}`, () => (offsets.get(cid) ?? 0) >= head, patienceMs);
    await this.chronicle.final(this.#direct, CHANNEL);
    const { violations } = check(this.chronicle.events);
    if (violations.length > 0) throw new Error(`The checker found:\n${violations.map(({ sentence }) => sentence).join("\n")}`);
    return this.chronicle.tally();
  }

  close(): void {
    for (const one of [...this.clients, ...this.loops]) one.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * The client of many a tutorial, and the negative control: a loop around an event stream that comes back without Last-Event-ID, from `from`,
 * and passes on whatever comes. From `now` it loses what was published while it was away; from `last:20` it is handed some of it twice.
 */
export class BareLoop {
  readonly chronicle = new Chronicle();
  readonly #url: string;
  readonly #from: string;
  #closed = false;
  #end: () => void = () => undefined;
  connections = 0;
  heard = 0;
  /** It stays away, at first and after a cut, until this holds. */
  comesBack: () => boolean;

  constructor(url: string, start: string, { from = "now", comesBack = () => true }: { from?: string; comesBack?: () => boolean } = {}) {
    this.#url = url;
    this.#from = from;
    this.comesBack = comesBack;
    this.chronicle.begin("bare", CHANNEL, start);
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#end();
  }

  /** What it came to, in the story of a crew that was judged: counted, and by the names of what the checker finds. */
  judge(crew: Crew): Tally & { readonly found: readonly ViolationName[] } {
    const { events } = crew.chronicle;
    const final = events.findLast((event) => event.type === "final");
    if (final !== undefined) this.chronicle.write(final);
    const all = [...events, ...this.chronicle.events.filter((event) => event !== final)].sort((a, b) => a.t - b.t);
    const found = new Set(check(all, { violationsMax: 1 }).violations.map(({ name }) => name));
    return { ...this.chronicle.tally(), found: [...found] };
  }

  async #run(): Promise<void> {
    for (;;) {
      while (!this.#closed && !this.comesBack()) await ticked();
      if (this.#closed) return;
      const parser = createParser({
        onEvent: ({ event, id = "", data }) => {
          if (event === "connected") this.connections++;
          if (event !== undefined) return;
          this.heard++;
          this.chronicle.message("bare", CHANNEL, id, JSON.parse(data));
        },
      });
      try {
        const response = await open(`${this.#url}/channels/${CHANNEL}?from=${this.#from}`, {
          headers: { accept: "text/event-stream" },
          onOpen: (end) => {
            this.#end = end;
          },
        });
        response.setEncoding("utf8");
        for await (const text of response) parser.feed(text as string);
      } catch {
        // Cut: it comes back
      }
      await ticked();
    }
  }
}

function ticked(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}

export function storedOf({
  position,
  level,
  duplicate = false,
}: {
  position: string;
  level: Published["level"];
  duplicate?: boolean;
}): Published {
  return { position, level, duplicate };
}
