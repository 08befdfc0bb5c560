import type { Batch, Entry } from "../protocol/entry.ts";
import { DEFAULT_EVENT } from "../protocol/message.ts";
import { formatPosition } from "../protocol/position.ts";
import { encodeBase64 } from "./base64.ts";
import { dataJson, messageHead, messageHeaderAfter, messageJsonAfter } from "./frame-json.ts";
import { checkLine, dataLines, formatEvent } from "./sse.ts";
import { binaryFrame, packBinary, textRoom, writeText } from "./websocket.ts";

/*
 * The hot path: each batch becomes bytes once per codec, and all readers of a codec are written the same bytes. What is returned is
 * never written to again, since sockets hold on to it.
 *
 * Measured on Node 20.20, one of two shared cores, batches of 50 messages of 100 bytes of JSON, nanoseconds per message:
 *
 *   encodePlain            320   one string, one encode
 *   encodeFramesSse        400   one string, one encode
 *   encodeFramesWebSocket  390   scratch and copy; a buffer per frame, joined afterwards: 2,000
 *
 * That is a twentieth of one write to one socket (6-10 us). Zeros without padStart gained 10% of encodePlain, joining ASCII before
 * encoding it 15% of encodeFramesWebSocket (and lost half of it on other text): neither is worth its lines.
 */

const encoder = new TextEncoder();

/** A batch as plain events (PROTOCOL.md §4.1): what EventSource, curl and any SSE library read. */
export function encodePlain({ epoch, entries }: Batch): Uint8Array {
  let text = "";
  for (const entry of entries) {
    if (entry.event !== DEFAULT_EVENT) text += `event: ${checkLine("event", entry.event)}\n`;
    const data = entry.kind === "bytes" ? encodeBase64(entry.data as Uint8Array) : dataLines(entry.data as string);
    text += `id: ${positionText(epoch, entry)}\ndata: ${data}\n\n`;
  }
  return encoder.encode(text);
}

/** A batch as frames on an event stream (§4.5). */
export function encodeFramesSse({ channel, entries }: Batch): Uint8Array {
  const head = messageHead(channel);
  let text = "";
  for (const entry of entries) text += `data: ${dataLines(messageJsonAfter(head, entry))}\n\n`;
  return encoder.encode(text);
}

/** More than a batch of catching up has as a rule; a larger batch gets its own. */
const scratch = new Uint8Array(256 * 1024);

/** A batch as WebSocket messages (§5): text, or binary where the data is bytes. */
export function encodeFramesWebSocket({ channel, entries }: Batch): Uint8Array {
  const head = messageHead(channel);
  let bytes = scratch;
  let at = 0;
  for (const entry of entries) {
    if (entry.kind === "bytes") {
      const frame = binaryFrame(packBinary(messageHeaderAfter(head, entry), entry.data as Uint8Array));
      bytes = withRoom(bytes, at, frame.length);
      bytes.set(frame, at);
      at += frame.length;
    } else {
      const json = messageJsonAfter(head, entry);
      bytes = withRoom(bytes, at, textRoom(json));
      at = writeText(bytes, at, json);
    }
  }
  return bytes.slice(0, at);
}

/** A batch on a stream of many channels (§4.4). `idAfter` gives the positions of all its channels after an entry, joined by commas. */
export function encodeVector(batch: Batch, idAfter: (entry: Entry) => string): Uint8Array {
  let text = "";
  for (const entry of batch.entries) text += vectorEvent(batch, entry, idAfter(entry));
  return encoder.encode(text);
}

/** The text of one event of such a stream. */
export function vectorEvent({ channel, epoch }: Pick<Batch, "channel" | "epoch">, entry: Entry, id: string): string {
  const names = `"channel":${JSON.stringify(channel)},"event":${JSON.stringify(entry.event)}`;
  const place = `"position":"${positionText(epoch, entry)}","at":${entry.at}`;
  return formatEvent({ id, data: `{${names},${place},"data":${dataJson(entry)}}` });
}

function positionText(epoch: string, { offset, tag }: Entry): string {
  return formatPosition({ epoch, offset, tag });
}

function withRoom(bytes: Uint8Array<ArrayBuffer>, used: number, more: number): Uint8Array<ArrayBuffer> {
  if (bytes.length - used >= more) return bytes;
  const larger = new Uint8Array(2 * used + more);
  larger.set(bytes.subarray(0, used));
  return larger;
}
