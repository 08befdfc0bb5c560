import { ThroughlineError } from "../protocol/error.ts";
import { type BackoffRules, backoff } from "./backoff.ts";
import { STEADY_MS } from "./bounds.ts";

/**
 * The connection as a pure machine: (state, event) -> state. What is to be done is part of the state: which pipes must be open, and what
 * to wait for; the shell (`connection.ts`) makes it so and tells what happened. One table (`connection-state.test.ts`) says what every
 * state does with every event.
 *
 *     idle ──want──> connecting ──up──> connected ──cut──> reconnecting ──up──> connected
 *      ^                 │                 │  ^ │               │
 *      └──────rest───────┴──────rest───────┘  │ └─replace: a second pipe beside the first; `proven` ends the first
 *                                             └─up── reconnecting <──online── offline <──offline── (connecting connected reconnecting)
 *     from anywhere: close ──> closed;   an error that is final ──> failed ──replace (the application's own act)──> connecting
 *
 * Two pipes may be open: `current`, which is believed, and `next`, which still has to prove itself. Nothing ever closes `current` for
 * the sake of `next` before `next` is proven (race R5).
 */
export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "offline" | "closed" | "failed";

export interface Machine {
  readonly state: ConnectionState;
  /** The pipes that must be open, numbered from 1; 0 is none. */
  readonly current: number;
  readonly next: number;
  /** The number given last. */
  readonly made: number;
  /** Tell `retry` in so many milliseconds, once. Another object is another wait. */
  readonly wait: { readonly ms: number } | null;
  /** Cuts and failed attempts since a pipe last stood for STEADY_MS. */
  readonly failures: number;
  /** Why it is `failed` or `closed`. */
  readonly error: ThroughlineError | undefined;
}

export type Happening =
  /**
   * There is something to carry; there is nothing any more; another pipe is needed (other channels, another transport); the wait is over;
   * the network came or went, or the page did, into the back/forward cache, where no pipe may be open; the application is done.
   */
  | { readonly type: "want" | "rest" | "replace" | "retry" | "online" | "offline" | "close" }
  /** Up: its first frame came. Proven: `next` serves every channel and is as far as `current`. */
  | { readonly type: "up" | "proven"; readonly pipe: number }
  | Cut;

/** A pipe ended that nobody closed. */
export interface Cut {
  readonly type: "cut";
  readonly pipe: number;
  readonly error: ThroughlineError;
  /** The server does not want us back, or the same act would fail again. */
  readonly final: boolean;
  /** How long it stood after its first frame. */
  readonly stoodMs: number;
}

export interface Rules extends BackoffRules {
  /** Undefined: it never gives up. */
  readonly retriesMax: number | undefined;
}

export const START: Machine = { state: "idle", current: 0, next: 0, made: 0, wait: null, failures: 0, error: undefined };

/** `fraction` is drawn for this step, in [0, 1). */
export function step(machine: Machine, event: Happening, rules: Rules, fraction: number): Machine {
  const { state, current, next } = machine;
  const turn = (change: Partial<Machine>): Machine => ({ ...machine, ...change });
  const open = (to: ConnectionState): Machine =>
    turn({ state: to, next: machine.made + 1, made: machine.made + 1, wait: null, error: undefined });
  const stop = (to: ConnectionState, error?: ThroughlineError): Machine => ({ ...START, state: to, made: machine.made, error });
  const isNext = (event as Cut).pipe === next;
  if (state === "closed") return machine;
  if (event.type === "close") return stop("closed", new ThroughlineError("closed", "Closed."));
  if (state === "idle") return event.type === "want" ? open("connecting") : machine;
  if (state === "failed") return event.type === "replace" ? open("connecting") : machine;
  switch (event.type) {
    case "rest":
      return stop("idle");
    case "replace":
      return open(state);
    case "retry":
      // While one runs, it is for `replace` to say whether another is still needed
      return current ? turn({ wait: null }) : open(state);
    case "up":
    case "proven":
      // The first frame is enough where nothing runs; beside a pipe that runs it takes more, also if that one is cut in between
      return isNext && (event.type === "proven" || !current) ? turn({ state: "connected", current: next, next: 0, wait: null }) : machine;
    case "online":
      if (state === "connected") return machine;
      // What is being tried may hang in the network that is gone
      return open(state === "offline" ? "reconnecting" : state);
    case "offline":
      // Browsers err (a server on localhost needs no network), so it is tried all the same, if rarely
      return { ...stop("offline"), wait: { ms: rules.backoffMsMax } };
    case "cut":
      return cut(event);
    default:
      return machine;
  }

  function cut({ pipe, error, final, stoodMs }: Cut): Machine {
    if (!isNext && pipe !== current) return machine;
    const left = turn(isNext ? { next: 0 } : { state: "reconnecting", current: 0 });
    // One that is on its way will do
    if (left.next) return left;
    const failures = stoodMs >= STEADY_MS ? 0 : machine.failures;
    // A failed upgrade leaves the old pipe untouched (D6)
    if (!left.current && (final || failures >= (rules.retriesMax as number))) {
      return stop("failed", final ? error : new ThroughlineError("retries_exhausted", "Gave up.", { cause: error }));
    }
    // What the server said, or the window; both once attempts fail in a row, since a hint of 0 must not become a hot loop
    const windowMs = backoff(failures, rules, fraction);
    return { ...left, failures: failures + 1, wait: { ms: Math.max(error.retryAfterMs ?? windowMs, failures && windowMs) } };
  }
}
