import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSseParser, type ParsedEvent } from "./sse-parser.ts";

interface Heard {
  readonly events: ParsedEvent[];
  readonly retries: number[];
  readonly comments: string[];
}

function hear(chunks: readonly (string | Uint8Array)[]): Heard {
  const heard: Heard = { events: [], retries: [], comments: [] };
  const parser = createSseParser({
    onEvent: (event) => heard.events.push(event),
    onRetry: (ms) => heard.retries.push(ms),
    onComment: (text) => heard.comments.push(text),
  });
  for (const chunk of chunks) parser.push(chunk);
  parser.end();
  return heard;
}

/** The pieces that `cuts`, of any size, make of `whole`. */
function cut<Whole extends { readonly length: number; slice(from: number, to: number): Whole }>(
  whole: Whole,
  cuts: readonly number[],
): Whole[] {
  const at = [0, ...cuts.map((each) => each % (whole.length + 1)), whole.length].sort((a, b) => a - b);
  return at.slice(1).map((to, index) => whole.slice(at[index] as number, to));
}

const bytes = (text: string) => new TextEncoder().encode(text);
const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** Streams made of the pieces of the grammar (§9.2.5) in any order, good and bad. */
const stream = fc
  .array(
    fc.oneof(
      fc.constantFrom("\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\ufeff", ":", " ", "\0"),
      fc.constantFrom(
        "data",
        "data:",
        "data: ",
        "data:  ",
        "event:",
        "event: ",
        "id",
        "id:",
        "id: ",
        "retry: ",
        "Data: ",
        " data: ",
        "dat",
        "a: b",
      ),
      fc.constantFrom("1", "007", "1x", "é", "日本", "😀", "text", "\u2028", "\v\f"),
    ),
    { maxLength: 60 },
  )
  .map((pieces) => pieces.join(""));

describe("A parser of event streams", () => {
  test.each([
    ["the first example of §9.2.6", "data: YHOO\ndata: +2\ndata: 10\n\n", [{ event: "message", data: "YHOO\n+2\n10", id: "" }]],
    [
      "the second: comments, an empty id, one space stripped",
      ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event",
      [
        { event: "message", data: "first event", id: "1" },
        { event: "message", data: "second event", id: "" },
      ],
    ],
    [
      "the third: empty data is data, and the last block is unfinished",
      "data\n\ndata\ndata\n\ndata:",
      [
        { event: "message", data: "", id: "" },
        { event: "message", data: "\n", id: "" },
      ],
    ],
    [
      "the fourth: two identical events",
      "data:test\n\ndata: test\n\n",
      [
        { event: "message", data: "test", id: "" },
        { event: "message", data: "test", id: "" },
      ],
    ],
  ])("reads %s", (_name, text, events) => {
    expect(hear([text]).events).toEqual(events);
  });

  test.each(["\n", "\r", "\r\n"])("ends a line at %j", (end) => {
    const text = ["event: a", "id: 1", "data: x", "data: y", "", "data: z", "", ""].join(end);
    const events = [
      { event: "a", data: "x\ny", id: "1" },
      { event: "message", data: "z", id: "1" },
    ];
    expect(hear([text]).events).toEqual(events);
    expect(hear([...text]).events).toEqual(events);
    expect(hear([...bytes(text)].map((byte) => Uint8Array.of(byte))).events).toEqual(events);
  });

  test("dispatches at a CR, without waiting for an LF that may not come", () => {
    const events: string[] = [];
    const parser = createSseParser({ onEvent: ({ data }) => events.push(data) });
    parser.push("data: a\r\r");
    expect(events).toEqual(["a"]);
    parser.push("\ndata: b\r\n\r");
    expect(events).toEqual(["a", "b"]);
    parser.push("");
    parser.push("\ndata: c\n\n");
    expect(events).toEqual(["a", "b", "c"]);
  });

  test("does not dispatch an event without data, but keeps its id and forgets its name", () => {
    expect(hear(["event: a\nid: 5\n\ndata: x\n\n"]).events).toEqual([{ event: "message", data: "x", id: "5" }]);
  });

  test("keeps the last id until another comes, and takes an empty one", () => {
    expect(hear(["id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n"]).events.map(({ id }) => id)).toEqual(["1", "1", ""]);
  });

  test("ignores an id with NUL in it", () => {
    expect(hear(["id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n"]).events.map(({ id }) => id)).toEqual(["1", "1"]);
  });

  test("takes a retry of digits only", () => {
    expect(hear(["retry: 10\nretry: 007\nretry:\nretry: -1\nretry: 1.5\nretry: 1e3\nretry: ١\nretry:  2\n"]).retries).toEqual([10, 7]);
  });

  test("tells comments, and skips fields it does not know", () => {
    const { events, comments } = hear([": one\n:\nfoo: bar\nDATA: x\n data: y\n\n:two\n"]);
    expect({ events, comments }).toEqual({ events: [], comments: ["one", "", "two"] });
  });

  test("ignores one byte order mark at the start, and no other", () => {
    for (const chunks of [
      ["\ufeffdata: a\n\n"],
      ["\ufeff", "data: a\n\n"],
      [bytes("\ufeffdata: a\n\n")],
      cut(bytes("\ufeffdata: a\n\n"), [1, 2]),
    ]) {
      expect(hear(chunks).events).toEqual([{ event: "message", data: "a", id: "" }]);
    }
    expect(hear([bytes("\ufeff\ufeffdata: a\n\n")]).events).toEqual([]);
    expect(hear([bytes("data: a\n\n\ufeffdata: b\n\n")]).events.map(({ data }) => data)).toEqual(["a"]);
  });

  test("discards an unfinished event when the stream ends, and whatever is pushed later", () => {
    const events: ParsedEvent[] = [];
    const parser = createSseParser({ onEvent: (event) => events.push(event) });
    parser.push("data: a\n");
    parser.end();
    parser.push("\ndata: b\n\n");
    expect(events).toEqual([]);
  });

  test("stops in the middle of a chunk when its reader ends it there", () => {
    const events: string[] = [];
    const parser = createSseParser({
      onEvent: ({ data }) => {
        events.push(data);
        parser.end();
      },
    });
    parser.push("data: a\n\ndata: b\n\n");
    expect(events).toEqual(["a"]);
  });

  test("hears the same however a stream is cut, as text and as bytes", () => {
    fc.assert(
      fc.property(stream, cuts, (text, at) => {
        const whole = hear([text]);
        expect(hear(cut(text, at))).toEqual(whole);
        expect(hear(cut(bytes(text), at))).toEqual(whole);
        expect(hear([...bytes(text)].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
      }),
      { numRuns: 2000 },
    );
  });

  test("hears what eventsource-parser hears", () => {
    fc.assert(
      fc.property(stream, (text) => {
        const theirs: unknown[] = [];
        const retries: number[] = [];
        const parser = createParser({
          onEvent: ({ event, data }) => theirs.push({ event: event ?? "message", data }),
          onRetry: (ms) => retries.push(ms),
        });
        // It leaves the mark to the decoder, and waits for what follows a CR
        parser.feed(`${text.replace(/^\ufeff/, "")}:`);
        const ours = hear([text]);
        expect(ours.events.map(({ event, data }) => ({ event, data }))).toEqual(theirs);
        expect(ours.retries).toEqual(retries);
      }),
      { numRuns: 2000 },
    );
  });

  test("takes bytes that are not UTF-8 as U+FFFD", () => {
    expect(hear([Uint8Array.of(...bytes("data: a"), 0xff, 0xc3), bytes("b\n\n")]).events[0]?.data).toBe("a\ufffd\ufffdb");
  });
});

describe("The bound of a parser", () => {
  function overflowing(bytesMax: number) {
    const told: string[] = [];
    const parser = createSseParser({ onEvent: ({ data }) => told.push(data), bytesMax, onOverflow: () => told.push("overflow") });
    return { told, parser };
  }

  test("ends an unfinished line beyond it, once, and nothing is read any more", () => {
    const { told, parser } = overflowing(100);
    for (let piece = 0; piece < 30; piece++) parser.push("data: 5678");
    parser.push("\n\ndata: b\n\n");
    expect(told).toEqual(["overflow"]);
  });

  test("ends an event of many lines beyond it", () => {
    const { told, parser } = overflowing(100);
    for (let line = 0; line < 30; line++) parser.push("data: 56789\n");
    parser.push("\n");
    expect(told).toEqual(["overflow"]);
  });

  test("lets any number of events pass that are within it", () => {
    const { told, parser } = overflowing(100);
    for (let count = 0; count < 1000; count++) parser.push(`data: ${"x".repeat(90)}\n\n`);
    expect(told).toHaveLength(1000);
  });

  test("costs a long line in many pieces its length, not its square", () => {
    const piece = bytes("x".repeat(64));
    const time = (pieces: number, lines: number) => {
      const parser = createSseParser({ onEvent: () => {} });
      const start = performance.now();
      for (let line = 0; line < lines; line++) {
        parser.push("data: ");
        for (let count = 0; count < pieces; count++) parser.push(piece);
        parser.push("\n\n");
      }
      return performance.now() - start;
    };
    time(20_000, 1);
    // As many pieces in eight lines and in one, in turn, so that a busy machine is so for both: as long, and eight times if each piece made the line be read again
    const ratios = [1, 2, 3].map(() => time(160_000, 1) / time(20_000, 8));
    expect(Math.min(...ratios)).toBeLessThan(4);
  });
});
