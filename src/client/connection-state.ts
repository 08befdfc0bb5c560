import { ThroughlineError } from "../protocol/error.ts";
import { type BackoffRules, backoff } from "./backoff.ts";

/**
 * The connection as a pure machine: (state, event) -> state. What is to be done is part of the state: which pipes must be open, and what
 * to wait for; the shell (`connection.ts`) makes it so and tells what happened. One table (`connection-state.test.ts`) says what every
 * state does with every event.
 *
 *     idle ──want──> connecting ──up──> connected ──cut──> reconnecting ──up──> connected
 *      ^                 │                 │  ^ │               │
 *      └──────rest───────┴──────rest───────┘  │ └─replace: a second pipe beside the first; `proven` ends the first
 *                                             └─up── offline <──offline / hide── (connecting connected reconnecting)
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
  /** Why it is `failed`. */
  readonly error: ThroughlineError | undefined;
}

export type Happening =
  /**
   * There is something to carry; there is nothing any more; another pipe is needed (other channels, another transport, a hole); the wait
   * is over; what the browser says; the page goes into the back/forward cache, which no open pipe may do (`online` is its way back); the
   * application is done.
   */
  | { readonly type: "want" | "rest" | "replace" | "retry" | "online" | "offline" | "hide" | "close" }
  /** Up: its first frame came, or `current` was heard again. Proven: `next` serves every channel and is as far as `current`. */
  | { readonly type: "up" | "proven"; readonly pipe: number }
  | Cut;

/** A pipe ended that nobody closed. */
export interface Cut {
  readonly type: "cut";
  readonly pipe: number;
  readonly error: ThroughlineError;
  /** The server does not want us back, or the same act would fail again. */
  readonly final: boolean;
  /** If it was `next`: `current` alone will not do, since it lacks a channel, or is of another transport than was asked for. */
  readonly needed: boolean;
  /** How long it stood after its first frame. */
  readonly stoodMs: number;
}

export interface Rules extends BackoffRules {
  readonly retriesMax: number;
}

export const START: Machine = { state: "idle", current: 0, next: 0, made: 0, wait: null, failures: 0, error: undefined };

/** How long a pipe must stand before the backoff window begins anew: a server that accepts and cuts must not be asked three times a second. */
export const STEADY_MS = 10_000;

/** `fraction` is drawn for this step, in [0, 1). */
export function step(machine: Machine, event: Happening, rules: Rules, fraction: number): Machine {
  const { state, current, next, made } = machine;
  const turn = (to: ConnectionState, change?: Partial<Machine>): Machine => ({ ...machine, state: to, ...change });
  const open = (to: ConnectionState): Machine => turn(to, { next: made + 1, made: made + 1, wait: null, error: undefined });
  const stop = (to: ConnectionState, error?: ThroughlineError): Machine => ({ ...START, state: to, made, error });
  const isNext = "pipe" in event && event.pipe === next;
  if (state === "closed") return machine;
  if (event.type === "close") return stop("closed");
  if (event.type === "replace" && state === "failed") return open("connecting");
  if (event.type === "want" && state === "idle") return open("connecting");
  if (state === "idle" || state === "failed") return machine;
  switch (event.type) {
    case "rest":
      return stop("idle");
    case "hide":
      return stop("offline");
    case "replace":
      return state === "offline" ? machine : open(state);
    case "retry":
      return next ? machine : open(state);
    case "up":
      if (isNext && !current) return turn("connected", { current: next, next: 0, wait: null });
      return event.pipe === current ? turn("connected") : machine;
    case "proven":
      return isNext && current ? turn(state, { current: next, next: 0 }) : machine;
    case "online":
      if (state === "connected") return machine;
      // Whatever was open or being tried may hang in the network that is gone
      return { ...open(state === "offline" ? "reconnecting" : state), current: 0 };
    case "offline":
      if (state === "offline") return machine;
      // Browsers err (a server on localhost needs no network): the pipe stays until it is cut, and retries become rare but do not end
      return turn("offline", { next: 0, wait: current ? null : { ms: rules.backoffMsMax } });
    case "cut":
      return cut(event);
    default:
      return machine;
  }

  function cut({ pipe, error, final, needed, stoodMs }: Cut): Machine {
    if (!isNext && pipe !== current) return machine;
    const to = isNext || state !== "connected" ? state : "reconnecting";
    const left = turn(to, isNext ? { next: 0 } : { current: 0 });
    // A failed upgrade leaves the old pipe untouched (D6); and one that is on its way will do
    if (isNext ? current && !needed : next) return left;
    const failures = stoodMs >= STEADY_MS ? 0 : machine.failures;
    // Nothing that happens to another pipe ends the one that runs
    if (final && !left.current) return stop("failed", error);
    if (failures >= rules.retriesMax) {
      return stop("failed", new ThroughlineError("retries_exhausted", `Gave up after ${failures} retries.`, { cause: error }));
    }
    // What the server said, or the window; both once attempts fail in a row, since a hint of 0 must not become a hot loop
    const hintMs = error.retryAfterMs ?? (error.code === "expired" ? 0 : -1);
    const ms = hintMs < 0 || failures ? Math.max(hintMs, backoff(failures, rules, fraction)) : hintMs;
    return { ...left, failures: failures + 1, wait: { ms } };
  }
}
