import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { runInNewContext } from "node:vm";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { type FetchHandler, fetchHandler } from "../../src/fetch.ts";
import { throughline } from "../../src/index.ts";
import { ROOT } from "../house/source.ts";
import { EventReader } from "../support/raw-clients.ts";
import { adapterTests } from "./adapter-tests.ts";
import { pathBelow, run, siteOf } from "./host.ts";

const POWERS = { http1: false, ownsResponse: false, webSockets: false, routes: false, parsesBodies: false };

const inProcess = {
  name: "fetch, called in the process",
  mount: "/realtime",
  powers: POWERS,
  async serve(tl: ReturnType<typeof throughline>) {
    const answer = fetchHandler(tl, { path: "/realtime" });
    const ask = async (path: string, init?: RequestInit) => {
      const response = await answer(new Request(`http://host.example${pathBelow("/realtime", path)}`, init));
      if (init?.signal?.aborted) throw new Error("The client gave it up.");
      return response;
    };
    return { port: 0, ask, close: async () => undefined };
  },
};
adapterTests(inProcess);

adapterTests({
  name: "fetch behind node:http",
  mount: "",
  powers: { ...POWERS, http1: true },
  async serve(tl) {
    const answer = fetchHandler(tl);
    return siteOf(
      createServer((req, res) => void bridge(answer, req, res)),
      "",
    );
  },
});

/** As a runtime does it: a Request of what came, and the body of the Response as fast as the socket takes it. */
async function bridge(answer: FetchHandler, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const left = new AbortController();
  res.once("close", () => left.abort());
  const hasBody = req.headers["transfer-encoding"] !== undefined || req.headers["content-length"] !== undefined;
  const body = hasBody && req.method !== "GET" && req.method !== "HEAD" ? bodyOf(req) : null;
  const headers = Object.entries(req.headers).map(([name, value]) => [name, String(value)] as [string, string]);
  const init: RequestInit & { duplex: "half" } = { method: req.method!, headers, body, duplex: "half", signal: left.signal };
  const response = await answer(new Request(`http://${req.headers.host}${req.url}`, init));
  if (res.destroyed) return;
  res.statusCode = response.status;
  res.setHeaders(response.headers);
  if (response.headers.get("content-type") !== "text/event-stream") {
    res.end(new Uint8Array(await response.arrayBuffer()));
    return;
  }
  res.flushHeaders();
  const reader = response.body!.getReader();
  const gone = new Promise<void>((resolve) => res.once("close", resolve));
  void gone.then(() => reader.cancel()).catch(() => undefined);
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (!res.write(part.value)) await Promise.race([gone, new Promise((resolve) => res.once("drain", resolve))]);
    }
    res.end();
  } catch {
    res.destroy();
  }
}

/** A runtime lets go of a body that is not read to its end. */
function bodyOf(req: IncomingMessage): ReadableStream<Uint8Array> {
  let taken = true;
  const cancel = () => {
    taken = false;
  };
  return new ReadableStream({
    start(controller) {
      req.on("data", (part: Buffer) => taken && controller.enqueue(part));
      req.on("end", () => taken && controller.close());
      req.on("error", (error) => taken && controller.error(error));
    },
    cancel,
  });
}

describe("fetch", () => {
  const get = (path: string, init?: RequestInit) => new Request(`http://host.example${path}`, init);

  test("gives undefined for what is not ours, if it is told to pass on, and 404 otherwise", async () => {
    const tl = throughline();
    const passing = fetchHandler(tl, { path: "/realtime/", passOn: true });
    for (const path of ["/other", "/realtime/other", "/realtime", "/realtimes/channels/a"])
      expect(await passing(get(path))).toBeUndefined();
    expect((await passing(get("/realtime/channels/a", { method: "HEAD" })))?.status).toBe(200);
    expect((await fetchHandler(tl, { path: "/realtime" })(get("/other"))).status).toBe(404);
    await tl.close();
  });

  test("a request that was aborted before it came is not served, and its promise is kept", async () => {
    const { ask, tl } = await run({ ...inProcess, serve: async (hub) => ({ ...(await inProcess.serve(hub)), ask: raw(hub) }) });
    for (const path of ["/channels/a", "/channels/a?wait=25", "/events?channel=a"]) {
      expect([path, (await ask(path, { signal: AbortSignal.abort() })).status]).toEqual([path, 499]);
    }
    expect(tl.counts().connections).toBe(0);
  });

  test("a stream whose request is aborted ends, and so does one whose body is cancelled", async () => {
    const { ask, tl } = await run({ ...inProcess, serve: async (hub) => ({ ...(await inProcess.serve(hub)), ask: raw(hub) }) });
    const left = new AbortController();
    const reader = new EventReader(await ask("/channels/a", { signal: left.signal }));
    await reader.next();
    expect(tl.counts().connections).toBe(1);
    left.abort();
    expect(await reader.next()).toBeNull();
    const response = await ask("/channels/a");
    await response.body!.cancel();
    expect(tl.counts().connections).toBe(0);
  });

  test("the Host of a request that bears none is that of its URL", async () => {
    const tl = throughline();
    const answer = fetchHandler(tl);
    const own = await answer(get("/channels/a", { method: "HEAD", headers: { origin: "http://host.example" } }));
    const foreign = await answer(get("/channels/a", { method: "HEAD", headers: { origin: "http://other.example" } }));
    expect([own.status, foreign.status]).toEqual([200, 403]);
    await tl.close();
  });
});

describe("The library and its fetch adapter", () => {
  test("need nothing of Node: they run where only what the web's standards name exists", async () => {
    const contents = `
      import { throughline } from "./src/index.ts";
      import { fetchHandler } from "./src/fetch.ts";
      export async function story() {
        const tl = throughline();
        const ask = fetchHandler(tl);
        const stream = await ask(new Request("http://host.example/channels/a"));
        const reader = stream.body.getReader();
        await ask(new Request("http://host.example/channels/a", { method: "POST", body: "hello" }));
        let text = "";
        while (!text.includes("data: hello")) text += new TextDecoder().decode((await reader.read()).value);
        await tl.close();
        return text;
      }`;
    const built = await build({
      stdin: { contents, resolveDir: ROOT, loader: "ts" },
      bundle: true,
      write: false,
      platform: "neutral",
      format: "iife",
      globalName: "own",
      logLevel: "silent",
    });
    const web = Object.fromEntries(WEB.map((name) => [name, (globalThis as Record<string, unknown>)[name]]));
    const text = await runInNewContext(`${built.outputFiles[0]!.text}\nown.story()`, web);
    expect(text).toMatch(/event: connected[\s\S]*data: hello/);
  });
});

/** What Deno, Bun, Workers and browsers have, too. */
const WEB = [
  "AbortController",
  "AbortSignal",
  "Headers",
  "ReadableStream",
  "Request",
  "Response",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "URLSearchParams",
  "Uint8Array",
  "clearTimeout",
  "console",
  "crypto",
  "performance",
  "queueMicrotask",
  "setTimeout",
];

/** Without what a client would see of its own abort. */
function raw(tl: ReturnType<typeof throughline>) {
  const answer = fetchHandler(tl, { path: "/realtime" });
  return (path: string, init?: RequestInit) => answer(new Request(`http://host.example${pathBelow("/realtime", path)}`, init));
}
