import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { handler, upgrade } from "../../src/node.ts";
import { ENGINES } from "../support/engines.ts";
import { type ServerOptions, startServer, type TestServer } from "../support/start-server.ts";
import { type Browser, type BrowserContext, Tab } from "./browsers.ts";

export interface SiteOptions extends ServerOptions {
  /** The name of an engine. Default: memory, which forgets at each start. */
  readonly on?: "memory" | "disk";
}

/** What becomes of a WebSocket on the way: it passes; the way answers 403; it opens and is cut at once; nothing answers. */
export type Way = "open" | "refuses" | "opens and dies" | "hangs";

/** A server with pages on it, all of one origin, and a browser to look at them, whose storage is its own. */
export interface Site {
  readonly server: TestServer;
  readonly url: string;
  way: Way;
  /** When each WebSocket was asked for, in milliseconds. */
  readonly upgrades: readonly number[];
  readonly tabs: readonly Tab[];
  tab(path?: string): Promise<Tab>;
  /** Cuts the WebSockets alone. */
  cutSockets(): void;
  close(): Promise<void>;
}

const PAGE =
  '<!doctype html><title>A page</title><script type="module">import * as it from "/in-page.js"; Object.assign(window, it);</script>';

export async function openSite(browser: Browser, options: SiteOptions = {}): Promise<Site> {
  const { on = "memory", ...rest } = options;
  const storage = await ENGINES.find(({ name }) => name === on)!.create();
  const script = await bundle();
  const sockets = new Set<Duplex>();
  const tabs: Tab[] = [];
  let way: Way = "open";
  const upgrades: number[] = [];

  const server = await startServer(
    () => storage.engine(),
    rest,
    (tl, listening) => {
      listening.on("request", (req, res) => handler(tl)(req, res, () => answerPage(script, req, res)));
      listening.on("upgrade", (req: IncomingMessage, socket: Duplex, head: Buffer) => {
        upgrades.push(performance.now());
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
        if (way === "open") upgrade(tl, req, socket, head);
        else if (way === "refuses") socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        else if (way === "opens and dies") socket.end(switching(req));
      });
    },
  );
  const context: BrowserContext = await browser.createBrowserContext();

  return {
    server,
    url: server.url,
    tabs,
    upgrades,
    get way() {
      return way;
    },
    set way(other) {
      way = other;
    },
    async tab(path = "/page") {
      const tab = new Tab(await context.newPage());
      tabs.push(tab);
      return tab.open(server.url + path);
    },
    cutSockets() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      await context.close();
      await server.dispose();
      storage.dispose();
    },
  };
}

function answerPage(script: string, { url = "" }: IncomingMessage, res: ServerResponse): void {
  if (url === "/in-page.js") res.setHeader("content-type", "text/javascript").end(script);
  else if (url === "/page" || url === "/away") res.setHeader("content-type", "text/html").end(PAGE);
  else res.writeHead(url === "/favicon.ico" ? 204 : 404).end();
}

/** RFC 6455 §4.2.2: the answer of a server that takes the WebSocket. */
function switching({ headers }: IncomingMessage): string {
  const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const lines = ["Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${accept}`, "Sec-WebSocket-Protocol: throughline"];
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`;
}

let bundled: Promise<string> | undefined;

/** The page's script with the client in it, built once for all tests of a file. */
function bundle(): Promise<string> {
  const entry = fileURLToPath(new URL("in-page.ts", import.meta.url));
  bundled ??= build({ entryPoints: [entry], bundle: true, write: false, format: "esm" }).then(({ outputFiles }) => outputFiles[0]!.text);
  return bundled;
}
