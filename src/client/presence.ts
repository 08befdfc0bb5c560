import type { ThroughlineError } from "../protocol/error.ts";
import { backoff } from "./backoff.ts";
import { WAIT_SECONDS } from "./bounds.ts";
import type { Channel } from "./channel.ts";
import { createEmitter, type Subscription } from "./emitter.ts";
import { disconnected } from "./faults.ts";
import { MAY_RETRY } from "./may-retry.ts";
import { CLIENT_LIMITS } from "./options.ts";
import { createRoll, type Member, type PresenceAnswer } from "./roll.ts";
import { type ClientClock, SYSTEM_CLOCK, systemRandom } from "./system.ts";
import { onAbort, within } from "./within.ts";

export interface PresenceEvents<Data = unknown> {
  /** Something changed: `members` is another list now. Once for all that came together. */
  change: readonly Member<Data>[];
  join: Member<Data>;
  update: Member<Data>;
  leave: Member<Data>;
  /** What ended it: it is not permitted, or the client was closed. */
  error: ThroughlineError;
}

export interface PresenceOptions {
  /** Names this tab among those of its user: 1-64 letters, digits, `_` and `-`. Default: random. */
  readonly client?: string;
  /** Whether to be told who else is there. Default: true. */
  readonly watch?: boolean;
  /** Leaves when it fires. */
  readonly signal?: AbortSignal;
  /** For tests: time. */
  readonly clock?: ClientClock;
  /** For tests: chance, in [0, 1). */
  readonly random?: () => number;
}

/** Being on a channel, and seeing who is. */
export interface Presence<Data = unknown> extends Disposable {
  /** The name of this tab: its own member is the one with this `client`. */
  readonly client: string;
  /** Everyone who is there, this tab too. The same list until something changes. */
  readonly members: readonly Member<Data>[];
  /** The same by user: a user with three tabs is one user with three members. */
  readonly users: ReadonlyMap<string, readonly Member<Data>[]>;
  /** Says something else of this tab. Resolves once the server has it. Before it has, a later one takes its place. */
  update(data: Data): Promise<void>;
  /** Goes, and sees no more. */
  leave(): Promise<void>;
  on<Name extends keyof PresenceEvents>(name: Name, handler: (value: PresenceEvents<Data>[Name]) => unknown): Subscription;
}

/** Before the server has said how long a lease is. */
const LEASE_SECONDS = 30;

/**
 * Is on a channel with `data`, or without it only watches, until `leave()`. One question goes round: I am here, I know so much, what is new? It renews the lease
 * of this tab, waits at the server for news, and goes over whatever carries the channel: so a switch or a reconnect is no leaving. While that is no WebSocket, it
 * is a request that hangs, for each channel; of those a browser has six at a time to a server that speaks HTTP/1.1.
 *
 * @example
 * const here = presence(client.channel("chat/lobby"), { name: "Ada" });
 * here.on("change", (members) => show(members));
 * await here.leave();
 */
export function presence<Data = unknown>(channel: Channel, data?: Data, options: PresenceOptions = {}): Presence<Data> {
  const { clock = SYSTEM_CLOCK, random = systemRandom, signal, watch = true } = options;
  const { client = random().toString(36).slice(2) + random().toString(36).slice(2) } = options;
  const life = new AbortController();
  const emitter = createEmitter<PresenceEvents<Data>>((error) => (globalThis.reportError ?? console.error)(error));
  const roll = createRoll<Data>(clock, emitter.emit);
  let leaseSeconds = LEASE_SECONDS;
  let turn = 1;
  let isHere = data !== undefined;
  let saying: Promise<void> | undefined;

  const ask = (more: object, until?: AbortSignal): Promise<PresenceAnswer<Data>> =>
    channel.request("$presence", { ...(isHere && { client, turn, data }), ...more }, until && { signal: until });

  /** Rejects once it is over. Two may rest at once, so each listens for itself. */
  const rest = (ms: number): Promise<void> =>
    within(
      clock,
      0,
      life.signal,
      (own) =>
        new Promise((resolve, reject) => {
          own.throwIfAborted();
          const cancel = clock.after(ms, resolve);
          own.onabort = () => {
            cancel();
            reject(own.reason);
          };
        }),
    );

  /** Again and again until it is answered, or refused for good, or over. */
  async function insist(more: () => object, failures = 0): Promise<PresenceAnswer<Data>> {
    for (; ; failures++) {
      try {
        const answer = await ask(more(), life.signal);
        const { late = 0 } = answer;
        if (late < turn) return answer;
        // Whoever bore this name before, the same page before it was loaded anew perhaps, had counted further
        turn = late + 1;
      } catch (error) {
        const fault = disconnected(error);
        if (life.signal.aborted || !MAY_RETRY.test(fault.code)) throw fault;
        await rest(Math.max(fault.retryAfterMs ?? 0, backoff(failures, CLIENT_LIMITS, random())));
      }
    }
  }

  async function stay(): Promise<void> {
    for (let vain = 0; !life.signal.aborted; ) {
      const askedMs = clock.elapsed();
      const wait = Math.min(leaseSeconds / 3, WAIT_SECONDS);
      const answer = await insist(() => (watch ? { ...roll.place(), wait } : {}));
      if (answer.leaseSeconds > 0) leaseSeconds = answer.leaseSeconds;
      if (!watch) await rest((leaseSeconds / 3) * 1_000);
      // Half of what it was given to wait. A server that gives the same at once must not be asked in a hot loop
      else if (roll.take(answer) || clock.elapsed() - askedMs > wait * 500) vain = 0;
      else await rest(backoff(vain++, CLIENT_LIMITS, random()));
    }
  }

  function end(error: ThroughlineError): void {
    if (life.signal.aborted) return;
    life.abort(error);
    roll.end();
    emitter.emit("error", error);
  }

  /** The question that goes round would say it in a while; this says it now, one at a time and the latest last. */
  async function say(): Promise<void> {
    let said: number;
    // What is said in one turn is one thing
    await undefined;
    do {
      said = turn;
      await insist(() => ({}));
    } while (said !== turn);
  }

  async function leave(): Promise<void> {
    if (life.signal.aborted) return;
    life.abort();
    roll.end();
    turn++;
    if (!isHere) return;
    // If it does not come through, the lease ends in a while
    await ask({ leave: true, data: undefined }).catch(() => undefined);
  }

  stay().catch(end);
  onAbort(signal, leave, life);
  // Before the connection hears of it and closes. A page that may come back from the cache is covered by its lease
  globalThis.addEventListener?.("pagehide", ({ persisted }) => persisted || void leave(), { capture: true, signal: life.signal });

  return {
    client,
    get members() {
      return roll.members;
    },
    get users() {
      const users = new Map<string, Member<Data>[]>();
      for (const member of roll.members) users.set(member.user, [...(users.get(member.user) ?? []), member]);
      return users;
    },
    update(next) {
      data = next;
      isHere = true;
      turn++;
      saying ??= say().finally(() => {
        saying = undefined;
      });
      // Whoever does not wait for it need not hear that it was left first
      saying.catch(() => undefined);
      return saying;
    },
    leave,
    on: emitter.on as Presence<Data>["on"],
    [Symbol.dispose]: () => void leave(),
  };
}
