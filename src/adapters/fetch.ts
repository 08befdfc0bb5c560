import { FetchExchange } from "./fetch-exchange.ts";
import { below, type MountOptions, mountOf } from "./mount.ts";
import type { Throughline } from "./throughline.ts";

export interface FetchOptions extends MountOptions {
  /** True: give `undefined` for a path that is not ours, so that a router goes on. Default: false, which answers 404. */
  readonly passOn?: boolean;
}

/** A request handler of the web's standard: what Bun, Deno, Workers and most routers take. */
export type FetchHandler<Answer = Response> = (request: Request) => Promise<Answer>;

/**
 * Answers requests below the mount point, in any runtime that has Request, Response and ReadableStream. It speaks event streams, pages and long-poll;
 * `/socket` answers 426, since upgrading is each runtime's own affair, and clients go on over event streams.
 *
 * Bun closes what is silent for ten seconds, which is less than a heartbeat: serve with `idleTimeout: 0`.
 *
 * @example Bun.serve({ fetch: fetchHandler(tl), idleTimeout: 0 })
 * @example Deno.serve(fetchHandler(tl, { path: "/realtime" }))
 */
export function fetchHandler(tl: Throughline, options?: FetchOptions & { readonly passOn?: false }): FetchHandler;
export function fetchHandler(tl: Throughline, options: FetchOptions): FetchHandler<Response | undefined>;
export function fetchHandler(tl: Throughline, options: FetchOptions = {}): FetchHandler<Response | undefined> {
  const mount = mountOf(options);
  return (request) =>
    new Promise((resolve) => {
      const url = below(mount, request.url);
      const exchange = new FetchExchange(request, url ?? request.url, resolve);
      const passOn = () => (options.passOn === true ? resolve(undefined) : tl.endpoint.notFound(exchange));
      if (url === null) return passOn();
      tl.endpoint
        .handle(exchange)
        .then((ours) => {
          if (!ours) passOn();
        })
        .catch((error: unknown) => {
          tl.endpoint.hub.warn(`Unexpected: ${String(error)}`);
          resolve(new Response(null, { status: 500 }));
        });
    });
}
