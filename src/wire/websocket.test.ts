import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import {
  binaryFrame,
  closeFrame,
  headLength,
  OPCODES,
  packBinary,
  pingFrame,
  textFrame,
  textRoom,
  unpackBinary,
  writeHead,
  writeText,
} from "./websocket.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const badFrame = expect.objectContaining({ name: "ThroughlineError", code: "bad_frame" });

/** What a `ws` client on loopback makes of bytes that a server writes after the handshake, down to the close code. */
async function throughClient(chunks: readonly Uint8Array[]): Promise<unknown[]> {
  const server = createServer();
  server.on("upgrade", (request, socket) => {
    // RFC 6455 §4.2.2
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    for (const chunk of chunks) socket.write(chunk);
    // Reads the client's pongs and its close away, so that both ends finish
    socket.resume().end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { maxPayload: 64 << 20 });
  const heard: unknown[] = [];
  client.on("message", (data: Uint8Array, binary) => heard.push(binary ? new Uint8Array(data) : data.toString()));
  client.on("ping", (data) => heard.push({ ping: data.toString() }));
  client.on("error", (error) => heard.push(error));
  const [code, reason] = (await once(client, "close")) as [number, Buffer];
  heard.push({ code, reason: reason.toString() });
  await new Promise((done) => server.close(done));
  return heard;
}

describe("The head of a frame", () => {
  test.each([
    [0, "8100"],
    [125, "817d"],
    [126, "817e007e"],
    [65535, "817effff"],
    [65536, "817f0000000000010000"],
    [0xffffffff, "817f00000000ffffffff"],
    [2 ** 32 + 5, "817f0000000100000005"],
    [Number.MAX_SAFE_INTEGER, "817f001fffffffffffff"],
  ])("says %d bytes as RFC 6455 §5.2 has it", (length, hex) => {
    const bytes = new Uint8Array(12).fill(0xee);
    const end = writeHead(bytes, 1, OPCODES.text, length);
    expect(end).toBe(1 + headLength(length));
    expect(Buffer.from(bytes.subarray(1, end)).toString("hex")).toBe(hex);
    expect([bytes[0], bytes[end]]).toEqual([0xee, end < 12 ? 0xee : undefined]);
  });
});

describe("A frame that a server sends", () => {
  test("is read by a client as what was sent, at every size of head", async () => {
    const texts = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20].map((length) => "x".repeat(length));
    // 42 characters of three bytes are one too many for the short head that 42 units suggest, and so on
    const wide = [
      "é".repeat(63),
      "日".repeat(41),
      "日".repeat(42),
      "😀".repeat(31),
      "😀".repeat(32),
      "日".repeat(21845),
      "日".repeat(21846),
      "é\0\r\n",
    ];
    const bytes = [0, 1, 125, 126, 65535, 65536, 1 << 20].map((length) => Uint8Array.from({ length }, (_, index) => index * 7));
    const frames = [
      ...[...texts, ...wide].map(textFrame),
      ...bytes.map(binaryFrame),
      pingFrame(),
      pingFrame(utf8("are you there")),
      closeFrame(4008, "slow"),
    ];
    const heard = await throughClient(frames);
    const sent = [...texts, ...wide, ...bytes, { ping: "" }, { ping: "are you there" }, { code: 4008, reason: "slow" }];
    expect(heard.length).toBe(sent.length);
    // Compared one by one, for a difference in a megabyte is not worth printing
    for (const [index, each] of sent.entries()) {
      const same =
        each instanceof Uint8Array
          ? Buffer.compare(each, heard[index] as Uint8Array) === 0
          : JSON.stringify(each) === JSON.stringify(heard[index]);
      expect(same, `message ${index}`).toBe(true);
    }
  });

  test("is the same whether written into a buffer or by itself", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "é", "日", "😀", "\ud800", "\0"), maxLength: 140 }), fc.nat(5), (text, at) => {
        const target = new Uint8Array(at + textRoom(text));
        const end = writeText(target, at, text);
        expect(target.slice(at, end)).toEqual(textFrame(text));
      }),
      { numRuns: 1000 },
    );
    const dense = "日".repeat(300);
    expect(writeText(new Uint8Array(textRoom(dense)), 0, dense)).toBe(4 + 900);
  });

  test("is a ping of at most 125 bytes", () => {
    expect(pingFrame(new Uint8Array(125))).toHaveLength(127);
    expect(() => pingFrame(new Uint8Array(126))).toThrow(RangeError);
  });
});

describe("A close frame", () => {
  test("cuts its reason to 123 bytes, between two characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "é", "日", "😀", "\udc00"), maxLength: 140 }), (reason) => {
        const frame = closeFrame(4400, reason);
        expect(frame[1]).toBe(frame.length - 2);
        expect(frame.length).toBeLessThanOrEqual(127);
        expect([...frame.subarray(2, 4)]).toEqual([4400 >> 8, 4400 & 255]);
        const said = new TextDecoder("utf-8", { fatal: true }).decode(frame.subarray(4));
        const whole = new TextDecoder().decode(utf8(reason));
        expect(whole.startsWith(said)).toBe(true);
        const next = [...whole][[...said].length];
        expect(next === undefined || utf8(said + next).length > 123).toBe(true);
      }),
    );
  });

  test.each([1000, 1001, 1003, 1007, 1009, 1011, 1012, 1013, 3000, 4400, 4999])("may say %d", (code) => {
    expect(closeFrame(code)).toEqual(Uint8Array.of(0x88, 2, code >> 8, code & 255));
  });

  test.each([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 4000.5, Number.NaN])("may not say %d (RFC 6455 §7.4)", (code) => {
    expect(() => closeFrame(code)).toThrow(RangeError);
  });
});

describe("A binary message", () => {
  test("comes apart into the header and the bytes it was packed of", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.uint8Array({ maxLength: 50 }), fc.nat(9), (header, bytes, before) => {
        const packed = packBinary(header, bytes);
        // As it may stand within the buffer of a socket
        const within = new Uint8Array(before + packed.length + 3).fill(0xff);
        within.set(packed, before);
        const { header: read, bytes: rest } = unpackBinary(within.subarray(before, before + packed.length));
        expect([read, new Uint8Array(rest)]).toEqual([header, bytes]);
      }),
    );
  });

  test("begins with the length of its header, big endian", () => {
    expect([...packBinary("{}", Uint8Array.of(9))]).toEqual([0, 0, 0, 2, 123, 125, 9]);
  });

  test("is refused wherever it is cut before its data: bad_frame", () => {
    const packed = packBinary('{"type":"publish"}', new Uint8Array(0));
    for (let length = 0; length < packed.length; length++) expect(() => unpackBinary(packed.subarray(0, length))).toThrow(badFrame);
    expect(unpackBinary(packed).bytes).toHaveLength(0);
  });

  test("is refused where its header claims more than there is, or is not UTF-8: bad_frame", () => {
    expect(() => unpackBinary(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 1, 2, 3))).toThrow(badFrame);
    expect(() => unpackBinary(Uint8Array.of(0, 0, 0, 1, 0xc3, 0xa9))).toThrow(badFrame);
  });
});
