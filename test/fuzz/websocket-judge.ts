import { ERRORS } from "../../src/protocol/error.ts";
import { readServerFrame } from "../../src/wire/frame-json.ts";
import { unpackBinary } from "../../src/wire/websocket.ts";
import { judgeError, readAnswers } from "./answers.ts";
import type { Attack, Judge } from "./hunt.ts";
import { cut, shoot } from "./shoot.ts";
import { encode, type Outcome, outcome, type WireFrame } from "./websocket-grammar.ts";

const HANDSHAKE =
  "GET /socket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const PROBE = encode({ opcode: 9, fin: true, rsv: 0, masked: true, form: 7, text: "still there?" });

/** What a server may close with by itself: RFC 6455 §7.4.1 as far as frames are concerned, and PROTOCOL.md §11. */
const CLOSES = new Set<number>([1000, 1002, 1003, 1007, 1008, 1009, 1011, ...Object.values(ERRORS).map(({ close }) => close)]);

interface Heard {
  /** -1 if it was not closed; 1005 if without a code. */
  readonly close: number;
  readonly isAlive: boolean;
}

/** The frames of a server, each held to RFC 6455 §5 and PROTOCOL.md §5. Throws a sentence about what is wrong. */
export function hear(received: string): Heard {
  let isAlive = false;
  for (let rest = received; rest.length >= 2; ) {
    const bytes = Buffer.from(rest.slice(0, 10), "latin1");
    const opcode = bytes[0]! & 15;
    if ((bytes[0]! & 0xf0) !== 0x80 || ![1, 2, 8, 9, 10].includes(opcode)) throw new Error(`No frame of a server begins with ${bytes[0]}.`);
    const short = bytes[1]!;
    if (short > 127) throw new Error("A frame of the server is masked.");
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (rest.length < head) break;
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    if (rest.length < head + length) break;
    const text = rest.slice(head, head + length);
    rest = rest.slice(head + length);
    if (opcode === 10) isAlive ||= text === "still there?";
    else if (opcode === 8) {
      if (rest !== "") throw new Error("Something follows the close frame.");
      return { close: text === "" ? 1005 : text.charCodeAt(0) * 256 + text.charCodeAt(1), isAlive };
    } else if (opcode !== 9) judgeFrame(opcode, Buffer.from(text, "latin1"));
  }
  return { close: -1, isAlive };
}

function judgeFrame(opcode: number, bytes: Buffer): void {
  const { header, bytes: data } = opcode === 2 ? unpackBinary(bytes) : { header: bytes.toString("utf8"), bytes: undefined };
  const frame = readServerFrame(header, data);
  if (frame === null) throw new Error(`The server says ${header.slice(0, 200)}`);
  if (frame.type === "error" || frame.type === "bye") judgeError(frame);
}

/** Bytes after a handshake, in pieces, and what the server made of them. `expected`: what RFC 6455 says; null where nobody knows. */
async function say(port: number, pieces: readonly string[], expected: Outcome | null): Promise<string | null> {
  const framesOf = (received: string): string | null => {
    const end = received.indexOf("\r\n\r\n");
    return end < 0 ? null : received.slice(end + 4);
  };
  let fault: string | null = null;
  const heard = (received: string): Heard | null => {
    try {
      const frames = framesOf(received);
      if (frames === null) return null;
      const [answer] = readAnswers(received, "");
      if (answer?.status !== 101) throw new Error(`The handshake was answered ${answer?.status}.`);
      return hear(frames);
    } catch (error) {
      fault ??= (error as Error).message;
      return null;
    }
  };
  const waits = expected === null || expected === "waits";
  const isDone = (received: string): boolean => {
    const told = heard(received);
    return fault !== null || (told !== null && (told.close >= 0 || (told.isAlive && expected === "lives")));
  };
  let said = false;
  const next = (received: string): string | null => {
    if (said || framesOf(received) === null) return null;
    said = true;
    return pieces.join("") + PROBE;
  };
  const { received, late } = await shoot(port, [HANDSHAKE], waits ? undefined : isDone, next);
  const told = heard(received);
  if (fault !== null) return fault;
  if (told === null) return "The handshake was not answered.";
  if (expected === "waits") return told.close >= 0 || told.isAlive ? `It should wait for more, and said ${JSON.stringify(told)}.` : null;
  if (expected === null) return told.close >= 0 && !isDocumented(told.close, pieces.join("")) ? `It was closed with ${told.close}.` : null;
  if (late) return `Expected ${expected}; nothing came but ${JSON.stringify(told)}.`;
  if (expected === "lives") return told.isAlive && told.close < 0 ? null : `It should live, and was closed with ${told.close}.`;
  const isRight = expected === "refused" ? told.close === 1002 || told.close === 1009 : told.close === expected;
  return isRight ? null : `It should be closed with ${expected}, and was with ${told.close}${told.isAlive ? ", after an answer" : ""}.`;
}

/** Ours, or an echo of what the client closed with. */
function isDocumented(code: number, sent: string): boolean {
  return CLOSES.has(code) || code === 1005 || (/[\x88]/.test(sent) && ((code >= 1000 && code < 1015) || (code >= 3000 && code < 5000)));
}

/** A sequence of frames, as JSON, which must come out as RFC 6455 says. */
const judgeSequence: Judge = async ({ port }, input) => {
  const frames = JSON.parse(input) as WireFrame[];
  return say(port, cut(frames.map(encode).join(""), [7, 90, 1_000]), outcome(frames));
};

/** Without this frame or that, and with shorter texts. */
async function fewerFrames(input: string, fails: (text: string) => Promise<boolean>): Promise<string> {
  let frames = JSON.parse(input) as WireFrame[];
  for (let at = frames.length - 1; at >= 0; at--) {
    const fewer = frames.filter((_, index) => index !== at);
    if (await fails(JSON.stringify(fewer))) frames = fewer;
    else await shorten(at);
  }

  async function shorten(at: number): Promise<void> {
    for (let one = frames[at]!; one.text.length > 1; one = frames[at]!) {
      const shorter = frames.with(at, { ...one, text: one.text.slice(0, one.text.length >> 1) });
      if (!(await fails(JSON.stringify(shorter)))) return;
      frames = shorter;
    }
  }
  return JSON.stringify(frames);
}

export const SEQUENCES: Attack = { judge: judgeSequence, minimise: fewerFrames };
/** Bytes that need not be frames. */
export const MUTANT_SEQUENCES: Attack = { judge: ({ port }, input) => say(port, [input], null) };
