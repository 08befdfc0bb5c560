import type { Publication } from "../core/hub.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { bytesContent, jsonContent, readData, textContent } from "../wire/data.ts";
import { checkJsonDepth, parseJson } from "../wire/json.ts";
import { readShape, type Shape } from "../wire/shape.ts";
import type { Exchange } from "./exchange.ts";

/** The media type of a request, without its parameters; empty if it names none. Throws for an encoded body, which could be a bomb. */
export function mediaType(exchange: Exchange): string {
  const encoding = exchange.header("content-encoding");
  if (encoding !== null && encoding !== "" && encoding !== "identity") {
    throw new ThroughlineError(
      "unsupported_media",
      `Bodies encoded as ${JSON.stringify(encoding.slice(0, 32))} are not taken. Send it as it is.`,
    );
  }
  return (exchange.header("content-type") ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

/** A body as text. Throws `bad_request` if it is not UTF-8. */
export function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ThroughlineError("bad_request", "The body is not UTF-8. Send bytes as application/octet-stream.", { cause });
  }
}

/** A JSON body. */
export function readJson(bytes: Uint8Array, limits: Limits): unknown {
  const text = utf8(bytes);
  checkJsonDepth(text, limits);
  return parseJson(text);
}

/** What `curl -d` says of its own accord: whoever types that means the text as it stands. */
const CURL_DEFAULT = "application/x-www-form-urlencoded";

/** What a plain POST publishes, by its media type (PROTOCOL.md §4.3). */
export function readBody(
  type: string,
  bytes: Uint8Array,
  event: string | undefined,
  limits: Limits,
): Pick<Publication, "kind" | "data" | "size"> {
  if (type === "application/json" || type.endsWith("+json")) return jsonContent(utf8(bytes), limits, event);
  if (type === "" || type === CURL_DEFAULT || type.startsWith("text/")) return textContent(utf8(bytes), event);
  return bytesContent(bytes, event);
}

interface Envelope {
  readonly channel: string;
  readonly event?: string;
  readonly data: unknown;
  readonly encoding?: "text" | "base64";
  readonly key?: string;
}

const ENVELOPE: Shape<Envelope> = { channel: "string", event: "string?", data: "any", encoding: "string?", key: "string?" };

/** The envelopes of POST /publish, each as a publication or as what is wrong with it. Throws if the body cannot be read at all. */
export function readEnvelopes(type: string, bytes: Uint8Array, limits: Limits): (Publication | ThroughlineError)[] {
  const values = type === "application/x-ndjson" ? readLines(utf8(bytes), limits) : [readJson(bytes, limits)].flat(1);
  if (values.length > limits.batchCountMax) {
    throw new ThroughlineError("too_large", `The body has more than ${limits.batchCountMax} envelopes. Nothing was stored.`);
  }
  return values.map((value) => readEnvelope(value, limits));
}

function readEnvelope(value: unknown, limits: Limits): Publication | ThroughlineError {
  try {
    if (typeof value !== "object" || value === null)
      throw new ThroughlineError("bad_frame", "An envelope is a JSON object with channel and data.");
    const { channel, event, key, ...data } = readShape(value, undefined, ENVELOPE) as Envelope;
    if (data.encoding !== undefined && data.encoding !== "text" && data.encoding !== "base64") {
      throw new ThroughlineError("bad_frame", 'The field "encoding" of an envelope must be "text" or "base64", or be left out.');
    }
    return { channel, event, key, ...readData({ ...data, event }, limits) };
  } catch (error) {
    if (error instanceof ThroughlineError) return error;
    throw error;
  }
}

/** The values of the lines, and no more than one too many: empty or not, 8 MB of lines would keep the event loop for seconds. */
function readLines(text: string, limits: Limits): unknown[] {
  const values: unknown[] = [];
  let number = 1;
  for (let from = 0; from < text.length && values.length <= limits.batchCountMax; number++) {
    const end = text.indexOf("\n", from);
    const line = text.slice(from, end < 0 ? text.length : end);
    from += line.length + 1;
    if (line.trim() === "") continue;
    try {
      checkJsonDepth(line, limits);
      values.push(parseJson(line));
    } catch (cause) {
      throw new ThroughlineError("bad_json", `Line ${number} of the body is not JSON. Nothing was stored.`, { cause });
    }
  }
  return values;
}
