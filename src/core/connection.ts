import type { Clock } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import type { Gate } from "./gate.ts";
import type { Identity } from "./identity.ts";
import type { Reader } from "./reader.ts";

export type TransportName = "sse" | "websocket" | "long-poll" | "local";

/** One open pipe, as the hub sees it. */
export interface Connection {
  readonly id: string;
  readonly transport: TransportName;
  readonly identity: Identity;
  /** Its readers, one per channel. */
  readers(): Iterable<Reader>;
  /** Once per heartbeat: show that we live, and notice that the other end does not. */
  beat(): void;
  /** Says why, and closes. */
  end(error: ThroughlineError): void;
  /** Its place in the registry. */
  slot: number;
}

/** How many times per heartbeat interval the registry looks at a share of the connections, so that 100,000 heartbeats do not come in one turn. */
const SHARES = 60;

/** The open pipes of this node: heartbeats, expiry and revocation reach them from here. */
export class Connections {
  readonly #all: Connection[] = [];
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #gate: Gate;
  #share = 0;
  #ticking = false;
  #closed = false;

  constructor(clock: Clock, limits: Limits, gate: Gate) {
    this.#clock = clock;
    this.#limits = limits;
    this.#gate = gate;
  }

  get size(): number {
    return this.#all.length;
  }

  [Symbol.iterator](): Iterator<Connection> {
    return this.#all.slice()[Symbol.iterator]();
  }

  /** Throws `overloaded` when the node holds as many as it may, `restart` when it is closing. */
  admit(): void {
    if (this.#closed) throw new ThroughlineError("restart", "The server is stopping. Come back in a moment.", { retryAfterMs: 1_000 });
    if (this.#all.length < this.#limits.connectionsMax) return;
    throw new ThroughlineError("overloaded", "The server holds as many connections as it may. Come back later.", { retryAfterMs: 5_000 });
  }

  add(connection: Connection): void {
    connection.slot = this.#all.push(connection) - 1;
    if (connection.identity.expiresAt !== undefined) this.#watchExpiry(connection, connection.identity.expiresAt);
    if (this.#ticking) return;
    this.#ticking = true;
    this.#tick();
  }

  /** False if it had left before. */
  remove(connection: Connection): boolean {
    if (this.#all[connection.slot] !== connection) return false;
    const last = this.#all.pop()!;
    if (last !== connection) {
      this.#all[connection.slot] = last;
      last.slot = connection.slot;
    }
    connection.slot = -1;
    return true;
  }

  /** Ends every pipe of an identity. */
  revoke(id: string): void {
    const error = new ThroughlineError("revoked", "Your access was revoked.");
    for (const connection of this) if (connection.identity.id === id) connection.end(error);
  }

  /** Asks `authorize` again for every live reader (of one identity, if named) and ends those that are refused now. */
  async review(id?: string): Promise<void> {
    const asked: Promise<void>[] = [];
    for (const connection of this) {
      if (id !== undefined && connection.identity.id !== id) continue;
      for (const reader of [...connection.readers()]) asked.push(this.#review(connection, reader));
    }
    await Promise.all(asked);
  }

  /** Ends all, spread over time on the client's side by the jitter of `retryAfterMs`. */
  close(error: (spread: number) => ThroughlineError): void {
    this.#closed = true;
    const all = [...this];
    for (const [index, connection] of all.entries()) connection.end(error(index / all.length));
  }

  async #review(connection: Connection, reader: Reader): Promise<void> {
    const { name } = reader.channel;
    if (await this.#gate.allows(connection.identity, "subscribe", name)) return;
    reader.end();
    reader.outlet.refuse(name, new ThroughlineError("revoked", `You may no longer read ${name}.`));
  }

  /** Timers are monotonic and expiry is wall time, so a long wait looks at the wall clock again at least each minute. */
  #watchExpiry(connection: Connection, expiresAt: number): void {
    const left = expiresAt - this.#clock.now();
    this.#clock.after(Math.min(Math.max(left, 0), 60_000), () => {
      if (this.#all[connection.slot] !== connection) return;
      if (this.#clock.now() < expiresAt) this.#watchExpiry(connection, expiresAt);
      else connection.end(new ThroughlineError("expired", "Your token has expired. Come back with a fresh one.", { retryAfterMs: 0 }));
    });
  }

  #tick(): void {
    this.#clock.after((this.#limits.heartbeatSeconds * 1_000) / SHARES, () => {
      if (this.#all.length === 0) {
        this.#ticking = false;
        return;
      }
      this.#share = (this.#share + 1) % SHARES;
      for (let index = this.#share; index < this.#all.length; index += SHARES) this.#all[index]!.beat();
      this.#tick();
    });
  }
}
