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
export function backoff(failures: number, rules: BackoffRules, fraction: number): number {
  const windowMs = Math.max(rules.backoffMsMin * 2 ** failures, failures && (rules.retryMs ?? 0));
  return fraction * Math.min(windowMs, rules.backoffMsMax);
}
