import { JSON_TYPE } from "../adapters/requests.ts";

/** How deep JSON nests where it nests too deep. */
export const DEEP = 100_000;

/** A request in which something is wrong, and what it is told. */
export interface Refusal {
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly status?: number;
  readonly code: string;
  /** What the text says. */
  readonly says: RegExp;
}

const POST = { method: "POST" };
const bytes = (...numbers: number[]) => new Uint8Array(numbers);

const NAMES = [
  "%zz",
  "%",
  "%ff",
  "a%00b",
  "..",
  "a/../b",
  "%2e%2e",
  "a//b",
  "a/",
  "$sys",
  ":a",
  "a/:b",
  "a%20b",
  "a%3Cb",
  "%F0%9F%98%80",
  "a*",
  "x".repeat(201),
];
const FROMS = [
  "",
  "NOW",
  "last:",
  "last:-1",
  "last:1e3",
  "last:9999999999999999",
  "since:",
  "since:yesterday",
  "since:2026-01-01",
  "since:2026-13-01T00:00:00Z",
  "__proto__",
  "x".repeat(5_000),
];
const POSITIONS = [
  "x",
  "000000000000--------.0000000000000000",
  "000000000000--------.-000000000000001.--------",
  "000000000000--------.9999999999999999.--------",
  "000000000000--------.0000000000000000.---------",
  "ZZZZZZZZZZZZabcdefgh.0000000000000001.abcdefgh",
  "1.2.3",
  "a,b",
  "x".repeat(5_000),
];

export const REFUSALS: Readonly<Record<string, readonly Refusal[]>> = {
  "a name of a channel that is none": [
    ...NAMES.map((name) => ({ path: `/channels/${name}`, code: "bad_channel", says: /segments of letters|percent-encoding|longer than/ })),
    ...NAMES.slice(0, 4).flatMap((name) => [
      { ...POST, path: `/signals/${name}?event=x`, body: "1", code: "bad_channel", says: /./ },
      { ...POST, path: `/requests/${name}?name=x`, body: "1", code: "bad_channel", says: /./ },
    ]),
    { path: "/events?channel=a&channel=..", code: "bad_channel", says: /not a channel name/ },
    { path: "/events?channel=", code: "bad_channel", says: /needs a name/ },
  ],
  "no name at all": [
    { path: "/channels/", code: "bad_channel", says: /./ },
    { path: "/channels/", headers: { accept: "application/json" }, code: "bad_channel", says: /./ },
    { path: "/channels/?wait=0", code: "bad_channel", says: /./ },
    { path: "/channels/", method: "DELETE", code: "bad_channel", says: /./ },
    { ...POST, path: "/channels/", body: "x", code: "bad_channel", says: /./ },
    { ...POST, path: "/signals/?event=x", headers: JSON_TYPE, body: "1", code: "bad_channel", says: /./ },
    { ...POST, path: "/requests/?name=x", headers: JSON_TYPE, body: "1", code: "bad_channel", says: /./ },
    { path: "/events", code: "bad_request", says: /at least one channel/ },
  ],
  "a place to begin that is none": [
    ...FROMS.flatMap((from) => [
      { path: `/channels/a?from=${from}`, code: "bad_from", says: /Use now, start/ },
      { path: `/events?channel=a&from=${from}`, code: "bad_from", says: /Use now, start/ },
    ]),
    { path: "/channels/a?wait=5&from=later", code: "bad_from", says: /Use now, start/ },
  ],
  "a position that is none": [
    ...POSITIONS.flatMap((position) => [
      { path: "/channels/a", headers: { "last-event-id": position }, code: "bad_position", says: /./ },
      { path: `/channels/a?from=after:${position}`, code: "bad_position", says: /./ },
      { path: `/channels/a?lastEventId=${position}`, code: "bad_position", says: /./ },
      { path: "/events?channel=a", headers: { "last-event-id": position }, code: "bad_position", says: /./ },
    ]),
    { path: "/channels/a?before=x", headers: { accept: "application/json" }, code: "bad_position", says: /./ },
    { path: "/events?channel=a&channel=b", headers: { "last-event-id": "x" }, code: "bad_position", says: /1 positions for 2 channels/ },
  ],
  "a number that is none": ["x", "-1", "1.5", "1e9", "", "99999999999"].flatMap((number) => [
    { path: `/channels/a?wait=${number}`, code: "bad_request", says: /whole number/ },
    { path: `/channels/a?limit=${number}`, headers: { accept: "application/json" }, code: "bad_request", says: /whole number/ },
    { ...POST, path: `/events?wait=${number}`, headers: JSON_TYPE, body: '{"channels":[]}', code: "bad_request", says: /whole number/ },
  ]),
  "a body that is not JSON": ["", "{", "[1,]", "{a:1}", "NaN", "'x'", "1 2", '"\\ud8"'].flatMap((body) => [
    { ...POST, path: "/channels/a", headers: JSON_TYPE, body, code: "bad_json", says: /not JSON/ },
    { ...POST, path: "/publish", headers: JSON_TYPE, body, code: "bad_json", says: /not JSON/ },
    { ...POST, path: "/events", headers: JSON_TYPE, body, code: "bad_json", says: /not JSON/ },
    ...(body === "" ? [] : [{ ...POST, path: "/signals/a?event=x", headers: JSON_TYPE, body, code: "bad_json", says: /not JSON/ }]),
  ]),
  "a line that is not JSON": [
    {
      ...POST,
      path: "/publish",
      headers: { "content-type": "application/x-ndjson" },
      body: '{"channel":"a","data":1}\n{\n',
      code: "bad_json",
      says: /Line 2 .* Nothing was stored/,
    },
  ],
  "JSON that nests too deep": [
    { ...POST, path: "/channels/a", headers: JSON_TYPE, body: "[".repeat(DEEP) + "]".repeat(DEEP), code: "bad_json", says: /nests deeper/ },
    {
      ...POST,
      path: "/channels/a",
      headers: JSON_TYPE,
      body: `${'{"a":'.repeat(DEEP)}1${"}".repeat(DEEP)}`,
      code: "bad_json",
      says: /nests deeper/,
    },
    { ...POST, path: "/publish", headers: JSON_TYPE, body: "[".repeat(DEEP), code: "bad_json", says: /nests deeper/ },
    { ...POST, path: "/events", headers: JSON_TYPE, body: "[".repeat(DEEP), code: "bad_json", says: /nests deeper/ },
    { ...POST, path: "/requests/a?name=x", headers: JSON_TYPE, body: "[".repeat(DEEP), code: "bad_json", says: /nests deeper/ },
  ],
  "a body that is not UTF-8": [
    {
      ...POST,
      path: "/channels/a",
      headers: { "content-type": "text/plain" },
      body: bytes(0xff, 0xfe),
      code: "bad_request",
      says: /not UTF-8/,
    },
    { ...POST, path: "/channels/a", headers: JSON_TYPE, body: bytes(0x22, 0xc0, 0x80, 0x22), code: "bad_request", says: /not UTF-8/ },
    { ...POST, path: "/publish", headers: JSON_TYPE, body: bytes(0xed, 0xa0, 0x80), code: "bad_request", says: /not UTF-8/ },
  ],
  "a body of the wrong shape": ["1", "null", '"x"', "[]", "{}", '{"channels":{}}', '{"channels":[1]}', '{"__proto__":{"channels":[]}}'].map(
    (body) => ({
      ...POST,
      path: "/events",
      headers: JSON_TYPE,
      body,
      code: "bad_request",
      says: /channels|asked for/,
    }),
  ),
  "an event that is none": ["connected", "gap", "bye", "error", "open", "$x", "", "a%00", "a%0Ab", "x".repeat(129)].flatMap((event) => [
    { ...POST, path: `/channels/a?event=${event}`, body: "1", code: "bad_event", says: /reserved|1 to 128 bytes/ },
    { ...POST, path: `/signals/a?event=${event}`, body: "1", headers: JSON_TYPE, code: "bad_event", says: /reserved|1 to 128 bytes/ },
  ]),
  "a signal without an event, and a request without a name": [
    { ...POST, path: "/signals/a", body: "1", headers: JSON_TYPE, code: "bad_event", says: /names its event/ },
    { ...POST, path: "/requests/a", body: "1", headers: JSON_TYPE, code: "bad_request", says: /names what it asks/ },
    {
      ...POST,
      path: "/requests/a?name=__proto__",
      body: "1",
      headers: JSON_TYPE,
      status: 404,
      code: "no_handler",
      says: /Nothing answers/,
    },
  ],
  "a key that is none": ["", '""', "x".repeat(129)].map((key) => ({
    ...POST,
    path: "/channels/a",
    headers: { "idempotency-key": key },
    body: "1",
    code: "bad_key",
    says: /1 to 128 bytes/,
  })),
  "an encoded body, or one of a type that is not taken": [
    {
      ...POST,
      path: "/channels/a",
      headers: { "content-encoding": "gzip" },
      body: "x",
      status: 415,
      code: "unsupported_media",
      says: /"gzip" are not taken/,
    },
    {
      ...POST,
      path: "/publish",
      headers: { ...JSON_TYPE, "content-encoding": "br" },
      body: "x",
      status: 415,
      code: "unsupported_media",
      says: /"br"/,
    },
    {
      ...POST,
      path: "/publish",
      headers: { "content-type": "text/plain" },
      body: "{}",
      status: 415,
      code: "unsupported_media",
      says: /application\/json/,
    },
    {
      ...POST,
      path: "/events",
      headers: { "content-type": "text/plain" },
      body: "{}",
      status: 415,
      code: "unsupported_media",
      says: /application\/json/,
    },
    {
      ...POST,
      path: "/signals/a?event=x",
      headers: { "content-type": "text/plain" },
      body: "1",
      status: 415,
      code: "unsupported_media",
      says: /application\/json/,
    },
  ],
  "a method that does nothing there": [
    ["PUT", "/channels/a", "GET, POST, HEAD, DELETE"],
    ["PATCH", "/channels/a", "GET, POST, HEAD, DELETE"],
    ["TRACE", "/channels/a", "GET, POST, HEAD, DELETE"],
    ["PROPFIND", "/channels/a", "GET, POST, HEAD, DELETE"],
    ["GET", "/publish", "POST"],
    ["DELETE", "/events?channel=a", "GET, POST"],
    ["GET", "/signals/a?event=x", "POST"],
    ["GET", "/requests/a?name=x", "POST"],
    ["POST", "/socket", "GET"],
  ].map(([method, path, allow]) => ({
    method: method!,
    path: path!,
    status: 405,
    code: "method_not_allowed",
    says: new RegExp(`Use ${allow}\\.$`),
  })),
  "a path that is nobody's": [
    "/",
    "/channel/a",
    "/channels",
    "/publish/a",
    "/events/a",
    "/socket/a",
    "/__proto__/a",
    "/constructor",
    "/toString/x",
    "//channels/a",
  ].map((path) => ({ path, status: 404, code: "not_found", says: /There is nothing at/ })),
  "a type that a channel is not": [
    { path: "/channels/a", headers: { accept: "image/png" }, status: 406, code: "not_acceptable", says: /event stream or/ },
  ],
};
