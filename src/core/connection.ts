import type { Cancel, Clock } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { type Gate, hasExpired, revoked } from "./gate.ts";
import type { Identity } from "./identity.ts";
import type { Reader } from "./reader.ts";
import { ticks } from "./ticks.ts";

export type TransportName = "sse" | "websocket" | "long-poll" | "local";

/** One open pipe, as the hub sees it. */
export interface Connection {
  readonly id: string;
  readonly transport: TransportName;
  readonly identity: Identity;
  /** The moment, as the gate has it, when this one began to ask who it is. */
  readonly asked: number;
  /** Its readers, one per channel. */
  readers(): Iterable<Reader>;
  /** Once per heartbeat: show that we live, and notice that the other end does not. */
  beat(): void;
  /** Says why, and closes. */
  end(error: ThroughlineError): void;
  /** Its place in the registry. */
  slot: number;
}

/** A heartbeat interval has this many ticks, and each connection its own: 100,000 heartbeats must not come in one turn. */
const SHARES = 60;
/** How often expiry is looked at. By the wall clock each time, since that is what tokens mean and it may jump. */
const EXPIRY_LOOK_MS = 500;

/** The open pipes of this node: heartbeats, expiry and revocation reach them from here. */
export class Connections {
  /** By share. A connection stays in the share it came to, or its heartbeats would come too late when others leave. */
  readonly #shares: Connection[][] = Array.from({ length: SHARES }, () => []);
  readonly #expiring = new Set<Connection>();
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #gate: Gate;
  #size = 0;
  #entered = 0;
  #tick = 0;
  #cancelTick: Cancel | null = null;
  #cancelLook: Cancel | null = null;
  #closed = false;

  constructor(clock: Clock, limits: Limits, gate: Gate) {
    this.#clock = clock;
    this.#limits = limits;
    this.#gate = gate;
  }

  get size(): number {
    return this.#size;
  }

  [Symbol.iterator](): Iterator<Connection> {
    return this.#shares.flat()[Symbol.iterator]();
  }

  /** Throws `overloaded` when the node holds as many as it may, `restart` when it is closing. */
  admit(): void {
    const refused = this.#refusal();
    if (refused !== null) throw refused;
  }

  /** False, and the connection is ended, if it may not enter any more: others may have, or it was revoked, while it was on its way. */
  add(connection: Connection): boolean {
    const refused = this.#refusal() ?? this.#gate.refusal(connection.identity, connection.asked);
    if (refused !== null) {
      connection.end(refused);
      return false;
    }
    const share = this.#entered++ % SHARES;
    connection.slot = share + SHARES * (this.#shares[share]!.push(connection) - 1);
    this.#size++;
    this.#cancelTick ??= this.#beginTicks();
    if (connection.identity.expiresAt !== undefined) {
      this.#expiring.add(connection);
      this.#cancelLook ??= this.#nextLook();
    }
    return true;
  }

  /** False if it had left before. */
  remove(connection: Connection): boolean {
    const { slot } = connection;
    const share = this.#shares[slot % SHARES];
    const index = Math.floor(slot / SHARES);
    if (share === undefined || share[index] !== connection) return false;
    const last = share.pop()!;
    if (last !== connection) {
      share[index] = last;
      last.slot = slot;
    }
    connection.slot = -1;
    this.#size--;
    this.#expiring.delete(connection);
    if (this.#size === 0) this.#rest();
    return true;
  }

  /** Ends every pipe of an identity that began to ask before now, or before so long ago, also those that are on their way. Tells that moment. */
  revoke(id: string, agoMs = 0): number {
    const until = this.#gate.revoke(id, agoMs);
    for (const connection of this) if (connection.identity.id === id && connection.asked < until) connection.end(revoked());
    return until;
  }

  /**
   * Asks again for readers that have not begun, if they were allowed at a moment and there was a review since: it did not see them, as every
   * later one does. Those that are refused now have ended.
   */
  async recheck(connection: Connection, readers: Iterable<Reader>, asked: number): Promise<void> {
    if (this.#gate.isOvertaken(asked)) await Promise.all([...readers].map((reader) => this.#review(connection, reader)));
  }

  /** Asks `authorize` again for every live reader (of one identity, if named), and ends those that are refused now; those that are on their way see to it themselves. */
  async review(id?: string): Promise<void> {
    this.#gate.review();
    const asked: Promise<void>[] = [];
    for (const connection of this) {
      if (id !== undefined && connection.identity.id !== id) continue;
      for (const reader of [...connection.readers()]) asked.push(this.#review(connection, reader));
    }
    await Promise.all(asked);
  }

  /** Ends all; each is told its own part of a window, of which all parts are alike: `from` and `to` are in 0 to 1. */
  close(error: (from: number, to: number) => ThroughlineError): void {
    this.#closed = true;
    this.#rest();
    const all = [...this];
    for (const [index, connection] of all.entries()) connection.end(error(index / all.length, (index + 1) / all.length));
  }

  #refusal(): ThroughlineError | null {
    if (this.#closed) return new ThroughlineError("restart", "The server is stopping. Come back in a moment.", { retryAfterMs: 1_000 });
    if (this.#size < this.#limits.connectionsMax) return null;
    const sentence = "The server holds as many connections as it may. Come back later.";
    return new ThroughlineError("overloaded", sentence, { retryAfterMs: 5_000 });
  }

  async #review(connection: Connection, reader: Reader): Promise<void> {
    const { name } = reader.channel;
    if (await this.#gate.allows(connection.identity, "subscribe", name)) return;
    reader.refuse(new ThroughlineError("revoked", `You may no longer read ${name}.`));
  }

  #beginTicks(): Cancel {
    return ticks(this.#clock, (this.#limits.heartbeatSeconds * 1_000) / SHARES, () => {
      this.#tick = (this.#tick + 1) % SHARES;
      // A copy: one that is found dead leaves.
      for (const connection of this.#shares[this.#tick]!.slice()) connection.beat();
    });
  }

  #nextLook(): Cancel {
    return this.#clock.after(EXPIRY_LOOK_MS, () => {
      const nowMs = this.#clock.now();
      for (const connection of this.#expiring) {
        if (!hasExpired(connection.identity, nowMs)) continue;
        this.#expiring.delete(connection);
        connection.end(new ThroughlineError("expired", "Your token has expired. Come back with a fresh one.", { retryAfterMs: 0 }));
      }
      this.#cancelLook = this.#expiring.size === 0 ? null : this.#nextLook();
    });
  }

  #rest(): void {
    this.#cancelTick?.();
    this.#cancelLook?.();
    this.#cancelTick = null;
    this.#cancelLook = null;
  }
}
