import { once } from "node:events";
import { connect } from "node:net";
import { open } from "./http.ts";
import { offsetOf, positionOf } from "./inbox.ts";

/** One message on the wire: its place, its first byte, and the byte after it. */
interface Mark {
  readonly offset: number;
  readonly position: string;
  readonly startByte: number;
  readonly endByte: number;
}

/** The bytes of one pipe, as the server wrote them, from the first byte after the head of the answer on. */
export interface Recording {
  /** Where it was asked to begin. */
  readonly from: string;
  readonly bytes: Buffer;
  readonly marks: readonly Mark[];
  /** What a server sends that is asked for what comes after a position: a beginning of its own, and from there the recorded bytes, up to one. */
  resume(ask: { readonly name: string; readonly id: number; readonly from: string }, untilByte?: number): Buffer;
}

/** A frame as this transport carries it. */
type Wrap = (json: string) => Buffer;

const LARGE = 65_536;

/** Records the event stream of POST /events (PROTOCOL.md §4.5) of so many messages. */
export async function recordEvents(url: string, channel: string, from: string, count: number): Promise<Recording> {
  const body = { channels: [{ name: channel, from, id: 1 }] };
  const response = await open(`${url}/events`, { method: "POST", headers: { accept: "text/event-stream" }, body });
  let bytes = Buffer.alloc(0);
  for await (const chunk of response) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    if (bytes.includes(`"id":"${count}.`) && bytes.includes('"type":"live"')) break;
  }
  const marks: Mark[] = [];
  for (let at = 0, end = bytes.indexOf("\n\n"); end >= 0; at = end + 2, end = bytes.indexOf("\n\n", at)) {
    note(marks, from, bytes.toString("utf8", at, end).replace(/^data:/, ""), at, end + 2);
  }
  return recordingOf(from, bytes, marks, (json) => Buffer.from(`data: ${json}\n\n`));
}

/** Records what comes on a WebSocket after its handshake, of so many messages. */
export async function recordSocket(url: string, channel: string, from: string, count: number): Promise<Recording> {
  const socket = connect({ port: Number(new URL(url).port), host: "127.0.0.1" });
  const key = "dGhlIHNhbXBsZSBub25jZQ==";
  const head = [
    `GET /socket?channel=${encodeURIComponent(channel)}&from=${encodeURIComponent(from)} HTTP/1.1`,
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
  ];
  await once(socket, "connect");
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    if (bytes.includes(`"id":"${count}.`) && bytes.includes('"type":"live"')) break;
  }
  bytes = bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
  const marks: Mark[] = [];
  for (let at = 0; at < bytes.length; ) {
    const short = (bytes[at + 1] as number) & 0x7f;
    const start = at + (short === 126 ? 4 : short === 127 ? 10 : 2);
    const end = start + (short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short);
    // A ping of the server's has no JSON
    if (((bytes[at] as number) & 0x0f) === 1) note(marks, from, bytes.toString("utf8", start, end), at, end);
    at = end;
  }
  return recordingOf(from, bytes, marks, textFrame);
}

function note(marks: Mark[], from: string, json: string, startByte: number, endByte: number): void {
  const { type, id } = JSON.parse(json);
  if (type === undefined)
    marks.push({ offset: Number.parseInt(id, 10), position: positionOf(from.slice("after:".length, 26), id), startByte, endByte });
}

function recordingOf(from: string, bytes: Buffer, marks: readonly Mark[], wrap: Wrap): Recording {
  const ends = new Map(marks.map(({ offset, endByte }) => [offset, endByte]));
  const greeting = wrap('{"type":"connected","connection":"again","heartbeatSeconds":15,"retryMs":1000,"limits":{}}');
  return {
    from,
    bytes,
    marks,
    resume(ask, untilByte = bytes.length) {
      const { name, id } = ask;
      const position = ask.from.slice("after:".length);
      const at = ends.get(offsetOf(position)) ?? (marks[0] as Mark).startByte;
      const subscribed = wrap(JSON.stringify({ type: "subscribed", channel: name, id, position }));
      return Buffer.concat([greeting, subscribed, bytes.subarray(at, Math.max(at, untilByte))]);
    },
  };
}

/** A server's text frame (RFC 6455 §5.2): not masked. */
function textFrame(json: string): Buffer {
  const body = Buffer.from(json);
  if (body.length >= LARGE) throw new Error("No frame here is so long.");
  if (body.length < 126) return Buffer.concat([Buffer.from([0x81, body.length]), body]);
  return Buffer.concat([Buffer.from([0x81, 126, body.length >> 8, body.length & 0xff]), body]);
}
