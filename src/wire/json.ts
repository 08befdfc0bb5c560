import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";

/** The JSON text of a value from JavaScript. Throws `bad_json` for what JSON cannot hold: undefined, a function, a BigInt, a circle. */
export function stringifyJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new ThroughlineError("bad_json", `This value cannot be JSON: ${reasonOf(cause)}`, { cause });
  }
  if (text === undefined) throw new ThroughlineError("bad_json", `JSON has no ${typeof value}. Use null for "nothing".`);
  return text;
}

/** The value of a JSON text. Throws `bad_json`. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ThroughlineError("bad_json", `This is not JSON: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Refuses with `bad_json` what nests deeper than `jsonDepthMax`, by counting brackets outside strings. For text from outside, before it
 * is parsed. What is too short to nest so deep, which is nearly everything, is not even read.
 *
 * Parsers on the other side stop somewhere (serde_json at 128, Jackson at 1,000), and `JSON.stringify` overflows the stack at several thousand, at a
 * depth that varies with the caller: a fixed bound makes the same text pass, or not, everywhere.
 */
export function checkJsonDepth(text: string, { jsonDepthMax }: Pick<Limits, "jsonDepthMax">): void {
  if (text.length < 2 * jsonDepthMax) return;
  let depth = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit === QUOTE) inString = !inString;
    else if (inString) {
      if (unit === BACKSLASH) index++;
    } else if (unit === OPEN_ARRAY || unit === OPEN_OBJECT) {
      if (++depth > jsonDepthMax) throw new ThroughlineError("bad_json", `JSON may nest ${jsonDepthMax} deep, and this nests deeper.`);
    } else if (unit === CLOSE_ARRAY || unit === CLOSE_OBJECT) depth--;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message.slice(0, 120) : "";
}
