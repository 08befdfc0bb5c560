import { ThroughlineError } from "./error.ts";
import { LIMITS, type Limits } from "./limits.ts";

/**
 * How a message's data is held: `json` as its JSON text, `text` as text, `bytes` as bytes. What is published from JavaScript or in a
 * frame is JSON; a plain POST is what its Content-Type says.
 */
export type Kind = "json" | "text" | "bytes";

/** Where a publish was stored: in memory, on disk after fsync (survives a power cut), or on more than one machine. */
export type Level = "memory" | "disk" | "replicated";

/** The event of a message that names none, as in EventSource. */
export const DEFAULT_EVENT = "message";

/** Names that a plain event stream uses for itself, so that no message may have them. */
export const RESERVED_EVENTS: ReadonlySet<string> = new Set(["connected", "gap", "bye", "error", "open"]);

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are exactly what is refused (they would break an SSE field)
const UNSAFE = /[\u0000-\u001f\u007f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** Checks the name of an event. Throws `bad_event`. */
export function checkEvent(event: unknown, limits: Pick<Limits, "eventBytesMax"> = LIMITS): string {
  if (event === undefined) return DEFAULT_EVENT;
  if (typeof event !== "string" || event === "" || UNSAFE.test(event) || utf8Length(event) > limits.eventBytesMax) {
    throw new ThroughlineError(
      "bad_event",
      `An event's name is 1 to ${limits.eventBytesMax} bytes of text without control characters. Leave it out for "message".`,
    );
  }
  if (RESERVED_EVENTS.has(event) || event.startsWith("$")) {
    throw new ThroughlineError("bad_event", `The event name ${JSON.stringify(event)} is reserved for the stream itself. Choose another.`);
  }
  return event;
}

/** Checks an idempotency key. Throws `bad_key`. */
export function checkKey(key: unknown, limits: Pick<Limits, "keyBytesMax"> = LIMITS): string {
  if (typeof key !== "string" || key === "" || UNSAFE.test(key) || utf8Length(key) > limits.keyBytesMax) {
    throw new ThroughlineError(
      "bad_key",
      `An idempotency key is 1 to ${limits.keyBytesMax} bytes of text without control characters. A random UUID is a good one.`,
    );
  }
  return key;
}

/** The UTF-8 bytes of a text (WHATWG Encoding: a lone surrogate is replaced, by three bytes). */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(index + 1) & 0xfc00) === 0xdc00) {
      bytes += 2;
      index++;
    } else bytes += 2;
  }
  return bytes;
}
