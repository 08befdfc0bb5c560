/** What bounds a backoff. */
export interface BackoffRules {
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
  /** What the server said in `connected`, or 0. */
  readonly retryMs?: number;
}

/**
 * Milliseconds to wait after the n-th failure in a row, n from 0: anywhere in a window that doubles ("full jitter", which spreads a
 * herd best: Brooker, AWS Architecture Blog, 2015). The first window is small, since most cuts are one client's own network; from the
 * second on it is at least what the server asked for. `fraction` is in [0, 1).
 */
export function backoff(failures: number, { backoffMsMin, backoffMsMax, retryMs = 0 }: BackoffRules, fraction: number): number {
  const windowMs = Math.max(backoffMsMin * 2 ** failures, failures && retryMs);
  return fraction * Math.min(windowMs, backoffMsMax);
}
