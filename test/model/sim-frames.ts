import { OPCODES } from "../../src/wire/websocket.ts";

/** What a client hears on a WebSocket. */
export interface Listener {
  message(data: string | ArrayBuffer): void;
  ping(): void;
  close(): void;
}

/** Reads a server's frames out of bytes cut anywhere (RFC 6455 §5.2): whole, unmasked, and of the kinds that our server writes. */
export class Frames {
  readonly #listener: Listener;
  #rest = new Uint8Array(0);
  #closed = false;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  push(bytes: Uint8Array): void {
    let left = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (let frame = next(left); frame !== null; frame = next(left)) {
      left = left.subarray(frame.end);
      if (!this.#closed) this.#take(frame.opcode, frame.payload);
    }
    this.#rest = left.slice();
  }

  #take(opcode: number, payload: Uint8Array): void {
    if (opcode === OPCODES.text) this.#listener.message(new TextDecoder("utf-8", { fatal: true }).decode(payload));
    else if (opcode === OPCODES.binary) this.#listener.message(new Uint8Array(payload).buffer);
    else if (opcode === OPCODES.ping) this.#listener.ping();
    else if (opcode === OPCODES.close) {
      this.#closed = true;
      this.#listener.close();
    } else throw new Error(`No frame of the opcode ${opcode} was to be expected.`);
  }
}

function next(bytes: Uint8Array): { opcode: number; payload: Uint8Array; end: number } | null {
  if (bytes.length < 2) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if ((bytes[0]! & 0xf0) !== 0x80 || bytes[1]! > 127) throw new Error("A server's frame is whole and bears no mask.");
  const short = bytes[1]!;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < head) return null;
  const length = short < 126 ? short : short === 126 ? view.getUint16(2) : Number(view.getBigUint64(2));
  if (bytes.length < head + length) return null;
  return { opcode: bytes[0]! & 0x0f, payload: bytes.subarray(head, head + length), end: head + length };
}
