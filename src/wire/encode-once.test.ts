import type { Writable } from "node:stream";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as ws from "ws";
import type { Batch, Entry } from "../protocol/entry.ts";
import type { MessageFrame } from "../protocol/frame.ts";
import { LIMITS } from "../protocol/limits.ts";
import { formatPosition } from "../protocol/position.ts";
import { decodeBase64 } from "./base64.ts";
import { entryValue, jsonContent, messageValue, readData } from "./data.ts";
import { encodeFramesSse, encodeFramesWebSocket, encodePlain, encodeVector, vectorEvent } from "./encode-once.ts";
import { readServerFrame } from "./frame-json.ts";
import { createSseParser, type ParsedEvent } from "./sse-parser.ts";
import { unpackBinary } from "./websocket.ts";

const CHANNEL = "chat/lobby";
const EPOCH = "000001a1b2c3d4Zk3x9QpA";

// What means something to a format, what looks like it, and what UTF-8 makes hard
const hostile = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      "\r",
      "\n",
      "\r\n",
      "\n\n",
      "\0",
      ":",
      " ",
      '"',
      "\\",
      "data: x",
      "event: gap",
      "id: 1",
      "é",
      "日",
      "😀",
      "\ud800",
      "\udc00",
      "\ufeff",
      "\u2028",
    ),
    fc.string({ minLength: 1, maxLength: 1 }),
  ),
  maxLength: 40,
});
/** JSON as people POST it: with line ends of every kind between its tokens. */
const spacedJson = fc
  .tuple(fc.jsonValue(), fc.constantFrom("\n", "\r\n", "\r", " \n\n\t"))
  .map(([value, space]) => JSON.stringify(value, null, 1).replaceAll("\n", space));
const content = fc.oneof(
  hostile.map((data) => readData({ data }, LIMITS)),
  fc.jsonValue().map((data) => readData({ data }, LIMITS)),
  spacedJson.map((text) => jsonContent(text, LIMITS)),
  hostile.map((data) => readData({ data, encoding: "text" }, LIMITS)),
  fc.uint8Array({ maxLength: 40 }).map((data) => readData({ data }, LIMITS)),
);
const event = fc.oneof(fc.constant("message"), fc.constantFrom("order", " x", "é😀", "data", 'a"b\\'));
const entries = fc.tuple(fc.nat(1e9), fc.array(fc.tuple(content, event), { minLength: 1, maxLength: 6 })).map(([first, list]): Entry[] =>
  list.map(([{ kind, data, size }, name], index) => ({
    offset: first + index,
    tag: "f3Zk9dQ1",
    at: 1e12 + index,
    event: name,
    kind,
    data,
    size,
  })),
);
const batch = entries.map((list): Batch => ({ channel: CHANNEL, epoch: EPOCH, entries: list }));
const cuts = fc.array(fc.nat(), { maxLength: 8 });

const folded = (text: string) => text.replace(/\r\n?/g, "\n");
const positionOf = ({ offset, tag }: Entry) => formatPosition({ epoch: EPOCH, offset, tag });

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const ends = [...at.map((each) => each % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((to, index) => bytes.subarray(ends[index - 1] ?? 0, to));
}

function ourEvents(chunks: readonly Uint8Array[]): ParsedEvent[] {
  const events: ParsedEvent[] = [];
  const parser = createSseParser({ onEvent: (each) => events.push(each) });
  for (const chunk of chunks) parser.push(chunk);
  return events;
}

function theirEvents(bytes: Uint8Array): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  createParser({ onEvent: (each) => events.push(each) }).feed(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
  return events;
}

/** The messages that the `ws` package reads, as a client. */
function webSocketMessages(chunks: readonly Uint8Array[]): (string | Uint8Array)[] {
  const { Receiver } = ws as unknown as { readonly Receiver: new () => Writable };
  const messages: (string | Uint8Array)[] = [];
  const receiver = new Receiver();
  receiver.on("message", (data: Uint8Array, binary: boolean) => messages.push(binary ? new Uint8Array(data) : data.toString()));
  receiver.on("error", (error) => {
    throw error;
  });
  for (const chunk of chunks) receiver.write(chunk);
  return messages;
}

/** What every frames codec must give back, exactly. */
function expectMessages(frames: readonly unknown[], list: readonly Entry[]): void {
  expect(frames).toHaveLength(list.length);
  for (const [index, entry] of list.entries()) {
    const frame = frames[index] as MessageFrame;
    expect(frame).toMatchObject({ channel: CHANNEL, id: `${entry.offset}.${entry.tag}`, at: entry.at });
    expect(frame.event ?? "message").toBe(entry.event);
    expect(messageValue(frame)).toEqual(entryValue(entry));
  }
}

describe("A batch as plain events", () => {
  test("looks as the law shows it", () => {
    const list: Entry[] = [
      { offset: 42, tag: "f3Zk9dQ1", at: 1, event: "message", kind: "json", data: '{"text":"hello"}', size: 1 },
      { offset: 43, tag: "0dk2mQx7", at: 1, event: "order", kind: "text", data: "a\r\nb", size: 1 },
      { offset: 9007199254740991, tag: "--------", at: 1, event: "message", kind: "bytes", data: Uint8Array.of(1), size: 1 },
    ];
    expect(new TextDecoder().decode(encodePlain({ channel: CHANNEL, epoch: EPOCH, entries: list }))).toBe(
      `id: ${EPOCH}.0000000000000042.f3Zk9dQ1\ndata: {"text":"hello"}\n\n` +
        `event: order\nid: ${EPOCH}.0000000000000043.0dk2mQx7\ndata: a\ndata: b\n\n` +
        `id: ${EPOCH}.9007199254740991.--------\ndata: AQ==\n\n`,
    );
  });

  test("is read as the same messages under any cut, but for the line ends of text, and by another parser too", () => {
    fc.assert(
      fc.property(batch, cuts, (sent, at) => {
        const bytes = encodePlain(sent);
        const events = ourEvents(cut(bytes, at));
        expect(theirEvents(bytes).map(({ event = "message", data, id }) => ({ event, data, id }))).toEqual(events);
        expect(events).toHaveLength(sent.entries.length);
        for (const [index, entry] of sent.entries.entries()) {
          const { event, data, id } = events[index] as ParsedEvent;
          expect({ event, id }).toEqual({ event: entry.event, id: positionOf(entry) });
          if (entry.kind === "bytes") expect(decodeBase64(data)).toEqual(entry.data);
          else if (entry.kind === "text") expect(data).toBe(folded(entry.data as string));
          else expect(JSON.parse(data)).toEqual(entryValue(entry));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("refuses an event's name with a line end in it, which the door should have", () => {
    const entry: Entry = { offset: 1, tag: "f3Zk9dQ1", at: 1, event: "a\ndata: forged", kind: "text", data: "", size: 0 };
    expect(() => encodePlain({ channel: CHANNEL, epoch: EPOCH, entries: [entry] })).toThrow(RangeError);
  });
});

describe("A batch as frames on an event stream", () => {
  test("is read as exactly the same messages under any cut, and by another parser too", () => {
    fc.assert(
      fc.property(batch, cuts, (sent, at) => {
        const bytes = encodeFramesSse(sent);
        const events = ourEvents(cut(bytes, at));
        expect(theirEvents(bytes).map(({ data }) => data)).toEqual(events.map(({ data }) => data));
        expect(events.every(({ event, id }) => event === "message" && id === "")).toBe(true);
        expectMessages(
          events.map(({ data }) => readServerFrame(data)),
          sent.entries,
        );
      }),
      { numRuns: 1000 },
    );
  });
});

describe("A batch as WebSocket messages", () => {
  const frameOf = (message: string | Uint8Array) => {
    if (typeof message === "string") return readServerFrame(message);
    const { header, bytes } = unpackBinary(message);
    return readServerFrame(header, bytes);
  };

  test("is read by ws as exactly the same messages under any cut, bytes as binary", () => {
    fc.assert(
      fc.property(batch, cuts, (sent, at) => {
        const messages = webSocketMessages(cut(encodeFramesWebSocket(sent), at));
        expect(messages.map((message) => typeof message !== "string")).toEqual(sent.entries.map(({ kind }) => kind === "bytes"));
        expectMessages(messages.map(frameOf), sent.entries);
      }),
      { numRuns: 1000 },
    );
  });

  test("has the right head at every length, in ASCII and beyond it", () => {
    const texts = ["x", "é", "日", "😀"].flatMap((unit) => [...Array(140).keys(), 65400, 65536].map((count) => unit.repeat(count)));
    const list = texts.map(
      (data, index): Entry => ({
        offset: index,
        tag: "f3Zk9dQ1",
        at: 1,
        event: "message",
        ...readData({ data, encoding: "text" }, LIMITS),
      }),
    );
    const frames = webSocketMessages([encodeFramesWebSocket({ channel: CHANNEL, epoch: EPOCH, entries: list })]).map(frameOf);
    expect(frames.map((frame) => (frame as MessageFrame).data === texts[Number.parseInt((frame as MessageFrame).id, 10)])).toEqual(
      texts.map(() => true),
    );
  });
});

describe("A batch on a stream of many channels", () => {
  test("is read as the same messages, each with the positions of all channels after it", () => {
    fc.assert(
      fc.property(batch, cuts, (sent, at) => {
        const events = ourEvents(
          cut(
            encodeVector(sent, (entry) => `p,${positionOf(entry)}`),
            at,
          ),
        );
        expect(events.map(({ id }) => id)).toEqual(sent.entries.map((entry) => `p,${positionOf(entry)}`));
        for (const [index, entry] of sent.entries.entries()) {
          const envelope = JSON.parse((events[index] as ParsedEvent).data);
          expect(events[index]?.event).toBe("message");
          expect(envelope).toMatchObject({ channel: CHANNEL, event: entry.event, position: positionOf(entry), at: entry.at });
          expect(messageValue(envelope)).toEqual(entryValue(entry));
        }
      }),
    );
  });

  test("refuses an id with a line end in it", () => {
    const entry: Entry = { offset: 1, tag: "f3Zk9dQ1", at: 1, event: "message", kind: "json", data: "1", size: 8 };
    expect(() => vectorEvent({ channel: CHANNEL, epoch: EPOCH }, entry, "a\nb")).toThrow(RangeError);
  });
});

describe("A batch of any codec", () => {
  const large = ["x", "é", "日\r\n", "\n"].flatMap((unit) => {
    const text = unit.repeat((1 << 20) / new TextEncoder().encode(unit).length);
    return [readData({ data: text }, LIMITS), readData({ data: text, encoding: "text" }, LIMITS)];
  });
  const contents = [...large, readData({ data: new Uint8Array(1 << 20).fill(0x0a) }, LIMITS)];
  const list = contents.map((each, index): Entry => ({ offset: index + 1, tag: "f3Zk9dQ1", at: 1, event: "message", ...each }));
  const sent: Batch = { channel: CHANNEL, epoch: EPOCH, entries: list };
  // In pieces of 64 kB, as sockets give them
  const pieces = (bytes: Uint8Array) =>
    Array.from({ length: Math.ceil(bytes.length / 65_536) }, (_, index) => bytes.subarray(index * 65_536, (index + 1) * 65_536));

  test("carries messages of a megabyte", () => {
    expect(
      ourEvents(pieces(encodePlain(sent))).every(({ data }, index) => {
        const { kind, data: text } = list[index] as Entry;
        return kind === "bytes" ? decodeBase64(data).length === 1 << 20 : data === (kind === "text" ? folded(text as string) : text);
      }),
    ).toBe(true);
    const overSse = ourEvents(pieces(encodeFramesSse(sent))).map(({ data }) => readServerFrame(data) as MessageFrame);
    const overWebSocket = webSocketMessages(pieces(encodeFramesWebSocket(sent))).map((message) => {
      if (typeof message === "string") return readServerFrame(message) as MessageFrame;
      const { header, bytes } = unpackBinary(message);
      return readServerFrame(header, bytes) as MessageFrame;
    });
    for (const frames of [overSse, overWebSocket]) {
      expect(frames).toHaveLength(list.length);
      // Compared here, for a difference in a megabyte is not worth printing
      const same = frames.map((frame, index) => {
        const [got, want] = [messageValue(frame), entryValue(list[index] as Entry)];
        return got instanceof Uint8Array ? Buffer.compare(got, want as Uint8Array) === 0 : got === want;
      });
      expect(same).toEqual(list.map(() => true));
    }
  });

  test("is bytes of its own, which encoding the next batch leaves alone", () => {
    const small = [readData({ data: "first" }, LIMITS), readData({ data: Uint8Array.of(1) }, LIMITS)];
    const next = small.map((each, index): Entry => ({ offset: index + 1, tag: "f3Zk9dQ1", at: 1, event: "message", ...each }));
    for (const encode of [encodePlain, encodeFramesSse, encodeFramesWebSocket]) {
      const first = encode({ ...sent, entries: next });
      const copy = first.slice();
      encode(sent);
      expect(first).toEqual(copy);
      expect(first.buffer.byteLength).toBe(first.length);
    }
  });
});
