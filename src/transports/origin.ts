import { ThroughlineError } from "../protocol/error.ts";

/** Which pages may use the server, and under which names it answers. */
export interface Site {
  /** Origins of pages that may use the server beside its own, such as `https://app.example`; `"*"` for any. */
  readonly origins: readonly string[] | "*";
  /** Only loopback names as Host, and pages of loopback origins: what `throughline dev` does. */
  readonly loopbackOnly: boolean;
}

interface Asked {
  header(name: string): string | null;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|[a-z0-9-]+\.localhost)$/;

/** What a browser says of the page, and no page can (Fetch Metadata; Origin alone does not tell where a proxy has put its own name into Host). */
const OWN_PAGE = "same-origin";

/**
 * Refuses pages of foreign origins, before anything else is done (cross-site WebSocket hijacking and forged posts: a browser sends cookies with
 * both, and lets any page open a WebSocket), and foreign Host names on loopback (DNS rebinding). Gives the CORS headers for an origin that is permitted.
 * Without an Origin it is no page of another site, and what it may do is a matter of its credentials.
 */
export function checkOrigin(asked: Asked, site: Site): Record<string, string> {
  const host = asked.header("host");
  const origin = asked.header("origin");
  if (site.loopbackOnly && !LOOPBACK.test(hostname(host))) {
    throw new ThroughlineError(
      "misdirected",
      "This server answers on loopback names only. Open it as http://localhost or http://127.0.0.1.",
    );
  }
  if (origin === null) return {};
  if (sameHost(origin, host) && !(site.loopbackOnly && !isLoopback(origin))) return cors(origin);
  if (site.loopbackOnly && isLoopback(origin)) return cors(origin);
  if (!site.loopbackOnly && parse(origin) !== null && asked.header("sec-fetch-site") === OWN_PAGE) return cors(origin);
  // Any page may ask, but not with the cookies of whoever looks at it.
  if (site.origins === "*") return { ...CORS, "access-control-allow-origin": "*" };
  if (site.origins.includes(origin)) return cors(origin);
  const shown = JSON.stringify(origin.slice(0, 100));
  throw new ThroughlineError(
    "forbidden_origin",
    `Pages of ${shown} may not use this server. Its operator can add the origin to "origins".`,
  );
}

const CORS = { "access-control-expose-headers": "Throughline-Position, Throughline-First, Retry-After", vary: "Origin" } as const;

/** What a preflight of a permitted origin is answered. */
export const PREFLIGHT = {
  "access-control-allow-methods": "GET, POST, HEAD, DELETE",
  "access-control-allow-headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Cache-Control, Accept",
  "access-control-max-age": "7200",
} as const;

function cors(origin: string): Record<string, string> {
  return { ...CORS, "access-control-allow-origin": origin, "access-control-allow-credentials": "true" };
}

/** RFC 6454: an origin is scheme, host and port. The Host header has no scheme, so the default ports of both are one. */
function sameHost(origin: string, host: string | null): boolean {
  const url = parse(origin);
  if (url === null || host === null) return false;
  return url.host === host.toLowerCase() || `${url.hostname}:${url.protocol === "https:" ? 443 : 80}` === host.toLowerCase();
}

function isLoopback(origin: string): boolean {
  const url = parse(origin);
  return url !== null && LOOPBACK.test(url.hostname);
}

/** Only what is exactly an origin: no path, no credentials, not `null`. */
function parse(origin: string): URL | null {
  if (!/^https?:\/\//.test(origin)) return null;
  try {
    const url = new URL(origin);
    return url.origin === origin.toLowerCase() ? url : null;
  } catch {
    // Not asked of `URL.canParse`: once it is compiled, Node 20 takes Latin-1 for UTF-8 there, and says yes to what cannot be parsed
    return null;
  }
}

function hostname(host: string | null): string {
  return (host ?? "").toLowerCase().replace(/:\d+$/, "");
}
