import { describe, expect, test } from "vitest";
import { below } from "../../src/adapters/mount.ts";
import { checkOrigin } from "../../src/transports/origin.ts";
import { nodeHost, run } from "../adapters/host.ts";
import { HANDSHAKE } from "../adapters/requests.ts";
import { RawClient } from "../support/raw-clients.ts";

const HOST = "api.example";

/** An Origin, and the Host where it is not api.example. `undefined`: the header is not sent. */
type Row = readonly [origin: string | undefined, host?: string];

const PERMITTED: readonly Row[] = [
  [undefined],
  ["https://app.example"],
  ["http://localhost:5173"],
  ["http://api.example"],
  ["https://api.example"],
  ["https://api.example", "API.example"],
  ["https://API.example"],
  ["https://api.example", "api.example:443"],
  ["http://api.example", "api.example:80"],
  ["https://api.example:8443", "api.example:8443"],
  ["http://127.0.0.1:3000", "127.0.0.1:3000"],
  ["http://[::1]:3000", "[::1]:3000"],
  ["https://xn--bcher-kva.example", "xn--bcher-kva.example"],
  ["https://api.example.", "api.example."],
];

const FOREIGN: readonly Row[] = [
  ["null"],
  [""],
  ["*"],
  ["https://evil.example"],
  ["https://app.example.evil.example"],
  ["https://evilapp.example"],
  ["https://app.example-evil.example"],
  ["https://app.exampleevil"],
  ["https://sub.app.example"],
  ["https://example"],
  ["http://app.example"],
  ["https://app.example:8443"],
  ["https://app.example:443"],
  ["https://app.example:"],
  ["https://app.example."],
  ["https://app.example/"],
  ["https://app.example/channels"],
  ["https://app.example?x"],
  ["https://app.example#x"],
  ["https://user@app.example"],
  ["https://app.example@evil.example"],
  ["https://app.example%2eevil.example"],
  ["https://app%2eexample"],
  ["https://app.example, https://evil.example"],
  ["https://evil.example, https://app.example"],
  ["https://app.example\r\nOrigin: https://evil.example"],
  ["app.example"],
  ["//app.example"],
  ["wss://app.example"],
  ["ftp://api.example"],
  ["file://"],
  ["chrome-extension://app.example"],
  ["javascript://app.example"],
  ["http://localhost"],
  ["http://localhost:5174"],
  ["https://api.example:8443"],
  ["https://api.example", "api.example:8443"],
  ["https://api.example", "api.example:80"],
  ["http://api.example", "api.example:443"],
  ["https://api.example."],
  ["https://api.example", "api.example."],
  ["https://user@api.example"],
  ["https://api.example/"],
  ["http://0x7f.1", "127.0.0.1"],
  ["http://127.1", "127.0.0.1"],
  ["http://[::1]", "[::1]:3000"],
  ["http://[0:0:0:0:0:0:0:1]:3000", "[::1]:3000"],
  ["http://[::1%25lo]:3000", "[::1]:3000"],
  ["https://b\u00fccher.example", "xn--bcher-kva.example"],
  ["https://b%C3%BCcher.example", "xn--bcher-kva.example"],
  ["https://"],
  ["https:///app.example"],
  ["https:\\\\app.example"],
  [" https://evil.example "],
  ["https://app.example\x00"],
];

/** One of each way in, and what it is answered when the page is permitted. */
const WAYS = [
  { name: "an event stream", line: "GET /channels/a", headers: [], body: "", status: 200 },
  { name: "a long-poll", line: "GET /channels/a?wait=0", headers: [], body: "", status: 200 },
  { name: "a POST", line: "POST /channels/a", headers: ["Content-Length: 2"], body: "hi", status: 201 },
  { name: "a preflight", line: "OPTIONS /channels/a", headers: ["Access-Control-Request-Method: POST"], body: "", status: 204 },
  { name: "a WebSocket", line: "GET /socket?channel=a", headers: [...HANDSHAKE], body: "", status: 101 },
] as const;

interface Answered {
  readonly status: number;
  readonly allowed: string | undefined;
  readonly code: string | undefined;
}

async function ask(
  port: number,
  way: (typeof WAYS)[number],
  host: string | undefined,
  origin: string | undefined,
  ...more: readonly string[]
): Promise<Answered> {
  const client = await RawClient.open(port);
  const own = [...(host === undefined ? [] : [`Host: ${host}`]), ...(origin === undefined ? [] : [`Origin: ${origin}`])];
  const lines = [`${way.line} HTTP/1.${host === undefined ? "0" : "1"}`, ...own, ...more, ...way.headers];
  client.write(Buffer.from(`${lines.join("\r\n")}\r\n\r\n${way.body}`, "latin1"));
  const { status, headers, body } = await client.answer();
  client.socket.destroy();
  const code = headers.get("content-type") === "application/json" && status >= 400 ? JSON.parse(body).error.code : undefined;
  return { status, allowed: headers.get("access-control-allow-origin"), code };
}

describe("Origin", () => {
  for (const way of WAYS) {
    test(`[D8] ${way.name} is given to pages of the server's own origin and of those that are listed, and to no page at all`, async () => {
      const { port } = await run(nodeHost, { origins: ["https://app.example", "http://localhost:5173"] });
      for (const [origin, host = HOST] of PERMITTED) {
        const { status, allowed } = await ask(port, way, host, origin);
        // A WebSocket knows no CORS.
        expect([origin, host, status, allowed]).toEqual([origin, host, way.status, way.status === 101 ? undefined : origin]);
      }
    });

    test(`[D8] ${way.name} is refused to all other pages, before anything is done`, async () => {
      const asked: string[] = [];
      const { port, tl } = await run(nodeHost, {
        origins: ["https://app.example", "http://localhost:5173"],
        authenticate: ({ url }) => {
          asked.push(url);
          return null;
        },
      });
      for (const [origin, host = HOST] of FOREIGN) {
        const { status, allowed, code } = await ask(port, way, host, origin);
        // node:http itself refuses what no header may have in it.
        if (origin?.includes("\x00")) expect([origin, status, allowed]).toEqual([origin, 400, undefined]);
        else expect([origin, host, status, code, allowed]).toEqual([origin, host, 403, "forbidden_origin", undefined]);
      }
      expect(asked).toEqual([]);
      expect(tl.counts()).toMatchObject({ connections: 0, channels: 0 });
      expect((await tl.channel("a").history()).messages).toEqual([]);
    });
  }

  test.each(WAYS)(
    "[D8] $name is given to the server's own page behind a proxy that puts its name into Host, if the browser says so",
    async (way) => {
      const { port } = await run(nodeHost, {});
      const upstream = "10.0.0.7:8080";
      const own = await ask(port, way, upstream, "https://api.example", "Sec-Fetch-Site: same-origin");
      expect(own).toMatchObject({ status: way.status, allowed: way.status === 101 ? undefined : "https://api.example" });
      for (const site of ["cross-site", "same-site", "none", "same-origin, cross-site", ""]) {
        const other = await ask(port, way, upstream, "https://api.example", `Sec-Fetch-Site: ${site}`);
        expect([site, other]).toMatchObject([site, { status: 403, code: "forbidden_origin", allowed: undefined }]);
      }
      expect(await ask(port, way, upstream, "null", "Sec-Fetch-Site: same-origin")).toMatchObject({ status: 403 });
    },
  );

  test("any page is permitted where the operator says so, but without its cookies", async () => {
    const { port } = await run(nodeHost, { origins: "*" });
    for (const origin of ["null", "https://evil.example", "app.example"]) {
      expect(await ask(port, WAYS[0], HOST, origin)).toMatchObject({ status: 200, allowed: "*" });
    }
  });
});

const LOOPBACK = ["localhost", "localhost:3000", "LOCALHOST", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:3000", "app.localhost:3000"];
const REBOUND = [
  undefined,
  "",
  "evil.example",
  "evil.example:3000",
  "localhost.evil.example",
  "localhost.",
  "127.0.0.1.evil.example",
  "127.0.0.1.",
  "10.0.0.1",
  "0.0.0.0",
  "[::2]",
  "[::ffff:127.0.0.1]",
  "::1",
  "localhost:3000:80",
  "localhost@evil.example",
  "evil.example/localhost",
  "evil-localhost",
  "xlocalhost",
  ".localhost",
];

describe("Host, on a server of loopback", () => {
  for (const way of WAYS) {
    test(`[D8] ${way.name} is answered under loopback names, and under no other`, async () => {
      const { port, tl } = await run(nodeHost, { loopbackOnly: true });
      for (const host of LOOPBACK) {
        expect([host, (await ask(port, way, host, undefined)).status]).toEqual([host, way.status]);
        expect([host, (await ask(port, way, host, "http://localhost:5173")).status]).toEqual([host, way.status]);
        for (const more of [[], ["Sec-Fetch-Site: same-origin"]]) {
          const foreign = await ask(port, way, host, "https://evil.example", ...more);
          expect([host, foreign]).toMatchObject([host, { status: 403, code: "forbidden_origin" }]);
        }
      }
      await tl.channel("a").publish("before");
      const { position } = await tl.channel("a").publish("the last");
      for (const host of REBOUND) {
        const origin = host === undefined || host === "" ? undefined : `http://${host}`;
        expect([host, await ask(port, way, host, origin)]).toMatchObject([host, { status: 421, code: "misdirected", allowed: undefined }]);
      }
      expect((await tl.channel("a").history({ from: { after: position } })).messages).toEqual([]);
    });
  }
});

// URL.canParse of Node 20 does, once it is compiled: it takes Latin-1 for UTF-8, where these bytes are a mark that is left out.
test("[D8] an Origin, or a target, that only looks like one after much else was asked, is refused or not found, and never a fault of the server", async () => {
  for (let n = 0; n < 200_000; n++) URL.canParse(`https://127.0.0.${n % 10}`);
  const strange = "https://127.0.0\u00ef\u00bb\u00bf.1";
  for (let n = 0; n < 3; n++) {
    expect(() =>
      checkOrigin({ header: (name) => (name === "origin" ? strange : "localhost") }, { origins: [], loopbackOnly: false }),
    ).toThrow("may not use this server");
    expect(below("", `${strange}/socket`)).toBe(`${strange}/socket`);
  }
});
