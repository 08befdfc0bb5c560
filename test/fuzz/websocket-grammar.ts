import fc from "fast-check";
import { clientFrame } from "./grammar.ts";

/** A frame as it goes onto the wire (RFC 6455 §5.2), right or wrong. `text` is bytes in Latin-1. */
export interface WireFrame {
  readonly opcode: number;
  readonly fin: boolean;
  /** Three bits. */
  readonly rsv: number;
  readonly masked: boolean;
  /** Which of the three forms of a length it is written in; a short length in a long form is wrong by §5.2, and taken by all. */
  readonly form: 7 | 16 | 64;
  readonly text: string;
  /** A length that is not that of the text: what follows is taken for its rest. */
  readonly claims?: number;
}

export const LENGTH_MAX = 65_536;

const json = clientFrame.map((frame) => JSON.stringify(frame));
const utf8 = fc
  .oneof({ weight: 4, arbitrary: json }, { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 20 }) })
  .map((text) => Buffer.from(text, "utf8").toString("latin1"));
const broken = fc.constantFrom("\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "ok\x80");
const packed = fc.tuple(utf8, fc.nat({ max: 80 }), utf8).map(([head, length, rest]) => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(length % 3 === 0 ? length * 1_000 : head.length);
  return size.toString("latin1") + head + rest;
});
const long = fc.constantFrom(125, 126, 127, 65_535, 65_536, 65_537).map((length) => "x".repeat(length));

const form = fc.constantFrom(7, 16, 64).map((one) => one as 7 | 16 | 64);
const odd = {
  rsv: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 7),
  masked: fc.nat({ max: 15 }).map((one) => one !== 0),
  form,
};

const message = fc.record({
  opcode: fc.constant(1),
  fin: fc.constant(true),
  ...odd,
  text: fc.oneof({ weight: 8, arbitrary: utf8 }, { weight: 1, arbitrary: broken }, { weight: 1, arbitrary: long }),
});
const binary = fc.record({ opcode: fc.constant(2), fin: fc.constant(true), ...odd, text: fc.oneof(packed, utf8, long) });
const part = fc.record({
  opcode: fc.constantFrom(0, 0, 0, 1, 2),
  fin: fc.boolean(),
  ...odd,
  text: fc.oneof(utf8, broken, fc.constant("")),
});
const control = fc.record({
  opcode: fc.constantFrom(9, 10),
  fin: fc.nat({ max: 9 }).map((one) => one !== 0),
  ...odd,
  text: fc
    .oneof({ weight: 6, arbitrary: fc.nat({ max: 125 }) }, { weight: 1, arbitrary: fc.constantFrom(126, 200) })
    .map((length) => "p".repeat(length)),
});
const reserved = fc.record({ opcode: fc.constantFrom(3, 4, 5, 6, 7, 11, 12, 13, 14, 15), fin: fc.boolean(), ...odd, text: utf8 });

const CODES = [
  0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4000, 4999, 5000,
  65_535,
];
const closing = fc.record({
  opcode: fc.constant(8),
  fin: fc.constant(true),
  ...odd,
  text: fc.oneof(
    fc.constantFrom("", "\x03"),
    fc
      .tuple(fc.constantFrom(...CODES), fc.oneof(fc.constantFrom("", "done", "x".repeat(123), "x".repeat(124)), broken))
      .map(([code, reason]) => String.fromCharCode(code >> 8, code & 255) + reason),
  ),
});
const boasting = fc.record({
  opcode: fc.constantFrom(1, 2),
  fin: fc.boolean(),
  rsv: fc.constant(0),
  masked: fc.constant(true),
  form: fc.constant(64 as const),
  text: utf8,
  claims: fc.constantFrom(LENGTH_MAX, LENGTH_MAX + 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63),
});

/** A message in two to five parts, cut anywhere (also within a character), with pings between. */
const fragmented = fc
  .tuple(fc.oneof(utf8, utf8, broken), fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([text, at, pinged]) => {
    const places = [0, ...at.map((one) => one % (text.length + 1)).sort((a, b) => a - b), text.length];
    const last = places.length - 2;
    const ping: WireFrame = { opcode: 9, fin: true, rsv: 0, masked: true, form: 7, text: "between" };
    return places.slice(1).flatMap((end, index): WireFrame[] => {
      const one: WireFrame = {
        opcode: index === 0 ? 1 : 0,
        fin: index === last,
        rsv: 0,
        masked: true,
        form: 7,
        text: text.slice(places[index], end),
      };
      return pinged ? [one, ping] : [one];
    });
  });

const single = fc
  .oneof(
    { weight: 12, arbitrary: message as fc.Arbitrary<WireFrame> },
    { weight: 4, arbitrary: binary as fc.Arbitrary<WireFrame> },
    { weight: 4, arbitrary: control as fc.Arbitrary<WireFrame> },
    { weight: 1, arbitrary: part as fc.Arbitrary<WireFrame> },
    { weight: 1, arbitrary: reserved as fc.Arbitrary<WireFrame> },
    { weight: 1, arbitrary: closing as fc.Arbitrary<WireFrame> },
    { weight: 1, arbitrary: boasting as fc.Arbitrary<WireFrame> },
  )
  .map((one) => [one]);

/** Few enough that their messages stay below `badFramesMax`. Behind a frame that claims more than it has nobody knows what is a frame: it is the last. */
export const sequence = fc
  .array(fc.oneof({ weight: 3, arbitrary: single }, { weight: 1, arbitrary: fragmented }), { minLength: 1, maxLength: 8 })
  .map((all) => all.flat())
  .map((frames) => {
    const claiming = frames.findIndex(({ claims }) => claims !== undefined);
    return claiming < 0 ? frames : frames.slice(0, claiming + 1);
  });

export function encode({ opcode, fin, rsv, masked, form: wanted, text, claims }: WireFrame): string {
  const length = claims ?? text.length;
  const shortest = length < 126 ? 7 : length < 65_536 ? 16 : 64;
  const written = Math.max(wanted, shortest);
  const head = Buffer.alloc(written === 7 ? 2 : written === 16 ? 4 : 10);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | (written === 7 ? length : written === 16 ? 126 : 127);
  if (written === 16) head.writeUInt16BE(length, 2);
  if (written === 64) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return head.toString("latin1") + text;
  const mask = [length & 255, 0x5a, 0x00, 0xff];
  return (
    head.toString("latin1") +
    String.fromCharCode(...mask) +
    [...text].map((one, at) => String.fromCharCode(one.charCodeAt(0) ^ mask[at % 4]!)).join("")
  );
}

export type Outcome = number | "refused" | "lives" | "waits";

/**
 * What RFC 6455 says of a sequence: the close code that the server must answer with, `refused`, by one of two, `lives`, or `waits`, for the rest of a frame.
 * Written after the RFC alone.
 */
export function outcome(frames: readonly WireFrame[]): Outcome {
  let open: { opcode: number; text: string } | null = null;
  for (const frame of frames) {
    const { opcode, fin, rsv, masked, text } = frame;
    const length = frame.claims ?? text.length;
    const isControl = opcode >= 8;
    // §5.2, §5.5: what a frame may be at all
    if (rsv !== 0 || (opcode > 2 && opcode < 8) || opcode > 10) return 1002;
    if (isControl && (!fin || length > 125 || frame.form > 7)) return 1002;
    // §5.4
    if (!isControl && (opcode === 0) !== (open !== null)) return 1002;
    // §5.1
    if (!masked) return 1002;
    if (isControl) {
      if (opcode === 8) return closeOf(text);
      continue;
    }
    // A length with its first bit set is an error, and one that no machine could hold is too big: both are right to say
    if (length > Number.MAX_SAFE_INTEGER) return "refused";
    const whole: { opcode: number; text: string } = { opcode: open?.opcode ?? opcode, text: (open?.text ?? "") + text };
    if ((open?.text.length ?? 0) + length > LENGTH_MAX) return 1009;
    if (frame.claims !== undefined && frame.claims > text.length) return "waits";
    open = fin ? null : whole;
    // §8.1
    if (fin && whole.opcode === 1 && !isUtf8(whole.text)) return 1007;
  }
  return "lives";
}

/** §7.1.5, §7.4: what a close frame is answered with. */
function closeOf(text: string): number {
  if (text.length === 0) return 1005;
  if (text.length === 1) return 1002;
  const code = text.charCodeAt(0) * 256 + text.charCodeAt(1);
  const isKnown = (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999);
  if (!isKnown) return 1002;
  return isUtf8(text.slice(2)) ? code : 1007;
}

function isUtf8(latin: string): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(latin, "latin1"));
    return true;
  } catch {
    return false;
  }
}
