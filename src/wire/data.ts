import type { Entry } from "../protocol/entry.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { MessageFrame, PublishFrame } from "../protocol/frame.ts";
import type { Limits } from "../protocol/limits.ts";
import { DEFAULT_EVENT, utf8Length } from "../protocol/message.ts";
import { decodeBase64 } from "./base64.ts";
import { checkJsonDepth, parseJson, stringifyJson } from "./json.ts";

/** Data as the log holds it. */
export type Content = Pick<Entry, "kind" | "data" | "size">;

/** What a publish carries: a frame, an envelope, or what an application publishes from JavaScript. */
export interface Published extends Pick<PublishFrame, "data" | "encoding"> {
  /** Only counted, in `size`. */
  readonly event?: string | undefined;
}

/**
 * Data as it is published, as data that the log holds: bytes as bytes, everything else as JSON, unless `encoding` says otherwise.
 * Throws `bad_frame` where `encoding` and data disagree, `bad_json` for what JSON cannot hold.
 *
 * @example readData({ event: "order", data: { total: 12 } }, hub.limits) // { kind: "json", data: '{"total":12}', size: 17 }
 */
export function readData({ data, encoding, event = DEFAULT_EVENT }: Published, limits: Pick<Limits, "jsonDepthMax">): Content {
  if (data instanceof Uint8Array) {
    if (encoding !== undefined) throw new ThroughlineError("bad_frame", "Data that comes as bytes must not name an encoding.");
    return bytesContent(data, event);
  }
  if (encoding === undefined) {
    const text = stringifyJson(data);
    checkJsonDepth(text, limits);
    return sized("json", text, event);
  }
  if (typeof data !== "string") throw new ThroughlineError("bad_frame", `With encoding "${encoding}" data must be a string.`);
  if (encoding === "text") return textContent(data, event);
  const bytes = decodeBase64(data);
  return { kind: "bytes", data: bytes, size: bytes.length + utf8Length(event) };
}

/** A JSON text as it was POSTed: checked, and kept as it stands but for the space around it. Throws `bad_json`. */
export function jsonContent(text: string, limits: Pick<Limits, "jsonDepthMax">, event: string = DEFAULT_EVENT): Content {
  checkJsonDepth(text, limits);
  parseJson(text);
  return sized("json", text.trim(), event);
}

/** Text; a lone surrogate, which UTF-8 cannot carry, becomes U+FFFD here at the door, so that all readers get the same. */
export function textContent(text: string, event: string = DEFAULT_EVENT): Content {
  return sized("text", text.replace(/\p{Surrogate}/gu, "\ufffd"), event);
}

/** Bytes, copied: the caller's may be reused, or a few within a large buffer that would stay in memory as long as they. */
export function bytesContent(bytes: Uint8Array, event: string = DEFAULT_EVENT): Content {
  return { kind: "bytes", data: new Uint8Array(bytes), size: bytes.length + utf8Length(event) };
}

function sized(kind: "json" | "text", data: string, event: string): Content {
  return { kind, data, size: utf8Length(data) + utf8Length(event) };
}

/** What an application on the server sees of an entry: the JSON value, the text, or the bytes (not a copy: do not write to them). */
export function entryValue({ kind, data }: Pick<Entry, "kind" | "data">): unknown {
  return kind === "json" ? JSON.parse(data as string) : data;
}

/** What an application at the other end sees of a message frame. Throws `bad_frame` if its base64 is broken. */
export function messageValue({ data, encoding }: Pick<MessageFrame, "data" | "encoding">): unknown {
  return encoding === "base64" && typeof data === "string" ? decodeBase64(data) : data;
}
