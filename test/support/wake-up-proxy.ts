import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { splitter, type Unit } from "./broker-wire.ts";
import type { Address } from "./brokers.ts";
import { seededRandom } from "./clock.ts";

const LATE_MS = 300;

/**
 * What becomes of a wake-up. `twice`: once now, and once more after a while. `late`: after a while, and what comes meanwhile goes ahead of it. `swapped`: right behind the next one
 * of its connection, or after a while, if there is none.
 */
export type Fate = "passed" | "lost" | "twice" | "late" | "swapped";

/** A wake-up of a node: what it is told of a channel, or of one who is there. */
export interface WakeUp {
  /** The subject, or the channel of Pub/Sub. */
  readonly place: string;
  readonly bytes: Buffer;
}

interface ProxyOptions {
  readonly kind: "redis" | "nats";
  readonly port: number;
  /** Only what is told at such places is touched. */
  readonly places: RegExp;
  /** A while, by chance. */
  readonly lateMs: () => number;
}

/**
 * A way to a broker that is whole, but for the wake-ups: of these each has its fate, and nobody is told. What is asked, what is answered and what is said of the connection
 * passes as it came, byte for byte and in its order.
 */
export class WakeUpProxy implements AsyncDisposable {
  readonly port: number;
  readonly counts: Record<Fate, number> = { passed: 0, lost: 0, twice: 0, late: 0, swapped: 0 };
  /** Asked of each wake-up. */
  fate: (wakeUp: WakeUp) => Fate = () => "passed";
  readonly #server: Server;
  readonly #options: ProxyOptions;
  readonly #ends = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(server: Server, options: ProxyOptions) {
    this.#server = server;
    this.#options = options;
    this.port = (server.address() as { port: number }).port;
    server.on("connection", (client) => this.#accept(client));
  }

  static async open(options: ProxyOptions): Promise<WakeUpProxy> {
    const server = createServer({ noDelay: true }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return new WakeUpProxy(server, options);
  }

  /** Wake-ups that did not come as they were sent. */
  get injections(): number {
    return this.counts.lost + this.counts.twice + this.counts.late + this.counts.swapped;
  }

  /** Wake-ups that will still come. */
  get pending(): number {
    return this.#timers.size;
  }

  /** From now on they come as they are sent. */
  heal(): void {
    this.fate = () => "passed";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const end of this.#ends) end.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(client: Socket): void {
    const { kind, port, places } = this.#options;
    const server = connect({ port, host: "127.0.0.1", noDelay: true });
    for (const [end, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#ends.add(end);
      end.on("error", () => undefined);
      end.on("close", () => {
        this.#ends.delete(end);
        other.destroy();
      });
    }
    client.pipe(server);
    const split = splitter(kind);
    const swapped: Buffer[] = [];
    server.on("data", (bytes) => {
      for (const { bytes: whole, place } of split(bytes)) {
        if (place === null || !places.test(place)) client.write(whole);
        else this.#tell(client, { place, bytes: whole }, swapped);
      }
    });
  }

  #tell(client: Socket, wakeUp: WakeUp & Unit, swapped: Buffer[]): void {
    const fate = this.fate(wakeUp);
    const { bytes } = wakeUp;
    this.counts[fate]++;
    if (fate === "passed" || fate === "twice") {
      client.write(bytes);
      for (const before of swapped.splice(0)) client.write(before);
    }
    if (fate === "late" || fate === "twice") this.#later(() => client.write(bytes));
    if (fate === "swapped") {
      swapped.push(bytes);
      this.#later(() => {
        const index = swapped.indexOf(bytes);
        if (index >= 0) client.write(swapped.splice(index, 1)[0]!);
      });
    }
  }

  #later(act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, this.#options.lateMs());
    this.#timers.add(timer);
  }
}

/** Such a part of the wake-ups has each fate, by a seed; the others pass. */
export function fates(random: { fraction(): number }, parts: Partial<Record<Fate, number>>): () => Fate {
  return () => {
    let left = random.fraction();
    for (const [fate, part] of Object.entries(parts) as [Fate, number][]) {
      if (left < part) return fate;
      left -= part;
    }
    return "passed";
  };
}

/** A way of its own for a node to its broker. Where a fate takes a while, that is up to 300 ms. */
export function wayTo({ kind, port }: Address, random = seededRandom(1)): Promise<WakeUpProxy> {
  const lateMs = () => random.fraction() * LATE_MS;
  return WakeUpProxy.open({ kind: kind === "nats" ? "nats" : "redis", port, places: /:wake$|\.told\./, lateMs });
}
