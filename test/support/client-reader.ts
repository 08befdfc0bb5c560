import { type Client, type ConnectOptions, connect, type From, type Transport } from "../../src/client.ts";
import { Refused } from "./http.ts";
import type { Ending } from "./inbox.ts";
import { type Asked, Reader } from "./reader.ts";
import { until } from "./until.ts";

/** So that a test need not wait for a client to come back. */
const LIMITS = { backoffMsMin: 20, backoffMsMax: 200 };

/** The client library as a reader. It comes back by itself. */
export class ClientReader extends Reader {
  readonly client: Client;
  readonly #asked: Asked;
  /** What the client said went wrong. */
  readonly errors: unknown[] = [];

  constructor(asked: Asked, transport: Transport | "auto", options: Pick<ConnectOptions, "clock"> = {}) {
    super(asked.channels[0]?.name ?? "");
    this.#asked = asked;
    const { token } = asked;
    this.client = connect(asked.url, { ...options, transport, limits: LIMITS, ...(token === undefined ? {} : { token }) });
    this.client.on("error", (error) => this.errors.push(error));
    this.client.on("state", (state) => {
      if (state === "failed" || state === "closed") this.inbox.end(this.#why());
    });
  }

  async open(): Promise<this> {
    await Promise.all(this.#asked.channels.map(({ name, from }) => this.subscribe(name, from)));
    return this;
  }

  /** Reads one more channel, and resolves when it is live. */
  async subscribe(name: string, from = ""): Promise<void> {
    const channel = this.client.channel(name);
    const options = from === "" ? {} : { from: fromOf(from) };
    if (from.startsWith("after:")) this.inbox.begin(name, from.slice("after:".length));
    channel.on("gap", (gap) => this.inbox.gap(gap));
    channel.subscribe((message) => this.inbox.message(plain(message)), options);
    channel.on("signal", (signal) => this.inbox.signal(signal));
    let closed = false;
    channel.on("state", (state) => {
      if (state === "live") this.lives++;
      closed = state === "closed";
      if (closed) this.inbox.end(this.#why());
    });
    await until(`${name} is live`, () => channel.state === "live" || channel.state === "gap" || closed || this.inbox.ending !== null);
    const { ending } = this.inbox;
    if (ending !== null) throw new Refused(ending.code, `The client does not read ${name}.`);
    if (!this.inbox.positions.has(name) && channel.position !== null) this.inbox.begin(name, channel.position);
  }

  close(): void {
    this.client.close();
  }

  #why(): Ending {
    const { error = this.errors.at(-1) } = this.client;
    return { code: (error as { code?: string } | undefined)?.code ?? this.client.state };
  }
}

function plain({ channel, event, data, position }: { channel: string; event: string; data: unknown; position: string }) {
  return { channel, event, data, position };
}

/** The text form of a From, as an application writes it for the client. */
function fromOf(text: string): From {
  const colon = text.indexOf(":");
  const rest = text.slice(colon + 1);
  if (text.startsWith("last:")) return { last: Number(rest) };
  if (text.startsWith("since:")) return { since: rest };
  if (text.startsWith("after:")) return { after: rest };
  return text as "now" | "start";
}
