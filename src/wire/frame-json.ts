import type { Entry } from "../protocol/entry.ts";
import { isErrorCode, ThroughlineError } from "../protocol/error.ts";
import type { ClientFrame, MessageFrame, ServerFrame } from "../protocol/frame.ts";
import { DEFAULT_EVENT } from "../protocol/message.ts";
import { encodeBase64 } from "./base64.ts";
import { stringifyJson } from "./json.ts";
import { ownField, readObject, readShape, type Shape } from "./shape.ts";

/** The JSON of any frame but a stored message, which is `messageJson`. Throws `bad_json` if its data cannot be JSON. */
export function frameJson(frame: ServerFrame | ClientFrame): string {
  return stringifyJson(frame);
}

/**
 * The JSON of a MessageFrame. Put together by hand: a message's JSON text goes in as it stands, without being parsed and written again.
 * That text may hold line ends (they are space in JSON), so the result may too; who writes it to an event stream folds them.
 */
export function messageJson(channel: string, entry: Entry): string {
  return messageJsonAfter(messageHead(channel), entry);
}

/** How every MessageFrame of a channel begins. */
export function messageHead(channel: string): string {
  return `{"channel":${JSON.stringify(channel)},"id":"`;
}

/** The rest of it, for many entries of one channel. */
export function messageJsonAfter(head: string, entry: Entry): string {
  const start = `${head}${entry.offset}.${entry.tag}","at":${entry.at},${eventJson(entry.event)}"data":`;
  return `${start}${dataJson(entry)}}`;
}

/** The header of a binary WebSocket message: the same frame without its data. */
export function messageHeaderAfter(head: string, { offset, tag, at, event }: Entry): string {
  const named = event === DEFAULT_EVENT ? "" : `,"event":${JSON.stringify(event)}`;
  return `${head}${offset}.${tag}","at":${at}${named}}`;
}

/** An entry's data as JSON, with `encoding` after it where it is bytes. */
export function dataJson({ kind, data }: Pick<Entry, "kind" | "data">): string {
  if (kind === "json") return data as string;
  return kind === "text" ? JSON.stringify(data) : `"${encodeBase64(data as Uint8Array)}","encoding":"base64"`;
}

function eventJson(event: string): string {
  return event === DEFAULT_EVENT ? "" : `"event":${JSON.stringify(event)},`;
}

const MESSAGE: Shape<MessageFrame> = {
  channel: "string",
  id: "string",
  at: "number",
  event: "string?",
  data: "any",
  encoding: "string?",
};

type TypedFrame = Exclude<ServerFrame, MessageFrame>;

const SHAPES: { readonly [Type in TypedFrame["type"]]: Shape<Extract<TypedFrame, { type: Type }>> } = {
  connected: { connection: "string", heartbeatSeconds: "number", retryMs: "number", limits: "object" },
  subscribed: { channel: "string", id: "number?", position: "string" },
  unsubscribed: { channel: "string" },
  live: { channel: "string" },
  epoch: { channel: "string", epoch: "string" },
  gap: { channel: "string", reason: "string", since: "string|null", resumeFrom: "string", missing: "number|null" },
  ack: { id: "number", position: "string", level: "string", duplicate: "boolean?" },
  signal: { channel: "string", event: "string", data: "any", sender: "string" },
  response: { id: "number", data: "any" },
  error: { code: "string", message: "string", id: "number?", channel: "string?", retryAfterMs: "number?" },
  heartbeat: {},
  bye: { code: "string", message: "string", retryAfterMs: "number?" },
};

/**
 * A frame from the server; null for a type that this version does not know, which is to be ignored. `bytes` are those of a binary
 * message, `text` then its header. Throws `bad_json` or `bad_frame`.
 */
export function readServerFrame(text: string, bytes?: Uint8Array): ServerFrame | null {
  const source = readObject(text);
  const type = ownField(source, "type");
  if (type === undefined) return readShape(bytes === undefined ? source : { ...source, data: bytes }, undefined, MESSAGE) as MessageFrame;
  if (typeof type !== "string") throw new ThroughlineError("bad_frame", "The type of a frame is a string.");
  if (bytes !== undefined) throw new ThroughlineError("bad_frame", `A ${type} frame cannot be binary: only a message carries bytes.`);
  if (!Object.hasOwn(SHAPES, type)) return null;
  const frame = readShape(source, type, SHAPES[type as TypedFrame["type"]]) as TypedFrame;
  // A newer server may know more codes
  return "code" in frame && !isErrorCode(frame.code) ? { ...(frame as TypedFrame & { type: "error" }), code: "internal" } : frame;
}
