import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { decodeBinary } from "../../src/client/bytes.ts";
import { readFrames } from "../../src/client/event-stream.ts";
import { checkChannelName } from "../../src/protocol/channel-name.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/frame.ts";
import { formatFrom, parseFrom } from "../../src/protocol/from.ts";
import { LIMITS } from "../../src/protocol/limits.ts";
import { checkEvent, checkKey } from "../../src/protocol/message.ts";
import { formatPosition, parsePosition, readPosition } from "../../src/protocol/position.ts";
import { readBody, readEnvelopes, readJson } from "../../src/transports/bodies.ts";
import { readClientFrame } from "../../src/wire/client-frame.ts";
import { readData } from "../../src/wire/data.ts";
import { frameJson, readServerFrame } from "../../src/wire/frame-json.ts";
import { createSseParser } from "../../src/wire/sse-parser.ts";
import { packBinary, unpackBinary } from "../../src/wire/websocket.ts";
import { seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { corpus } from "./corpus.ts";
import { clientFrame, from, name, position, serverFrame } from "./grammar.ts";
import { mutate } from "./mutate.ts";
import { PATIENCE_MS, runs, SEED } from "./settings.ts";

const timeout = { timeout: PATIENCE_MS };
const done: Record<string, number> = { positions: 0, frames: 0, streams: 0, bodies: 0 };
/** A seed of its own for each mutant, so that fast-check can name the one that fails. */
const mutantSeed = fc.nat();

const beganMs = performance.now();
afterAll(() => {
  console.log(`fuzz of the parsers, seed ${SEED}: ${JSON.stringify(done)}`);
  record("fuzz-parsers", {
    what: "Positions, frames, event streams in any pieces, and bodies, by grammar and as mutants: read as the law says, as another's parser reads them, or refused by their code.",
    injections: Object.values(done).reduce((sum, count) => sum + count, 0),
    ...done,
    control: "a parser that decodes each piece by itself, and one that drops a field it does not know, each found",
    seconds: Math.round((performance.now() - beganMs) / 1_000),
    seed: SEED,
  });
});

/** Reads it; or null if it is refused by one of these codes. Whatever else is thrown is a bug. */
function refused<Value>(read: () => Value, codes: RegExp): { readonly value: Value } | null {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof ThroughlineError && codes.test(error.code) && error.message.length > 10) return null;
    throw error;
  }
}

const mutant = (text: string, seed: number, others: readonly string[] = []): string =>
  Buffer.from(mutate(Buffer.from(text, "utf8").toString("latin1"), seededRandom(seed), others), "latin1").toString("utf8");

describe("Positions", () => {
  test("[D3] any text is a position that comes back as it was, or is refused as bad_position", timeout, () => {
    const text = fc.oneof(
      { weight: 3, arbitrary: position },
      { weight: 5, arbitrary: fc.tuple(position, mutantSeed).map(([one, seed]) => mutant(one, seed)) },
      { weight: 1, arbitrary: fc.string({ maxLength: 60, unit: "binary" }) },
    );
    fc.assert(
      fc.property(text, (one) => {
        done["positions"]!++;
        const read = refused(() => parsePosition(one), /^bad_position$/);
        expect(read?.value ?? null).toEqual(readPosition(one));
        // The oracle, written after the law and not after the code
        const isOne =
          /^[0-9a-f]{12}[0-9A-Za-z-]{8}\.[0-9]{16}\.[0-9A-Za-z-]{8}$/.test(one) &&
          !one.endsWith("\n") &&
          BigInt(one.slice(21, 37)) < 2n ** 53n;
        expect(read !== null).toBe(isOne);
        if (read !== null) expect(formatPosition(read.value)).toBe(one);
      }),
      runs(),
    );
  });

  test("any text is a From that means the same when it is written again, or is refused", timeout, () => {
    const text = fc.oneof(
      from,
      fc.tuple(from, mutantSeed).map(([one, seed]) => mutant(one, seed)),
    );
    fc.assert(
      fc.property(text, (one) => {
        const read = refused(() => parseFrom(one), /^bad_(from|position)$/);
        if (read === null) return;
        const { value } = read;
        const again =
          value.type === "last"
            ? formatFrom({ last: value.count })
            : value.type === "since"
              ? formatFrom({ since: value.atMs })
              : value.type === "after"
                ? formatFrom({ after: formatPosition(value.position) })
                : formatFrom(value.type);
        expect(parseFrom(again)).toEqual(value);
      }),
      runs(0.5),
    );
  });

  test("any text is the name of a channel as the law spells it, or is refused; and so are events and keys", timeout, () => {
    const text = fc.oneof(
      name,
      fc.tuple(name, mutantSeed).map(([one, seed]) => mutant(one, seed)),
      fc.string({ unit: "binary", maxLength: 140 }),
    );
    fc.assert(
      fc.property(text, (one) => {
        const isName =
          one.length <= 200 &&
          one.split("/").every((part) => /^[A-Za-z0-9_.:@~+=,-]+$/.test(part) && !/^(\.{1,2}|:.*)$/.test(part)) &&
          !one.includes("\n");
        expect(refused(() => checkChannelName(one), /^bad_channel$/) !== null).toBe(isName);
        const bytes = Buffer.byteLength(one);
        const isPlain = bytes > 0 && bytes <= 128 && !/[\p{Cc}\p{Cs}]/u.test(one.replace(/[\u0080-\u009f]/g, ""));
        expect(refused(() => checkKey(one), /^bad_key$/) !== null).toBe(isPlain);
        const isEvent = isPlain && !/^(\$|(connected|gap|bye|error|open)$)/.test(one);
        expect(refused(() => checkEvent(one), /^bad_event$/) !== null).toBe(isEvent);
      }),
      runs(0.5),
    );
  });
});

describe("Frames", () => {
  test(
    "a frame of a client is read as it was written; a mutant of it is read or refused, and takes nothing from prototypes",
    timeout,
    () => {
      fc.assert(
        fc.property(clientFrame, mutantSeed, (frame, seed) => {
          done["frames"]! += 2;
          const text = frameJson(frame as ClientFrame);
          expect(frameJson(readClientFrame(text, LIMITS))).toBe(text);
          const read = refused(() => readClientFrame(mutant(text, seed), LIMITS), /^bad_(json|frame)$/);
          if (read === null) return;
          expect(Object.getPrototypeOf(read.value)).toBe(Object.prototype);
          expect(["subscribe", "unsubscribe", "publish", "signal", "request", "ping"]).toContain(read.value.type);
          const { value } = read;
          if (value.type === "publish") refused(() => readData(value, LIMITS), /^bad_(json|frame)$/);
        }),
        runs(0.25),
      );
      expect(({} as { admin?: unknown }).admin).toBeUndefined();
    },
  );

  test("a binary message is read as it was packed; a mutant of it is read or refused, and its bytes lie within it", timeout, () => {
    fc.assert(
      fc.property(clientFrame, fc.uint8Array({ maxLength: 64 }), mutantSeed, (frame, data, seed) => {
        done["frames"]! += 2;
        const { data: _, encoding: __, ...head } = frame as Record<string, unknown>;
        const packed = packBinary(JSON.stringify(head), data);
        expect(unpackBinary(packed)).toEqual({ header: JSON.stringify(head), bytes: data });
        const message = Buffer.from(mutate(Buffer.from(packed).toString("latin1"), seededRandom(seed)), "latin1");
        const parts = refused(() => unpackBinary(message), /^bad_frame$/);
        if (parts === null) return;
        expect(parts.value.bytes.length).toBeLessThanOrEqual(message.length - 4);
        refused(() => readClientFrame(parts.value.header, LIMITS, parts.value.bytes), /^bad_(json|frame)$/);
      }),
      runs(0.125),
    );
  });

  test("a frame of the server is read as it was written; a mutant of it is read, refused, or of a type to be ignored", timeout, () => {
    fc.assert(
      fc.property(serverFrame, mutantSeed, (frame, seed) => {
        done["frames"]! += 2;
        const text = frameJson(frame as ServerFrame);
        expect(JSON.parse(JSON.stringify(readServerFrame(text)))).toEqual(JSON.parse(text));
        refused(() => readServerFrame(mutant(text, seed, corpus("sse"))), /^bad_(json|frame)$/);
      }),
      runs(0.25),
    );
  });

  test("the client's short form of a binary message agrees with the long one, or throws where that refuses", timeout, () => {
    const oneOf = corpus("json").map((text) => packBinary(text, Uint8Array.of(1, 2, 255)));
    fc.assert(
      fc.property(fc.constantFrom(...oneOf), mutantSeed, (packed, seed) => {
        done["frames"]!++;
        const message = Uint8Array.from(Buffer.from(mutate(Buffer.from(packed).toString("latin1"), seededRandom(seed)), "latin1"));
        let short: { data: Uint8Array } | null = null;
        try {
          short = decodeBinary(message.buffer);
        } catch {
          return;
        }
        const long = refused(() => unpackBinary(message), /^bad_frame$/);
        if (long !== null) expect(Buffer.compare(short!.data, long.value.bytes)).toBe(0);
      }),
      runs(0.125),
    );
  });
});

const SSE_TOKENS = [
  "\n",
  "\r",
  "\r\n",
  ":",
  " ",
  "data",
  "data:",
  "data: ",
  "id:",
  "event:",
  "retry:",
  "0",
  "é",
  "😀",
  "\0",
  "\ufeff",
  "x",
  "bye",
  "\n\n",
  "{}",
];

const stream = fc.oneof(
  fc.array(fc.constantFrom(...SSE_TOKENS), { maxLength: 40 }).map((tokens) => Buffer.from(tokens.join(""), "utf8")),
  fc
    .tuple(fc.constantFrom(...corpus("sse")), mutantSeed)
    .map(([text, seed]) => Buffer.from(mutate(text, seededRandom(seed), corpus("sse")), "latin1")),
);
const cuts = fc.array(fc.nat({ max: 2_000 }), { maxLength: 12 });

describe("Event streams", () => {
  test("[D2] any bytes, cut anywhere, are the same events to our parser as to another's", timeout, () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, at) => {
        done["streams"]!++;
        const ours: { event: string; data: string; id: string }[] = [];
        const parser = createSseParser({ onEvent: (event) => ours.push(event) });
        for (const piece of cut(bytes, at)) parser.push(piece);
        expect(ours.map(({ event, data }) => ({ event, data }))).toEqual(
          theirs(bytes).map(({ event, data }) => ({ event: event || "message", data })),
        );
      }),
      runs(0.5),
    );
  });

  test("the client's short parser throws at nothing but JSON, and brings the same frames under any cut", timeout, () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, at) => {
        const read = (pieces: readonly Uint8Array[]): unknown[] => {
          const frames: unknown[] = [];
          const push = readFrames((frame) => frames.push(frame));
          try {
            for (const piece of pieces) push(piece);
          } catch (error) {
            if (!(error instanceof SyntaxError)) throw error;
            frames.push("broken");
          }
          return frames;
        };
        expect(read(cut(bytes, at))).toEqual(read([bytes]));
      }),
      runs(0.25),
    );
  });
});

/** What an independent parser makes of it, in one piece. The mark at the start is the decoder's to drop; and since it waits behind a CR for what comes, something does. */
function theirs(bytes: Uint8Array): { event?: string | undefined; data: string }[] {
  const events: { event?: string | undefined; data: string }[] = [];
  createParser({ onEvent: (event) => events.push(event) }).feed(`${new TextDecoder().decode(bytes)}:`);
  return events;
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [0, ...at.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index]!, end));
}

describe("Bodies", () => {
  const requests = corpus("http").map((text) => text.slice(text.indexOf("\r\n\r\n") + 4));
  const types = ["application/json", "application/x-ndjson", "text/plain", "application/octet-stream", "", "application/vnd.a+json"];

  test("any bytes of any type are read, or refused as what they are not; each envelope stands for itself", timeout, () => {
    fc.assert(
      fc.property(fc.constantFrom(...requests), mutantSeed, fc.constantFrom(...types), (text, seed, type) => {
        done["bodies"]!++;
        const bytes = Buffer.from(mutate(text, seededRandom(seed), requests), "latin1");
        refused(() => readBody(type, bytes, undefined, LIMITS), /^bad_(json|request)$/);
        refused(() => readJson(bytes, LIMITS), /^bad_(json|request)$/);
        const envelopes = refused(() => readEnvelopes(type, bytes, { ...LIMITS, batchCountMax: 10 }), /^(bad_(json|request)|too_large)$/);
        for (const one of envelopes?.value ?? []) {
          if (one instanceof ThroughlineError) expect(one.code).toMatch(/^bad_(json|frame)$/);
          else expect(typeof one.channel).toBe("string");
        }
      }),
      runs(0.25),
    );
  });
});

describe("A parser with a fault on purpose is found", () => {
  test("where each piece is decoded by itself", timeout, () => {
    const sloppy = (pieces: readonly Uint8Array[]) => {
      const events: { event?: string | undefined; data: string }[] = [];
      const parser = createParser({ onEvent: (event) => events.push(event) });
      for (const piece of pieces) parser.feed(new TextDecoder().decode(piece));
      parser.feed(":");
      return events;
    };
    const asTheirs = fc.property(stream, cuts, (bytes, at) => expect(sloppy(cut(bytes, at))).toEqual(theirs(bytes)));
    expect(() => fc.assert(asTheirs, runs(0.5))).toThrow("Property failed");
  });

  test("where a field is dropped that it does not know", timeout, () => {
    const sloppy = (text: string) => {
      const { key: _, ...known } = JSON.parse(text);
      return JSON.stringify(known);
    };
    const asWritten = fc.property(clientFrame, (frame) => {
      const text = frameJson(frame as ClientFrame);
      expect(frameJson(readClientFrame(sloppy(text), LIMITS))).toBe(text);
    });
    expect(() => fc.assert(asWritten, runs(0.25))).toThrow("Property failed");
  });
});
