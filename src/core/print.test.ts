import { expect, test } from "vitest";
import { seededRandom } from "../../test/support/clock.ts";
import { printOf, tagOf } from "./print.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("[D5] the same event, kind and data have the same print", () => {
  expect(printOf("order", "json", '{"total":12}')).toBe(printOf("order", "json", '{"total":12}'));
  expect(printOf("order", "bytes", bytes("abc"))).toBe(printOf("order", "bytes", bytes("abc")));
});

test.each([
  ["data", printOf("a", "text", "x"), printOf("a", "text", "y")],
  ["order", printOf("a", "text", "xy"), printOf("a", "text", "yx")],
  ["event", printOf("a", "text", "x"), printOf("b", "text", "x")],
  ["kind", printOf("a", "text", "1"), printOf("a", "json", "1")],
  ["kind, where the bytes are the text's", printOf("a", "text", "x"), printOf("a", "bytes", bytes("x"))],
  ["length", printOf("a", "bytes", new Uint8Array(3)), printOf("a", "bytes", new Uint8Array(4))],
  ["place of the border between event and data", printOf("a", "text", "b c"), printOf("a b", "text", "c")],
  ["character beyond 16 bits", printOf("a", "text", "😀"), printOf("a", "text", "😁")],
])("[D5] another %s has another print", (_, one, other) => {
  expect(one).not.toBe(other);
});

test("[D5] 200,000 messages that differ little have as many prints", () => {
  const random = seededRandom(1);
  const prints = new Set<string>();
  for (let made = 0; made < 100_000; made++) prints.add(printOf("message", "json", `{"n":${made}}`));
  for (let made = 0; made < 100_000; made++) prints.add(printOf("message", "text", `${made}${random.letters(3)}`));
  expect(prints.size).toBe(200_000);
});

test("[D9] members whose data count up and down have no sum of tags in common, though their texts differ in a letter", () => {
  const names = Array.from("abcdefghij", (name) => `${name} ada`);
  const pairs = names.flatMap((one, index) => names.slice(index + 1).map((other) => [one, other] as const));
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  for (const [one, other] of pairs) {
    const sums = numbers.flatMap((up) => numbers.map((down) => (tagOf(`${one}\n${up}`) + tagOf(`${other}\n${down}`)) % 2 ** 48));
    expect(new Set(sums).size, `${one} and ${other}`).toBe(sums.length);
  }
});
