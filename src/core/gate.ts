import type { Clock } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { type Action, ANONYMOUS, type Authenticate, type Authorize, type Credentials, type Identity } from "./identity.ts";

export interface GateOptions {
  readonly authenticate: Authenticate | undefined;
  readonly authorize: Authorize | undefined;
  readonly clock: Clock;
  readonly secondsMax: number;
  readonly warn: (sentence: string) => void;
}

/** How long a revocation is remembered: no request that was let in before it is under way any more. */
const REVOKED_MS = 600_000;

/**
 * The one gate. Every transport, page and post asks here, so the answer cannot differ between them.
 *
 * `authorize` answers at once where the application's function does: a promise costs a turn, and publishing asks for each message.
 */
export class Gate {
  readonly #options: GateOptions;
  /** Counted, so that what was asked before one can be told from what was asked after it. */
  #revocations = 0;
  readonly #revoked = new Map<string, { readonly number: number; readonly atMs: number }>();
  /** How many there had been when an identity was asked for last. */
  readonly #asked = new WeakMap<Identity, number>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Who is this? Throws `unauthenticated`, `expired`, or `overloaded` if the application does not say in time. */
  async authenticate(credentials: Credentials): Promise<Identity> {
    const { authenticate, clock } = this.#options;
    if (authenticate === undefined) return ANONYMOUS;
    const revocations = this.#revocations;
    const identity = await this.#inTime("authenticate", () => authenticate(credentials));
    if (identity === null) return ANONYMOUS;
    // Only null is anonymous: a hook that forgets to return refuses.
    if (identity === false || identity === undefined) {
      throw new ThroughlineError("unauthenticated", "Who you are was not accepted. Send a valid token in the Authorization header.");
    }
    if (typeof identity.id !== "string") throw this.#failed("authenticate", new TypeError("an identity needs an id, which is a text"));
    if (hasExpired(identity, clock.now())) throw expired();
    this.#asked.set(identity, Math.max(revocations, this.#asked.get(identity) ?? 0));
    return identity;
  }

  /** Whoever was authenticated as this before now is not let in any more. */
  revoke(id: string): void {
    const atMs = this.#options.clock.elapsed();
    for (const [other, { atMs: thenMs }] of this.#revoked) {
      if (atMs - thenMs < REVOKED_MS) break;
      this.#revoked.delete(other);
    }
    this.#revoked.delete(id);
    this.#revoked.set(id, { number: ++this.#revocations, atMs });
  }

  /** True of an identity that was authenticated before it was revoked: its pipe was on its way meanwhile. */
  wasRevoked(identity: Identity): boolean {
    return (this.#revoked.get(identity.id)?.number ?? 0) > (this.#asked.get(identity) ?? Number.POSITIVE_INFINITY);
  }

  /** May this identity do that? Throws, or rejects, with `forbidden`. */
  authorize(identity: Identity, action: Action, channel: string): void | Promise<void> {
    const { authorize, clock } = this.#options;
    if (hasExpired(identity, clock.now())) throw expired();
    if (authorize === undefined) return;
    let answer: boolean | Promise<boolean>;
    try {
      answer = authorize({ identity, action, channel });
    } catch (error) {
      throw this.#failed("authorize", error);
    }
    if (answer === true) return;
    if (typeof answer === "object") return this.#inTime("authorize", () => answer).then((allowed) => check(allowed, action, channel));
    check(answer, action, channel);
  }

  /** The same as a yes or no, for live readers. */
  async allows(identity: Identity, action: Action, channel: string): Promise<boolean> {
    try {
      await this.authorize(identity, action, channel);
      return true;
    } catch {
      return false;
    }
  }

  #inTime<T>(what: string, ask: () => T | Promise<T>): Promise<T> {
    const { clock, secondsMax } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(secondsMax * 1000, () => {
        reject(new ThroughlineError("overloaded", `The application's ${what} did not answer within ${secondsMax} s. Try again.`));
      });
      Promise.resolve()
        .then(ask)
        .then(resolve, (error) => reject(this.#failed(what, error)))
        .finally(cancel);
    });
  }

  /** A fault in the application's hook is never a yes, and its text is for the operator only. */
  #failed(what: string, error: unknown): ThroughlineError {
    if (error instanceof ThroughlineError) return error;
    this.#options.warn(`The application's ${what} threw, so the request was refused: ${String(error)}`);
    return new ThroughlineError("internal", `The application's ${what} failed. The server's log has the cause.`);
  }
}

/** True from `expiresAt` on, and always where that is not a number: what cannot be compared must not last for ever. */
export function hasExpired({ expiresAt }: Identity, nowMs: number): boolean {
  return expiresAt !== undefined && !(expiresAt > nowMs);
}

function expired(): ThroughlineError {
  return new ThroughlineError("expired", "The token has expired. Get a fresh one and come back.");
}

function check(allowed: boolean, action: Action, channel: string): void {
  // Anything but true is a no: a hook that forgets to return must not open the door.
  if (allowed !== true)
    throw new ThroughlineError("forbidden", `You may not ${action} on ${channel}. Ask the application for the permission.`);
}
