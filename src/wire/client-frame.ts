import { ThroughlineError } from "../protocol/error.ts";
import type { ClientFrame } from "../protocol/frame.ts";
import type { Limits } from "../protocol/limits.ts";
import { checkJsonDepth } from "./json.ts";
import { ownField, readObject, readShape, type Shape } from "./shape.ts";

const SHAPES: { readonly [Type in ClientFrame["type"]]: Shape<Extract<ClientFrame, { type: Type }>> } = {
  subscribe: { channel: "string", id: "integer?", from: "string?" },
  unsubscribe: { channel: "string" },
  publish: { channel: "string", id: "integer?", event: "string?", data: "any", encoding: "string?", key: "string?" },
  signal: { channel: "string", event: "string", data: "any" },
  request: { channel: "string", id: "integer", name: "string", data: "any" },
  ping: {},
};

/**
 * A frame from a client, checked: known type, every field there and of its kind, nothing else in it. Names, events, keys and positions
 * are only strings here; the core knows what they must look like. `bytes` are those of a binary message, `text` then its header.
 * Throws `bad_json` or `bad_frame`.
 */
export function readClientFrame(text: string, limits: Pick<Limits, "jsonDepthMax">, bytes?: Uint8Array): ClientFrame {
  checkJsonDepth(text, limits);
  const source = readObject(text);
  const type = ownField(source, "type");
  if (typeof type !== "string" || !Object.hasOwn(SHAPES, type)) {
    throw new ThroughlineError("bad_frame", `The field "type" of a frame must be one of ${Object.keys(SHAPES).join(", ")}.`);
  }
  const content = bytes === undefined ? source : { ...source, data: bytes };
  const frame = readShape(content, type, SHAPES[type as ClientFrame["type"]]) as ClientFrame;
  if (bytes !== undefined && frame.type !== "publish") {
    throw new ThroughlineError("bad_frame", `A ${type} frame must be a text message: only publish carries bytes.`);
  }
  if (frame.type === "publish") checkEncoding(frame.encoding, bytes);
  return frame;
}

function checkEncoding(encoding: string | undefined, bytes: Uint8Array | undefined): void {
  if (encoding === undefined) return;
  if (bytes !== undefined) throw new ThroughlineError("bad_frame", 'A binary message must not have the field "encoding".');
  if (encoding !== "text" && encoding !== "base64") {
    throw new ThroughlineError("bad_frame", 'The field "encoding" of a publish frame must be "text" or "base64", or be left out.');
  }
}
