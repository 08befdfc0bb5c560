import { refusal } from "./faults.ts";
import type { ConnectOptions } from "./options.ts";
import { type ClientClock, systemFetch } from "./system.ts";
import { within } from "./within.ts";

/** HTTP to the mount point: the token, the errors of PROTOCOL.md §11, and time. */
export interface Http {
  /** The mount point, absolute. Not before it is needed: on a server that renders, a relative URL means nothing. */
  base(): string;
  token(): Promise<string | undefined>;
  /**
   * An answer with a good status. Throws what the server said, or what fetch threw. `body` is made as late as can be, after the token is
   * there; without one it is a GET.
   */
  call(path: string, signal: AbortSignal, body?: () => string): Promise<Response>;
  /** The JSON of an answer, within so many milliseconds: else `timeout`. */
  json(path: string, ms: number, signal: AbortSignal | undefined, body?: () => string): Promise<unknown>;
}

export function createHttp(url: string, { token, fetch: ask = systemFetch }: ConnectOptions, clock: ClientClock, life: AbortSignal): Http {
  const http: Http = {
    base: () => new URL(url, globalThis.location?.href).href.replace(/\/+$/, ""),
    token: async () => (typeof token === "function" ? token() : token),
    async call(path, signal, body) {
      const bearer = await http.token();
      const response = await ask(http.base() + path, {
        headers: {
          Accept: "application/json",
          "Content-Type": "application/json",
          ...(bearer && { Authorization: `Bearer ${bearer}` }),
        },
        ...(body && { method: "POST", body: body() }),
        signal,
      });
      if (response.ok) return response;
      const { status, headers } = response;
      // A proxy on the way answers in its own words, which say nothing about what the server will; but what it finds too large it will never take
      const code = status === 413 ? "too_large" : "disconnected";
      const { error = { code, message: `HTTP ${status}` } } = await response.json().catch(() => ({}));
      throw refusal({ ...error, retryAfterMs: (headers.get("Retry-After") as unknown as number) * 1_000 || undefined });
    },
    json: (path, ms, signal, body) => within(clock, ms, signal, async (own) => (await http.call(path, own, body)).json(), life),
  };
  return http;
}
