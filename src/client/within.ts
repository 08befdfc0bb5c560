import { ThroughlineError } from "../protocol/error.ts";
import { disconnected, timedOut } from "./faults.ts";
import type { ClientClock } from "./system.ts";

/**
 * Acts with a signal that fires with `aborted` when the application's does, with what ended the `life` that it is a part of, and with `timeout` after
 * so many milliseconds (0: never). What is not a ThroughlineError, as what fetch throws, becomes `disconnected`.
 */
export async function within<Result>(
  clock: ClientClock,
  ms: number,
  signal: AbortSignal | undefined,
  act: (signal: AbortSignal) => Promise<Result>,
  life?: AbortSignal,
): Promise<Result> {
  const abort = new AbortController();
  const stop = (): void => abort.abort(life?.reason ?? new ThroughlineError("aborted", "Aborted."));
  onAbort(signal, stop, abort);
  onAbort(life, stop, abort);
  const cancel = ms ? clock.after(ms, () => abort.abort(timedOut())) : undefined;
  try {
    return await act(abort.signal);
  } catch (error) {
    throw disconnected(error);
  } finally {
    cancel?.();
    // Nobody is left who could want anything of it; and the application's signal is no longer listened to
    abort.abort();
  }
}

/** Calls `act` when the signal fires, also if it has fired already, unless `until` is aborted before. */
export function onAbort(signal: AbortSignal | undefined, act: () => void, until: AbortController): void {
  // A controller has the one field, `signal`, that the options need
  signal?.addEventListener("abort", act, until);
  if (signal?.aborted) act();
}

/** Waits so many milliseconds, or for ever if the signal has fired or fires before. */
export function pause(clock: ClientClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (!signal.aborted) signal.onabort = clock.after(ms, resolve);
  });
}
