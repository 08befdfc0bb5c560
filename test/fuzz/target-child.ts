import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { throughline } from "../../src/index.ts";
import { attach } from "../../src/node.ts";
import type { Asked, State } from "./target.ts";

/*
 * The server under fire, a process of its own so that its death is seen. It is the product and nothing else, with limits that small inputs reach, and tells its
 * parent how it is. `THROUGHLINE_FUZZ_PLANTED` names a fault that it has on purpose, which the fuzz must find.
 */
const LEAKED_NUMBERS = 20_000;

const sentences: string[] = [];
const published = new Set<string>();
const leaked: unknown[] = [];
let pending = 0;

const tl = throughline({
  limits: { messageBytesMax: 32_768, bodyBytesMax: 65_536, waitSecondsMax: 1, requestSecondsMax: 2, heartbeatSeconds: 2 },
  retain: { countMax: 1_000, bytesMax: 262_144 },
  warn: (sentence) => sentences.push(sentence),
});
tl.on("publish", ({ channel }) => published.add(channel));
tl.handle("chat/:room", "echo", async ({ data }) => {
  pending++;
  await new Promise((resolve) => setImmediate(resolve));
  pending--;
  return data;
});

const http = createServer();
attach(tl, http);
plant(process.env["THROUGHLINE_FUZZ_PLANTED"]);
http.listen(0, "127.0.0.1", () => say({ port: (http.address() as AddressInfo).port }));

function plant(fault: string | undefined): void {
  http.prependListener("request", (request, response) => {
    // A parse error that nobody catches
    if (fault === "throws") decodeURIComponent(request.url ?? "");
    // An answer that no page of the law knows
    if (fault === "mumbles" && request.headers["idempotency-key"] !== undefined) response.writeHead(500).end("<h1>Oops</h1>");
    // Something is kept of each request for ever
    if (fault === "leaks") leaked.push(Array.from({ length: LEAKED_NUMBERS }, (_, index) => index + leaked.length / 7));
  });
}

/** How it is when everything that came has been let go of: what strangers stored is theirs, and is removed first. */
async function measure(): Promise<State> {
  for (const name of published) if (name !== "quiet/line") await tl.endpoint.hub.remove(name);
  published.clear();
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  const sockets = await new Promise<number>((resolve) => http.getConnections((_, count) => resolve(count)));
  const { connections, readers } = tl.counts();
  return { pid: process.pid, uptimeSeconds: process.uptime(), connections, readers, sockets, pending, sentences };
}

function say(message: object): void {
  process.send?.(message);
}

process.on("message", ({ id, brief }: Asked) => {
  if (brief) say({ id });
  else void measure().then((state) => say({ id, state }));
});
process.on("disconnect", () => process.exit(0));
