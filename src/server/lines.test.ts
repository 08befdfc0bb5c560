import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Line, readLines } from "./lines.ts";

const MAX = 64;

async function linesOf(...chunks: (string | Uint8Array)[]): Promise<Line[]> {
  const bytes = async function* () {
    for (const chunk of chunks) yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
  };
  const all: Line[] = [];
  for await (const lines of readLines(bytes(), MAX)) all.push(...lines);
  return all;
}

const textsOf = async (...chunks: (string | Uint8Array)[]) => (await linesOf(...chunks)).map(({ text }) => text);

describe("Lines of input", () => {
  test("end at LF or CR LF, and the last one also at the end", async () => {
    expect(await textsOf("a\nb\r\n\nc")).toEqual(["a", "b", "", "c"]);
    expect(await textsOf("a\n")).toEqual(["a"]);
    expect(await textsOf()).toEqual([]);
    expect(await textsOf("\n\n")).toEqual(["", ""]);
  });

  test("are numbered from 1", async () => {
    expect((await linesOf("a\nb", "c\nd")).map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  test("are the same however their bytes are cut into chunks", async () => {
    const input = fc.array(
      fc.string({ unit: "binary", maxLength: 12 }).map((text) => text.replace(/[\r\n]/g, "")),
      { maxLength: 8 },
    );
    await fc.assert(
      fc.asyncProperty(input, fc.infiniteStream(fc.integer({ min: 1, max: 7 })), async (texts, sizes) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; ) {
          const size = sizes.next().value as number;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(await textsOf(...chunks)).toEqual(texts);
      }),
    );
  });

  test("longer than a message may be are left out, told, and not kept", async () => {
    const long = "x".repeat(MAX + 1);
    expect(await textsOf(`a\n${long}\nb\n`)).toEqual(["a", null, "b"]);
    expect(await textsOf("x".repeat(MAX), "y", "z\nb\n")).toEqual([null, "b"]);
    expect(await textsOf("x".repeat(MAX), "\n", "x".repeat(MAX + 1))).toEqual(["x".repeat(MAX), null]);
  });

  test("that are not UTF-8 are mended, and say so", async () => {
    expect(await linesOf(new Uint8Array([0x61, 0xff, 0x0a]), "ä\n")).toEqual([
      { number: 1, text: "a\ufffd", mended: true },
      { number: 2, text: "ä", mended: false },
    ]);
  });
});
