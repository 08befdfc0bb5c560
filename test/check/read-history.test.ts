import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readHistory } from "./read-history.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "throughline-history-"));
});
afterEach(() => rmSync(home, { recursive: true }));

function file(name: string, text: string): string {
  writeFileSync(join(home, name), text);
  return join(home, name);
}

function pipe(t: number, cid: string): string {
  return `${JSON.stringify({ type: "open", t, cid, transport: "sse" })}\n`;
}

test("the events of several files come in the order of time, those of one file in its own order, the first file first", () => {
  const one = file("one", pipe(1, "a") + pipe(3, "b") + pipe(3, "c"));
  const other = file("other", pipe(0, "d") + pipe(3, "e") + pipe(4, "f"));
  expect([...readHistory([one, other])].map((event) => "cid" in event && event.cid).join("")).toBe("dabcef");
});

test("a file larger than what is read at once is read whole", () => {
  const count = 50_000;
  const large = file("large", Array.from({ length: count }, (_, t) => pipe(t, `é${t}`)).join(""));
  const cids = [...readHistory([large])].map((event) => "cid" in event && event.cid);
  expect(cids).toEqual(Array.from({ length: count }, (_, t) => `é${t}`));
});

test("a last line that a kill cut is left out; any other that is not JSON is named", () => {
  expect([...readHistory([file("cut", `${pipe(1, "a")}{"type":"open","t":2`)])]).toHaveLength(1);
  expect(() => [...readHistory([file("bad", `${pipe(1, "a")}nonsense\n`)])]).toThrow(/bad:2 is not JSON/);
});
