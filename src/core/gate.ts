import type { Clock } from "../protocol/clock.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { type Action, ANONYMOUS, type Authenticate, type Authorize, type Credentials, type Identity } from "./identity.ts";
import { textOfThrown } from "./thrown.ts";

/** A change is so far behind whatever was asked in the same millisecond before it. */
const BEHIND_MS = 0.001;

export interface GateOptions {
  readonly authenticate: Authenticate | undefined;
  readonly authorize: Authorize | undefined;
  readonly clock: Clock;
  readonly secondsMax: number;
  readonly revocationsMax: number;
  readonly warn: (sentence: string) => void;
}

/**
 * The one gate. Every transport, page and post asks here, so the answer cannot differ between them.
 *
 * `authorize` answers at once where the application's function does: a promise costs a turn, and publishing asks for each message.
 */
export class Gate {
  readonly #options: GateOptions;
  /** The moment of the last revocation or review. */
  #changed = 0;
  /** Up to which moment whoever asked is revoked, by identity, the one that was told first in front. */
  readonly #revoked = new Map<string, number>();
  /** The latest of those that are remembered no more. */
  #forgotten = 0;
  #reviewed = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /**
   * Now, by the monotonic clock, and behind every revocation and review so far: whoever notes it before asking can tell afterwards whether the answer is older
   * than one of them.
   */
  get moment(): number {
    return Math.max(this.#changed, this.#options.clock.elapsed());
  }

  /** Who is this? Throws `unauthenticated`, `expired`, or `overloaded` if the application does not say in time. */
  async authenticate(credentials: Credentials): Promise<Identity> {
    const { authenticate, clock } = this.#options;
    if (authenticate === undefined) return ANONYMOUS;
    const identity = await this.#inTime("authenticate", () => authenticate(credentials));
    if (identity === null) return ANONYMOUS;
    // Only null is anonymous: a hook that forgets to return refuses.
    if (identity === false || identity === undefined) {
      throw new ThroughlineError("unauthenticated", "Who you are was not accepted. Send a valid token in the Authorization header.");
    }
    if (typeof identity.id !== "string") throw this.#failed("authenticate", new TypeError("an identity needs an id, which is a text"));
    if (hasExpired(identity, clock.now())) throw expired();
    return identity;
  }

  /** Whoever began to ask before now, or before so long ago, and turns out to be this, is not let in any more. Tells that moment. */
  revoke(id: string, agoMs = 0): number {
    const { clock, revocationsMax } = this.#options;
    const until = agoMs > 0 ? Math.max(this.#revoked.get(id) ?? 0, clock.elapsed() - agoMs) : this.#change();
    this.#revoked.delete(id);
    this.#revoked.set(id, until);
    if (this.#revoked.size > revocationsMax) {
      const [oldest, forgotten] = this.#revoked.entries().next().value as [string, number];
      this.#revoked.delete(oldest);
      this.#forgotten = Math.max(this.#forgotten, forgotten);
    }
    return until;
  }

  /** Why this identity may not enter, having begun to ask at a moment: it was revoked since, or nobody remembers whether it was. */
  refusal({ id }: Identity, asked: number): ThroughlineError | null {
    if ((this.#revoked.get(id) ?? 0) > asked) return revoked();
    if (this.#forgotten <= asked) return null;
    return new ThroughlineError("overloaded", "Permissions changed too often while you were on your way. Come back.", {
      retryAfterMs: 1_000,
    });
  }

  /** Throws if this identity may do nothing any more, having begun to ask at a moment. */
  checkIdentity(identity: Identity, asked: number): void {
    const refused = this.refusal(identity, asked);
    if (refused !== null) throw refused;
    if (hasExpired(identity, this.#options.clock.now())) throw expired();
  }

  /** A permission to read that was asked for before now is asked for again before it counts. */
  review(): void {
    this.#reviewed = this.#change();
  }

  /** True of what was asked for at a moment, if there was a review since. */
  isOvertaken(asked: number): boolean {
    return this.#reviewed > asked;
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

  #change(): number {
    this.#changed = this.moment + BEHIND_MS;
    return this.#changed;
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
    this.#options.warn(`The application's ${what} threw, so the request was refused: ${textOfThrown(error)}`);
    return new ThroughlineError("internal", `The application's ${what} failed. The server's log has the cause.`);
  }
}

/** True from `expiresAt` on, and always where that is not a number: what cannot be compared must not last for ever. */
export function hasExpired({ expiresAt }: Identity, nowMs: number): boolean {
  return expiresAt !== undefined && !(expiresAt > nowMs);
}

export function revoked(): ThroughlineError {
  return new ThroughlineError("revoked", "Your access was revoked.");
}

function expired(): ThroughlineError {
  return new ThroughlineError("expired", "The token has expired. Get a fresh one and come back.");
}

function check(allowed: boolean, action: Action, channel: string): void {
  // Anything but true is a no: a hook that forgets to return must not open the door.
  if (allowed !== true)
    throw new ThroughlineError(
      "forbidden",
      `You have no permission for ${JSON.stringify(action)} on ${channel}. Ask the application for it.`,
    );
}
