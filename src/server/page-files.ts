import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { ThroughlineError } from "../protocol/error.ts";
import { checkOrigin } from "../transports/origin.ts";

interface PageFile {
  readonly file: string;
  readonly type: string;
}

/** Everything that the page is made of. Read at start: what is asked for never names a file. */
const FILES: Readonly<Record<string, PageFile>> = {
  "/": { file: "index.html", type: "text/html; charset=utf-8" },
  "/main.js": { file: "main.js", type: "text/javascript; charset=utf-8" },
  "/style.css": { file: "style.css", type: "text/css; charset=utf-8" },
  "/icon.svg": { file: "icon.svg", type: "image/svg+xml" },
};

const SITE = { origins: [], loopbackOnly: true } as const;
/** Stands in index.html for how this program was started, so that the lines to paste are right. */
const COMMAND_MARK = "%COMMAND%";

/** Serves the live page. False if the path is none of it. */
export type ServePage = (req: IncomingMessage, res: ServerResponse) => boolean;

export function loadPage(command: string): ServePage {
  const bodies = new Map<string, Buffer>();
  for (const [path, { file }] of Object.entries(FILES)) {
    const body = readBody(file);
    if (body !== null) bodies.set(path, path === "/" ? withCommand(body, command) : body);
  }
  return (req, res) => {
    const path = (req.url ?? "/").replace(/\?.*$/, "");
    const known = Object.hasOwn(FILES, path) ? FILES[path] : undefined;
    if (known === undefined) return false;
    try {
      checkOrigin({ header: (name) => (req.headers[name] as string | undefined) ?? null }, SITE);
      if (req.method !== "GET" && req.method !== "HEAD") throw new ThroughlineError("method_not_allowed", "This is a page. Use GET.");
      const body = bodies.get(path);
      if (body === undefined) throw new ThroughlineError("not_found", "The live page has not been built. Run `npm run build` first.");
      res.writeHead(200, { "content-type": known.type, "content-length": body.length, ...headersFor(req) });
      res.end(req.method === "HEAD" ? undefined : body);
    } catch (error) {
      if (error instanceof ThroughlineError) refuse(res, error);
      else throw error;
    }
    return true;
  };
}

function readBody(file: string): Buffer | null {
  try {
    return readFileSync(new URL(`./page/${file}`, import.meta.url));
  } catch {
    return null; // from source, where nothing is bundled
  }
}

function withCommand(body: Buffer, command: string): Buffer {
  const escaped = command.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return Buffer.from(body.toString("utf8").replaceAll(COMMAND_MARK, () => escaped));
}

/** Nothing from elsewhere, nothing inline, in nobody's frame. The Host, which has been checked, stands for browsers whose 'self' leaves out `ws:`. */
function headersFor(req: IncomingMessage): Record<string, string> {
  return {
    "content-security-policy": `default-src 'self'; connect-src 'self' ws://${req.headers.host}; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
  };
}

function refuse(res: ServerResponse, { code, message }: ThroughlineError): void {
  const status = { misdirected: 421, forbidden_origin: 403, method_not_allowed: 405 }[code as string] ?? 404;
  const body = JSON.stringify({ error: { code, message } });
  const allow = status === 405 ? { allow: "GET, HEAD" } : {};
  res.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff", "cache-control": "no-store", ...allow });
  res.end(body);
}
