import { createServer, request } from "node:http";
import type { Server } from "node:net";
import { Readable } from "node:stream";
import { onTestFinished } from "vitest";
import { type Throughline, type ThroughlineOptions, throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import { inTime } from "../support/until.ts";

/** What a runtime or framework lets an adapter do. A test that needs a power runs where it is declared. */
export interface Powers {
  /** Listens on a port and speaks HTTP/1.1. */
  readonly http1: boolean;
  /** We write the response ourselves, so that a stream is delimited by close. */
  readonly ownsResponse: boolean;
  readonly webSockets: boolean;
  /** `GET /hello`, `POST /echo` (JSON) and `GET <mount>/own` are the application's own routes. */
  readonly routes: boolean;
  /** A middleware of the application reads each body before us. */
  readonly parsesBodies: boolean;
}

/** One server of a test. */
export interface Site {
  readonly port: number;
  /** A request below the mount point, or from the root if the path begins with two slashes. */
  ask(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export interface Host {
  readonly name: string;
  readonly mount: string;
  readonly powers: Powers;
  serve(tl: Throughline): Promise<Site>;
}

/** The plainest: node:http alone, at the root. */
export const nodeHost: Host = {
  name: "node:http",
  mount: "",
  powers: { http1: true, ownsResponse: true, webSockets: true, routes: false, parsesBodies: false },
  async serve(tl) {
    const server = createServer();
    attach(tl, server);
    return siteOf(server, "");
  },
};

export interface Running extends Site {
  readonly tl: Throughline;
  readonly mount: string;
  /** What the operator was told. */
  readonly sentences: string[];
  /** The URL of a WebSocket below the mount point. */
  socketUrl(path: string): string;
}

/** A server for one test. At its end everything is closed, and nobody is left. */
export async function run(host: Host, options: ThroughlineOptions = {}): Promise<Running> {
  const sentences: string[] = [];
  const tl = throughline({ warn: (sentence) => sentences.push(sentence), ...options });
  const site = await host.serve(tl);
  onTestFinished(async () => {
    await tl.close();
    await inTime(site.close(), () => `${host.name} to close`);
    await alone(tl);
  });
  return {
    tl,
    sentences,
    mount: host.mount,
    port: site.port,
    ask: site.ask,
    close: site.close,
    socketUrl: (path) => `ws://127.0.0.1:${site.port}${host.mount}${path}`,
  };
}

/** Waits until nobody is connected. */
export function alone(tl: Throughline): Promise<void> {
  return counted(tl, 0);
}

/** Waits until as many are connected. */
export function counted(tl: Throughline, connections: number): Promise<void> {
  const ready = new Promise<void>((resolve) => {
    const look = () => {
      if (tl.counts().connections !== connections) return;
      for (const stop of stops) stop();
      resolve();
    };
    const stops = [tl.on("connect", look), tl.on("disconnect", look)];
    look();
  });
  return inTime(ready, () => `${connections} connections; there are ${tl.counts().connections}`);
}

export function pathBelow(mount: string, path: string): string {
  return path.startsWith("//") ? path.slice(1) : mount + path;
}

export function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
}

export function stopped(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** A site of a server that speaks HTTP/1.1. */
export async function siteOf(server: Server, mount: string, close: () => Promise<void> = () => stopped(server)): Promise<Site> {
  const port = server.listening ? (server.address() as { port: number }).port : await listening(server);
  return { port, ask: (path, init) => ask(port, pathBelow(mount, path), init), close };
}

/** One request on a connection of its own: `fetch` opens connections ahead, and a server waits for them when it closes. */
function ask(port: number, path: string, { method = "GET", headers = {}, body, signal }: RequestInit = {}): Promise<Response> {
  return new Promise((resolve, reject) => {
    const typed = typeof body === "string" && !("content-type" in headers) ? { "content-type": "text/plain;charset=UTF-8" } : {};
    const length = body == null ? {} : { "content-length": String(Buffer.byteLength(body as string)) };
    // The path as it stands: a URL would be tidied up.
    const asked = request({
      host: "127.0.0.1",
      port,
      path,
      method,
      agent: false,
      headers: { ...typed, ...length, ...(headers as Record<string, string>) },
    });
    asked.once("error", reject);
    asked.once("response", (answer) => {
      const told = new Headers();
      for (let at = 0; at < answer.rawHeaders.length; at += 2) told.append(answer.rawHeaders[at]!, answer.rawHeaders[at + 1]!);
      const status = answer.statusCode!;
      const empty = status === 204 || method === "HEAD";
      if (empty) answer.resume();
      resolve(new Response(empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>), { status, headers: told }));
    });
    signal?.addEventListener("abort", () => asked.destroy(new Error("The client gave it up.")));
    asked.end(body ?? undefined);
  });
}
