import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { alone, counted, nodeHost, type Running, run } from "../adapters/host.ts";
import { HANDSHAKE, JSON_TYPE } from "../adapters/requests.ts";
import { EventReader, FrameClient, RawClient } from "../support/raw-clients.ts";
import { DEEP, REFUSALS } from "./refusals.ts";

const bytes = (...numbers: number[]) => new Uint8Array(numbers);

let site: Running;
let witness: EventReader;

/** Whatever is sent, another client reads on, nothing is stored, and no fault of ours is in the log. */
beforeEach(async () => {
  site = await run(nodeHost, { limits: { badFramesMax: 1_000 } });
  witness = new EventReader(await site.ask("/channels/witness"));
  expect(await witness.next()).toMatchObject({ event: "connected" });
});

afterEach(async () => {
  await counted(site.tl, 1);
  await site.tl.channel("witness").publish("undisturbed");
  expect(await witness.next()).toMatchObject({ data: '"undisturbed"' });
  expect((await site.tl.channel("a").history()).messages).toEqual([]);
  expect(site.sentences).toEqual([]);
  expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
  await witness.close();
  await alone(site.tl);
});

describe("HTTP", () => {
  for (const [what, refusals] of Object.entries(REFUSALS)) {
    test(`${what} is refused with its code and a sentence, and nothing is stored`, async () => {
      for (const { path, method = "GET", headers, body, status = 400, code, says } of refusals) {
        // Two slashes at the beginning mean the root to `ask`, and are meant here.
        const response = await site.ask(path.startsWith("//") ? `/${path}` : path, { method, headers: headers ?? {}, body: body ?? null });
        const shown = [method, path.slice(0, 80), JSON.stringify(headers ?? "").slice(0, 80)];
        expect([...shown, response.status]).toEqual([...shown, status]);
        const { error } = await response.json();
        expect([...shown, error]).toEqual([...shown, { code, message: expect.stringMatching(says) }]);
      }
    });
  }

  test("envelopes that are none are refused one by one, and those beside them are stored", async () => {
    const bad: [unknown, string][] = [
      [null, "bad_frame"],
      [7, "bad_frame"],
      ["a", "bad_frame"],
      [[], "bad_frame"],
      [{}, "bad_frame"],
      [{ channel: "b" }, "bad_frame"],
      [{ channel: 7, data: 1 }, "bad_frame"],
      [{ channel: "..", data: 1 }, "bad_channel"],
      [{ channel: "b", data: 1, event: 7 }, "bad_frame"],
      [{ channel: "b", data: 1, event: "gap" }, "bad_event"],
      [{ channel: "b", data: 1, key: "" }, "bad_key"],
      [{ channel: "b", data: 1, encoding: "gzip" }, "bad_frame"],
      [{ channel: "b", data: 1, encoding: "text" }, "bad_frame"],
      [{ channel: "b", data: "%%", encoding: "base64" }, "bad_frame"],
      [JSON.parse('{"__proto__":{"channel":"b","data":1}}'), "bad_frame"],
    ];
    const envelopes = [...bad.map(([envelope]) => envelope), { channel: "b", data: "good", more: 1 }];
    const response = await site.ask("/publish", { method: "POST", headers: JSON_TYPE, body: JSON.stringify(envelopes) });
    const results = (await response.json()) as { error?: { code: string }; position?: string }[];
    expect(results.map(({ error }) => error?.code)).toEqual([...bad.map(([, code]) => code), undefined]);
    expect((await site.tl.channel("b").history()).messages.map(({ data }) => data)).toEqual(["good"]);
  });

  test("__proto__ and constructor are data like any other", async () => {
    const body = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}';
    expect((await site.ask("/channels/b", { method: "POST", headers: { ...JSON_TYPE, __proto__: "x" } as never, body })).status).toBe(201);
    const page = await site.ask("/channels/b?__proto__=x&constructor=y", { headers: { accept: "application/json" } });
    expect(await page.text()).toContain(`"data":${body}`);
  });

  const GARBAGE: Readonly<Record<string, string>> = {
    "bytes that are no HTTP": "\x00\x01\x02\xff\xfe\r\n\r\n",
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".padEnd(200, "\x55"),
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that does not exist": "GET /channels/a HTTP/9.9\r\nHost: a\r\n\r\n",
    "a request without a Host": "GET /channels/a HTTP/1.1\r\n\r\n",
    "two lengths": "POST /channels/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length and chunks":
      "POST /channels/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /channels/a",
    "a negative length": "POST /channels/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a broken chunk": "POST /channels/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    "a line folded into a header": "GET /channels/a HTTP/1.1\r\nHost: a\r\nX: 1\r\n\u0000 2\r\n\r\n",
    "a header without a colon": "GET /channels/a HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "a header of 20 kB": `GET /channels/a HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
    "3,000 headers": `GET /channels/a HTTP/1.1\r\nHost: a\r\n${Array.from({ length: 3_000 }, (_, n) => `X${n}: 1\r\n`).join("")}\r\n`,
    "3,000 headers of an upgrade": `GET /socket HTTP/1.1\r\nHost: a\r\n${HANDSHAKE.join("\r\n")}\r\n${Array.from({ length: 3_000 }, (_, n) => `X${n}: 1\r\n`).join("")}\r\n`,
    "a URL of 100 kB": `GET /channels/${"x".repeat(100_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  };
  for (const [what, garbage] of Object.entries(GARBAGE)) {
    test(`${what}: the connection is closed, after an error at most`, async () => {
      const client = await RawClient.open(site.port);
      client.write(Buffer.from(garbage, "latin1"));
      await client.ended;
      expect(client.text).toMatch(/^(HTTP\/1\.1 4\d\d |$)/);
      expect(client.text.match(/HTTP\/1\.1/g)?.length ?? 0).toBeLessThan(2);
    });
  }

  test("a body that is cut off, and one that comes byte by byte, hold nobody up", async () => {
    const cut = await RawClient.open(site.port);
    cut.ask("POST /channels/a", "Content-Length: 10").write("12345");
    cut.socket.end();
    await cut.ended;
    const slow = await RawClient.open(site.port);
    slow.ask("POST /channels/b", "Content-Length: 10");
    for (const letter of "slow bytes") {
      slow.write(letter);
      // Something else is answered in between.
      expect((await site.ask("/channels/a?wait=0")).status).toBe(200);
    }
    expect((await slow.answer()).status).toBe(201);
  });
});

/** A masked frame of a client (RFC 6455 §5.2). */
function frame(first: number, payload: Uint8Array | string, { mask = true, length }: { mask?: boolean; length?: number[] } = {}): Buffer {
  const data = Buffer.from(payload as string);
  const size = length ?? (data.length < 126 ? [data.length] : [126, data.length >> 8, data.length & 255]);
  const head = Buffer.from([first, (mask ? 0x80 : 0) | size[0]!, ...size.slice(1), ...(mask ? [0, 0, 0, 0] : [])]);
  return Buffer.concat([head, data]);
}

const DEEPEST = `{"id":7,"type":${"[".repeat(1_000_000)}`;

describe("WebSocket", () => {
  const FRAMES: readonly (readonly [frame: string, code: string])[] = [
    ["", "bad_json"],
    ["{", "bad_json"],
    ["undefined", "bad_json"],
    ["[".repeat(DEEP), "bad_json"],
    [`{"type":"publish","channel":"a","data":${"[".repeat(2_000)}${"]".repeat(2_000)}}`, "bad_json"],
    ["null", "bad_frame"],
    ["7", "bad_frame"],
    ["[]", "bad_frame"],
    ["{}", "bad_frame"],
    ['{"type":7}', "bad_frame"],
    ['{"type":"nothing"}', "bad_frame"],
    ['{"type":"constructor"}', "bad_frame"],
    ['{"type":"__proto__"}', "bad_frame"],
    ['{"__proto__":{"type":"ping"}}', "bad_frame"],
    ['{"type":"connected"}', "bad_frame"],
    ['{"type":"subscribe"}', "bad_frame"],
    ['{"type":"subscribe","channel":7}', "bad_frame"],
    ['{"type":"subscribe","channel":"a","id":"7"}', "bad_frame"],
    ['{"type":"subscribe","channel":"a","id":1.5}', "bad_frame"],
    ['{"type":"subscribe","channel":"a","id":1e400}', "bad_frame"],
    ['{"type":"subscribe","channel":".."}', "bad_channel"],
    ['{"type":"subscribe","channel":"a","from":"later"}', "bad_from"],
    ['{"type":"subscribe","channel":"a","from":"after:x"}', "bad_position"],
    ['{"type":"publish","channel":"a"}', "bad_frame"],
    ['{"type":"publish","channel":"$a","data":1}', "bad_channel"],
    ['{"type":"publish","channel":"a","data":1,"event":"bye"}', "bad_event"],
    ['{"type":"publish","channel":"a","data":1,"key":""}', "bad_key"],
    ['{"type":"publish","channel":"a","data":1,"encoding":"text"}', "bad_frame"],
    ['{"type":"publish","channel":"a","data":"%","encoding":"base64"}', "bad_frame"],
    ['{"type":"publish","channel":"a","data":"x","encoding":"gzip"}', "bad_frame"],
    ['{"type":"signal","channel":"a","event":"$x","data":1}', "bad_event"],
    ['{"type":"signal","channel":"/","event":"x","data":1}', "bad_channel"],
    ['{"type":"request","channel":"a","name":"x","data":1}', "bad_frame"],
    ['{"type":"request","channel":"a","id":1,"name":"x","data":1}', "no_handler"],
  ];

  test("a frame that cannot be read or done is answered by its error, and the connection lives on", async () => {
    const client = await FrameClient.open(site.socketUrl("/socket"));
    for (const [text, code] of FRAMES) {
      client.send(text);
      expect([text.slice(0, 80), (await client.next("error"))["code"]]).toEqual([text.slice(0, 80), code]);
    }
    const binary: [Uint8Array, string][] = [
      [bytes(), "bad_frame"],
      [bytes(0, 0, 0), "bad_frame"],
      [bytes(255, 255, 255, 255, 1), "bad_frame"],
      [bytes(0, 0, 0, 2, 0xc0, 0x80), "bad_frame"],
      [bytes(0, 0, 0, 1, 0x7b), "bad_json"],
      [Buffer.from('\0\0\0\x0f{"type":"ping"}'), "bad_frame"],
    ];
    for (const [message, code] of binary) {
      client.socket.send(message);
      expect([message, (await client.next("error"))["code"]]).toEqual([message, code]);
    }
    client.send({ type: "ping" });
    expect(await client.next("heartbeat")).toEqual({ type: "heartbeat" });
    client.socket.close();
    await client.closed;
  });

  test("a frame that nests too deep is not parsed for the sake of its id either", async () => {
    const parse = vi.spyOn(JSON, "parse");
    onTestFinished(() => parse.mockRestore());
    const client = await FrameClient.open(site.socketUrl("/socket"));
    client.send(DEEPEST);
    expect(await client.next("error")).toMatchObject({ code: "bad_json" });
    expect(parse.mock.calls.filter(([text]) => text === DEEPEST)).toEqual([]);
    client.socket.close();
    await client.closed;
  });

  const BREACHES: Readonly<Record<string, readonly [bytes: Uint8Array, code: number]>> = {
    "a frame that is not masked": [frame(0x81, "{}", { mask: false }), 1002],
    "a reserved bit": [frame(0xc1, "{}"), 1002],
    "an opcode that does not exist": [frame(0x83, "{}"), 1002],
    "a control frame of 126 bytes": [frame(0x89, "x".repeat(126)), 1002],
    "a control frame in parts": [frame(0x09, "x"), 1002],
    "a continuation of nothing": [frame(0x80, "x"), 1002],
    "a text within a text in parts": [Buffer.concat([frame(0x01, "x"), frame(0x01, "y")]), 1002],
    "a text that is not UTF-8": [frame(0x81, bytes(0xff, 0xfe)), 1007],
    "a close code that must not be sent": [frame(0x88, bytes(3, 237)), 1002],
    "a close frame of one byte": [frame(0x88, bytes(3)), 1002],
    "a length of 2^63": [frame(0x82, "", { length: [127, 0x80, 0, 0, 0, 0, 0, 0, 0] }), 1009],
    "a length of 2^53": [frame(0x82, "", { length: [127, 0, 0x20, 0, 0, 0, 0, 0, 0] }), 1009],
    "a length above bodyBytesMax": [frame(0x82, "", { length: [127, 0, 0, 0, 0, 0, 0x80, 0, 1] }), 1009],
    "a message in 20,000 parts": [Buffer.concat(new Array(20_000).fill(frame(0x00, "x")).with(0, frame(0x01, "x"))), 1008],
    "a message in 20,000 empty parts": [Buffer.concat(new Array(20_000).fill(frame(0x00, "")).with(0, frame(0x01, ""))), 1008],
    garbage: [Buffer.from("GET / HTTP/1.1\r\n\r\n"), 1002],
  };
  for (const [what, [breach, code]] of Object.entries(BREACHES)) {
    test(`${what} closes the connection with ${code}`, async () => {
      const client = await RawClient.open(site.port);
      client.ask("GET /socket", ...HANDSHAKE);
      await client.until(/"type":"connected".*\}/);
      client.text = "";
      client.write(breach);
      await client.ended;
      // The last frame: a close, its length, its code.
      const at = client.text.lastIndexOf("\x88");
      expect((client.text.charCodeAt(at + 2) << 8) | client.text.charCodeAt(at + 3)).toBe(code);
    });
  }

  test("bytes at random close the connection, and nothing else", async () => {
    const noise = Buffer.alloc(1_000);
    for (let round = 0; round < 50; round++) {
      crypto.getRandomValues(noise);
      const client = await RawClient.open(site.port);
      client.ask("GET /socket", ...HANDSHAKE);
      await client.until(/"type":"connected".*\}/);
      client.write(noise);
      client.socket.end();
      await client.ended;
    }
  });

  const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
  const VERSION = "Sec-WebSocket-Version: 13";
  const UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"];
  const HANDSHAKES: Readonly<Record<string, readonly [line: string, headers: string[], status: number, code: string]>> = {
    "no key": ["GET /socket", [...UPGRADE, VERSION], 400, "bad_request"],
    "a key that is none": ["GET /socket", [...UPGRADE, VERSION, "Sec-WebSocket-Key: short"], 400, "bad_request"],
    "no version": ["GET /socket", [...UPGRADE, KEY], 426, "upgrade_required"],
    "another version": ["GET /socket", [...UPGRADE, KEY, "Sec-WebSocket-Version: 99"], 426, "upgrade_required"],
    "a version that is none": ["GET /socket", [...UPGRADE, KEY, "Sec-WebSocket-Version: 13, 13"], 426, "upgrade_required"],
    "an Upgrade to something else": ["GET /socket", ["Connection: Upgrade", "Upgrade: constructor", KEY, VERSION], 426, "upgrade_required"],
    "an Upgrade to __proto__": ["GET /socket", ["Connection: Upgrade", "Upgrade: __proto__", KEY, VERSION], 426, "upgrade_required"],
    "an empty Upgrade": ["GET /socket", ["Connection: Upgrade", "Upgrade:", KEY, VERSION], 426, "upgrade_required"],
    "another method": ["POST /socket", [...UPGRADE, KEY, VERSION, "Content-Length: 0"], 405, "method_not_allowed"],
    "subprotocols that are none": ["GET /socket", [...UPGRADE, KEY, VERSION, "Sec-WebSocket-Protocol: ,,"], 400, "bad_request"],
    "another path": ["GET /sockets", [...UPGRADE, KEY, VERSION], 404, "not_found"],
    "a path that is a stream's": ["GET /channels/a", [...UPGRADE, KEY, VERSION], 404, "not_found"],
    "a channel that is none": ["GET /socket?channel=..", [...UPGRADE, KEY, VERSION], 400, "bad_channel"],
  };
  for (const [what, [line, headers, status, code]] of Object.entries(HANDSHAKES)) {
    test(`a handshake with ${what} is answered ${status} ${code}, and closed`, async () => {
      const client = await RawClient.open(site.port);
      const answer = await client.ask(line, ...headers).answer();
      expect([answer.status, JSON.parse(answer.body).error.code, answer.headers.get("connection")]).toEqual([status, code, "close"]);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        ...(status === 426 ? { upgrade: "websocket" } : {}),
        ...(status === 405 ? { allow: "GET" } : {}),
      });
      await client.ended;
      expect(client.text).toBe("");
    });
  }
});
