import fc from "fast-check";
import { clientFrame, from, name, position, presenceAsked, standing } from "./grammar.ts";

/* Requests as the law spells them (PROTOCOL.md §4), as bytes in Latin-1: well-formed HTTP with anything in it, so that each must be answered. */

const ORIGINS = ["http://localhost", "http://evil.example", "null", "https://127.0.0.1", "http://user@localhost", "http://localhost:99999"];
const latin = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

/** Mostly the same few channels, so that what is stored does not grow without end, and things meet. */
const channel = fc.oneof({ weight: 6, arbitrary: fc.constantFrom("chat/lobby", "chat/a", "orders", "x") }, { weight: 1, arbitrary: name });
const inPath = channel.map((one) => one.replace(/[^A-Za-z0-9/]/g, encodeURIComponent));
const escaped = fc.oneof(fc.constantFrom("%2F", "%2e%2e", "%", "%zz", "%C3%A9", "%00", "%ff", "..", "//", "a%2Fb"), inPath);
const word = fc.oneof(
  fc.constantFrom("order", "message", "typing", "echo", "slow", "gap", "$x", "$presence", ""),
  fc.string({ unit: "grapheme", maxLength: 8 }),
);
const number = fc.oneof(fc.nat({ max: 1 }).map(String), fc.constantFrom("1e3", "-1", "", "x", "0.5"));
const vector = fc.array(position, { maxLength: 3 }).map((all) => all.join(","));

const query = fc
  .record(
    {
      from: fc.oneof(from, word),
      limit: number,
      wait: number,
      before: position,
      event: word,
      name: word,
      lastEventId: vector,
      position: standing,
      after: word,
      channel,
    },
    { requiredKeys: [] },
  )
  .map((fields) => `?${new URLSearchParams(fields as Record<string, string>)}`);

const path = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom("channels", "channels", "signals", "requests", "presence"), inPath)
      .map(([room, one]) => `/${room}/${one}`),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("channels", "signals", "requests", "presence", "nothing"), escaped)
      .map(([room, one]) => `/${room}/${one}`),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom("/publish", "/events", "/events?channel=x&channel=orders", "/socket", "/", "/channels", "/publish/", "*"),
  },
);
const target = fc.tuple(path, query).map(([one, asked]) => (one.includes("?") || one === "*" ? one : one + asked));

const json = fc.oneof(
  clientFrame.map((frame) => JSON.stringify(frame)),
  fc.array(clientFrame, { maxLength: 4 }).map((frames) => JSON.stringify(frames)),
  presenceAsked.map((asked) => JSON.stringify(asked)),
  fc
    .array(fc.record({ name: channel, from: fc.oneof(from, word), id: fc.nat() }, { requiredKeys: ["name"] }), { maxLength: 4 })
    .map((channels) => JSON.stringify({ channels })),
  fc.json(),
  fc.constantFrom(
    '{"__proto__":{"admin":1}}',
    '{"constructor":{"prototype":{"admin":1}}}',
    "[".repeat(3_000),
    "",
    "{",
    '{"a":1,"a":2}',
    "1e999",
  ),
);
const lines = fc.array(json, { maxLength: 4 }).map((all) => all.join("\n"));
const body = fc
  .oneof(
    json,
    lines,
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.nat({ max: 70_000 }).map((length) => "x".repeat(length)),
  )
  .map(latin);

const plain = fc.string({ unit: fc.constantFrom(...'abcXYZ019 -_.:;,"\\=/é'.split("")), maxLength: 20 }).map((text) => latin(text).trim());
const header = fc.oneof(
  fc
    .constantFrom("application/json", "text/event-stream", "*/*", "image/png", "text/event-stream, application/json")
    .map((type) => `Accept: ${type}`),
  fc
    .constantFrom("application/json", "application/x-ndjson", "text/plain", "application/octet-stream", "a/b+json; x", ";")
    .map((type) => `Content-Type: ${type}`),
  fc.oneof(vector, plain, fc.constant(",,,")).map((id) => `Last-Event-ID: ${id}`),
  fc
    .oneof(
      plain,
      plain.map((key) => `"${key}"`),
    )
    .map((key) => `Idempotency-Key: ${key}`),
  fc.constantFrom(...ORIGINS).map((origin) => `Origin: ${origin}`),
  fc.constantFrom("gzip", "identity", "br, gzip").map((encoding) => `Content-Encoding: ${encoding}`),
  fc.constantFrom("Bearer abc", "Basic YTpi", "Bearer", "Bearer a b").map((token) => `Authorization: ${token}`),
  fc.constantFrom("h2c", "websocket", "WebSocket, h2c").map((protocol) => `Connection: Upgrade\r\nUpgrade: ${protocol}`),
  fc.constantFrom("13", "8", "x").map((version) => `Sec-WebSocket-Version: ${version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==`),
  fc
    .constantFrom("throughline", "throughline, throughline.bearer.YWJj", ", ,", "chat")
    .map((protocol) => `Sec-WebSocket-Protocol: ${protocol}`),
  fc.constantFrom("__proto__: 1", "Expect: 100-continue", "Connection: close", "Cookie: a=b; a=c", "X-Forwarded-For: 1.2.3.4, ::1"),
);

const framed = fc
  .tuple(
    body,
    fc.constantFrom("length", "chunks", "none"),
    fc.nat({ max: 40 }).map((size) => size + 1),
  )
  .map(([text, framing, size]) => {
    if (framing === "none") return { heads: "", text: "" };
    if (framing === "length") return { heads: `Content-Length: ${text.length}\r\n`, text };
    const least = Math.max(size, Math.ceil(text.length / 50));
    const chunks = text.match(new RegExp(`[\\s\\S]{1,${least}}`, "g")) ?? [];
    return {
      heads: "Transfer-Encoding: chunked\r\n",
      text: `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("")}0\r\n\r\n`,
    };
  });

const method = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("GET", "POST", "POST", "HEAD", "DELETE") },
  { weight: 1, arbitrary: fc.constantFrom("OPTIONS", "PUT", "PATCH", "TRACE", "PROPFIND") },
);

export const request = fc
  .tuple(method, target, fc.uniqueArray(header, { maxLength: 5, selector: (line) => line.split(":")[0] }), framed)
  .map(
    ([verb, to, headers, { heads, text }]) =>
      `${verb} ${to} HTTP/1.1\r\nHost: localhost\r\n${headers.map((line) => `${line}\r\n`).join("")}${heads}\r\n${text}`,
  );

/** One to three on one connection, none of them waited for. */
export const pipelined = fc.array(request, { minLength: 1, maxLength: 3 }).map((all) => all.join(""));
