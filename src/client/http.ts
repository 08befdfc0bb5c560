import { ThroughlineError } from "../protocol/error.ts";
import { disconnected, timedOut } from "./faults.ts";
import type { ConnectOptions } from "./options.ts";
import { type ClientClock, systemFetch } from "./system.ts";

export interface Call {
  /** Made as late as can be: after the token is there. Without one it is a GET. */
  readonly body?: () => string;
  readonly signal?: AbortSignal | undefined;
}

/** HTTP to the mount point: the token, the errors of PROTOCOL.md §11, and time. */
export interface Http {
  /** The mount point, absolute. Not before it is needed: on a server that renders, a relative URL means nothing. */
  base(): string;
  token(): Promise<string | undefined>;
  /** An answer with a good status. Throws what the server said, or what fetch threw. */
  call(path: string, call: Call): Promise<Response>;
  /** The JSON of an answer, within `seconds`: else `timeout`, and `disconnected` for what fetch threw. */
  json(path: string, seconds: number, call: Call): Promise<unknown>;
}

/** Seconds that an answer may take: `requestSecondsMax` of PROTOCOL.md §12. */
export const REQUEST_SECONDS = 30;

export function createHttp(url: string, { token, fetch: ask = systemFetch }: ConnectOptions, clock: ClientClock, life: AbortSignal): Http {
  const http: Http = {
    base: () => new URL(url, globalThis.location?.href).href.replace(/\/+$/, ""),
    token: async () => (typeof token === "function" ? token() : token),
    async call(path, { body, signal }) {
      const bearer = await http.token();
      const response = await ask(http.base() + path, {
        headers: {
          Accept: "application/json",
          "Content-Type": "application/json",
          ...(bearer && { Authorization: `Bearer ${bearer}` }),
        },
        ...(body && { method: "POST", body: body() }),
        signal: signal as AbortSignal,
      });
      if (response.ok) return response;
      throw await errorOf(response);
    },
    json: (path, seconds, call) =>
      within(clock, seconds, call.signal, async (signal) => (await http.call(path, { ...call, signal })).json(), life),
  };
  return http;
}

/**
 * Acts with a signal that fires with `aborted` when the application's does, with `timeout` after so many seconds (0: never), and with what ended
 * the `life` that it is a part of.
 */
export async function within<Result>(
  clock: ClientClock,
  seconds: number,
  signal: AbortSignal | undefined,
  act: (signal: AbortSignal) => Promise<Result>,
  life?: AbortSignal,
): Promise<Result> {
  const abort = new AbortController();
  const stop = (): void => abort.abort(life?.reason ?? new ThroughlineError("aborted", "Aborted."));
  signal?.addEventListener("abort", stop, abort);
  life?.addEventListener("abort", stop, abort);
  if (signal?.aborted || life?.aborted) stop();
  const cancel = seconds && clock.after(seconds * 1_000, () => abort.abort(timedOut()));
  try {
    return await act(abort.signal);
  } catch (error) {
    throw disconnected(error);
  } finally {
    if (cancel) cancel();
    // Nobody listens any more, nor is anything asked
    abort.abort();
  }
}

async function errorOf(response: Response): Promise<ThroughlineError> {
  const { status, headers } = response;
  // A proxy on the way answers in its own words, which say nothing about what the server will; but what it finds too large it will never take
  const code = status === 413 ? "too_large" : "disconnected";
  const { error = { code, message: `HTTP ${status}` } } = await response.json().catch(() => ({}));
  const retryAfterMs = (headers.get("Retry-After") as unknown as number) * 1_000;
  return new ThroughlineError(error.code, error.message, retryAfterMs ? { retryAfterMs } : {});
}
