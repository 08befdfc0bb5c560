import { createParser, type EventSourceMessage } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatComment, formatEvent, type SseEvent } from "./sse.ts";

/** What means something to the format, what looks like it, and what UTF-8 makes hard. */
const hostile = fc.string({
  unit: fc.constantFrom(
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\0",
    ":",
    " ",
    "data: x",
    "event: gap",
    "id: 1",
    "é",
    "😀",
    "\ud800",
    "\udc00",
    "\ufeff",
    "\u2028",
  ),
  maxLength: 24,
});
const line = hostile.map((text) => text.replace(/[\r\n\0]/g, ""));

function read(text: string): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  // As it arrives: in UTF-8, of which lone surrogates are no part
  parser.feed(new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text)));
  return events;
}

const wellFormed = (text: string) => text.replace(/\p{Surrogate}/gu, "\ufffd");
const folded = (text: string) => wellFormed(text.replace(/\r\n?/g, "\n"));

describe("An event", () => {
  test("is written with its fields in one block", () => {
    expect(formatEvent({ retry: 1840, event: "order", id: "7", data: "a" })).toBe("retry: 1840\nevent: order\nid: 7\ndata: a\n\n");
    expect(formatEvent({ data: "" })).toBe("data: \n\n");
  });

  test("has one data line per line of its data, whatever ends them", () => {
    expect(formatEvent({ data: "a\nb\r\nc\rd\n" })).toBe("data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
  });

  test("is read by another parser as the one event it is, whatever its strings hold", () => {
    fc.assert(
      fc.property(line, line, hostile, (event, id, data) => {
        const read1 = { data: folded(data), id: wellFormed(id), event: event === "" ? undefined : wellFormed(event) };
        expect(read(formatEvent({ event, id, data }))).toEqual([read1]);
      }),
      { numRuns: 1000 },
    );
  });

  test("of empty data is dispatched, with empty data", () => {
    expect(read(formatEvent({ data: "" })).map(({ data }) => data)).toEqual([""]);
  });

  test("keeps the one space that its data begins with", () => {
    expect(read(formatEvent({ event: " x", data: " a\n b" }))).toMatchObject([{ event: " x", data: " a\n b" }]);
  });

  test.each(["\r", "\n", "\0", "a\r\nb", "\ndata: forged"])("refuses %j in its event and in its id", (text) => {
    expect(() => formatEvent({ event: text, data: "" })).toThrow(RangeError);
    expect(() => formatEvent({ id: text, data: "" })).toThrow(RangeError);
  });

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e21])("refuses %d as its retry", (retry) => {
    expect(() => formatEvent({ retry, data: "" })).toThrow(RangeError);
  });
});

describe("A comment", () => {
  test("is the shortest heartbeat if it says nothing", () => {
    expect(formatComment("")).toBe(":\n\n");
  });

  test("is never an event, whatever it holds, and leaves its neighbours alone", () => {
    const before: SseEvent = { data: "before" };
    fc.assert(
      fc.property(hostile, (text) => {
        const events = read(formatEvent(before) + formatComment(text) + formatEvent({ data: "after" }));
        expect(events.map(({ data, id, event }) => [data, id, event])).toEqual([
          ["before", undefined, undefined],
          ["after", undefined, undefined],
        ]);
      }),
      { numRuns: 1000 },
    );
  });

  test("begins each of its lines with a colon", () => {
    expect(formatComment("a\nb\r\nc\r")).toBe(":a\n:b\n:c\n:\n\n");
  });
});
