import { WebSocket } from "ws";
import { type Frame, Frames } from "./frames.ts";
import { Refused, refusalOf, textOf } from "./http.ts";
import { type Asked, Reader } from "./reader.ts";
import { inTime, until } from "./until.ts";

/** A WebSocket that speaks frames, with nothing of the client library. */
export class SocketReader extends Reader {
  readonly frames: Frames;
  readonly #asked: Asked;
  readonly #answers = new Map<number, (frame: Frame) => void>();
  #socket: WebSocket | null = null;
  #ids = 1_000;
  /** The close code, once it is closed. */
  closeCode = 0;

  constructor(asked: Asked) {
    super(asked.channels[0]?.name ?? "");
    this.#asked = asked;
    this.frames = new Frames(
      this.inbox,
      asked.channels.map(({ name }) => name),
    );
  }

  async open(): Promise<this> {
    const { url, token, channels } = this.#asked;
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket`, ["throughline"], { headers });
    this.#socket = socket;
    socket.on("message", (data: Buffer, isBinary) => this.#take(isBinary ? unpack(data) : JSON.parse(data.toString("utf8"))));
    socket.on("close", (code) => {
      this.closeCode = code;
      this.frames.end({ code: "cut" });
      for (const [id, answer] of this.#answers) answer({ type: "error", id, code: "cut", message: "The socket was closed." });
    });
    await opened(socket);
    for (const [index, { name, from }] of channels.entries()) {
      this.send({ type: "subscribe", channel: name, id: index + 1, ...(from === "" ? {} : { from }) });
    }
    await this.frames.ready();
    return this;
  }

  /** Text goes as it is, so that a test may send what is no frame. */
  send(frame: Frame | string | Uint8Array): void {
    this.#socket?.send(typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame));
  }

  /** A frame and what it is answered. Throws `Refused` if that is an error. */
  async ask(frame: Frame): Promise<Frame> {
    const id = this.#ids++;
    const answered = new Promise<Frame>((resolve) => this.#answers.set(id, resolve));
    this.send({ ...frame, id });
    const answer = await inTime(answered, () => `an answer to ${frame["type"]}`);
    if (answer["type"] === "error") throw new Refused(answer["code"], answer["message"], { retryAfterMs: answer["retryAfterMs"] });
    return answer;
  }

  /** A frame that is answered only if it is refused. A ping behind it, whose answer comes after, shows that it was not. */
  async tell(frame: Frame): Promise<void> {
    const before = this.frames.others.length;
    this.send(frame);
    this.send({ type: "ping" });
    const came = () => this.frames.others.slice(before).find(({ type }) => ["error", "bye", "heartbeat"].includes(type));
    await until("the ping is answered", () => came() !== undefined);
    const answer = came();
    if (answer?.["type"] !== "heartbeat") throw new Refused(answer?.["code"], answer?.["message"]);
  }

  override pause(): void {
    this.#socket?.pause();
  }

  override resume(): void {
    this.#socket?.resume();
  }

  close(): void {
    this.#socket?.terminate();
  }

  #take(frame: Frame): void {
    const { type, id, channel } = frame;
    if (type === "heartbeat") this.heartbeats++;
    if (type === "live") this.lives++;
    const answer = type === "ack" || type === "response" || type === "error" ? this.#answers.get(id) : undefined;
    if (answer !== undefined) {
      this.#answers.delete(id);
      answer(frame);
    } else if (type === "error" && this.#asked.channels.every(({ name }) => name !== channel)) this.frames.others.push(frame);
    else this.frames.take(frame);
  }
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.on("error", reject);
    socket.once("unexpected-response", async (_request, response) => {
      const text = await textOf(response);
      // A proxy refuses in words of its own
      const json = text.startsWith("{") ? JSON.parse(text) : {};
      reject(refusalOf({ status: response.statusCode ?? 0, headers: response.headers, json }));
    });
  });
}

/** A binary message: the length of the header, the header, the bytes (§5). */
function unpack(message: Buffer): Frame {
  const end = 4 + message.readUInt32BE(0);
  return { ...JSON.parse(message.toString("utf8", 4, end)), data: new Uint8Array(message.subarray(end)) };
}

/** The same, made. */
export function pack(header: Frame, bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, bytes]);
}
