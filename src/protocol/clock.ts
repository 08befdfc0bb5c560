/** Ends a timer. Calling it twice, or after the timer has fired, does nothing. */
export type Cancel = () => void;

/**
 * Time, as the pure rooms see it: they never call `Date.now` or `setTimeout`, so that a test owns time at both ends
 * and one seed replays one history.
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump; only for what people read and for expiry. */
  now(): number;
  /** Monotonic milliseconds with fractions, from an arbitrary start. For durations. */
  elapsed(): number;
  /** Calls `act` once, `delayMs` from now. Must not keep a process alive by itself. */
  after(delayMs: number, act: () => void): Cancel;
  /** Calls `act` once in a later turn of the event loop, after input that is already waiting was read. */
  soon(act: () => void): void;
  /** The share of the event loop's time, of late, in which it had work: 0 to 1. Absent where nobody can tell. */
  busy?(): number;
}

/** Chance, as the pure rooms see it. */
export interface Random {
  /** In [0, 1). */
  fraction(): number;
  /** `length` characters of `0-9A-Za-z`, unpredictable between processes. */
  letters(length: number): string;
}
