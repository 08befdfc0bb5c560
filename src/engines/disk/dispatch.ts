import type { Appended, Draft } from "../../core/log.ts";
import type { Entry } from "../../protocol/entry.ts";
import type { ErrorCode } from "../../protocol/error.ts";
import type { Kind } from "../../protocol/message.ts";

/*
 * What the owner of a directory and its workers send each other.
 *
 *   frame   bytes of what follows 4 | bytes of the word 4 | word: JSON | data of its messages, one behind the other
 */

/** Goes up when either end would misread the other. */
export const DISPATCH_VERSION = 1;
/** More than any queue of publishes holds. What is longer is no frame. */
const FRAME_BYTES_MAX = 512 * 1024 * 1024;
const HEAD_BYTES = 8;

interface Content {
  readonly kind: Kind;
  readonly data: string | Uint8Array;
}

/** A message without its data, of which it has so many bytes. */
export type Word<Message extends Content> = Omit<Message, "data"> & {
  readonly bytes: number;
  /** A text with a lone surrogate cannot be UTF-8: it goes as it is. */
  readonly utf16?: true;
};

/** From a worker to the owner. What has an `id` is answered. */
export type Ask =
  | { readonly type: "append"; readonly id: number; readonly channel: string; readonly drafts: readonly Word<Draft>[] }
  | { readonly type: "remove"; readonly id: number; readonly channel: string }
  | { readonly type: "ready"; readonly id: number }
  | { readonly type: "follow" | "unfollow"; readonly channels: readonly string[] }
  | NoticeWord;

/** From the owner to a worker. */
export type Answer =
  | { readonly type: "hello"; readonly version: number }
  | { readonly type: "done"; readonly id: number; readonly answer: readonly Appended[] | string | null }
  | { readonly type: "failed"; readonly id: number; readonly code: ErrorCode; readonly message: string; readonly retryAfterMs?: number }
  /** Something was stored on these, or they were removed. */
  | { readonly type: "wake"; readonly channels: readonly string[] }
  /** These were stored on one that keeps so little that they may be gone before they are read. */
  | { readonly type: "told"; readonly channel: string; readonly epoch: string; readonly entries: readonly Word<Entry>[] }
  | NoticeWord;

interface NoticeWord {
  readonly type: "notice";
  readonly channel: string;
  readonly body: string;
}

export function writeFrame(word: Ask | Answer, data: readonly Uint8Array[] = []): Buffer[] {
  const text = Buffer.from(JSON.stringify(word));
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  let bytes = 4 + text.length;
  for (const one of data) bytes += one.byteLength;
  head.writeUInt32LE(bytes, 0);
  head.writeUInt32LE(text.length, 4);
  return [head, text, ...(data as Buffer[])];
}

/** Takes what a socket gives, in pieces of any size, and gives frames. */
export class FrameReader<In extends Ask | Answer> {
  readonly #onFrame: (word: In, data: Buffer) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = HEAD_BYTES;

  constructor(onFrame: (word: In, data: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  /** Throws if this is no frame. */
  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    let at = 0;
    this.#wanted = HEAD_BYTES;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUInt32LE(at);
      const wordLength = bytes.readUInt32LE(at + 4);
      if (length > FRAME_BYTES_MAX || wordLength > length - 4) throw new Error("What came over the socket is no frame.");
      if (bytes.length - at < 4 + length) {
        this.#wanted = 4 + length;
        break;
      }
      const dataStart = at + HEAD_BYTES + wordLength;
      const end = at + 4 + length;
      this.#onFrame(JSON.parse(bytes.toString("utf8", at + HEAD_BYTES, dataStart)) as In, bytes.subarray(dataStart, end));
      at = end;
    }
    this.#chunks = at === bytes.length ? [] : [bytes.subarray(at)];
    this.#bytes = bytes.length - at;
  }
}

/** Messages as words, and their data. */
export function split<Message extends Content>(messages: readonly Message[]): { words: Word<Message>[]; data: Uint8Array[] } {
  const words: Word<Message>[] = [];
  const data: Uint8Array[] = [];
  for (const { data: content, ...rest } of messages) {
    const isUtf16 = typeof content === "string" && !isWellFormed(content);
    const bytes = typeof content === "string" ? Buffer.from(content, isUtf16 ? "utf16le" : "utf8") : content;
    words.push({ ...rest, bytes: bytes.byteLength, ...(isUtf16 ? { utf16: true } : {}) } as Word<Message>);
    data.push(bytes);
  }
  return { words, data };
}

export function join<Message extends Content>(words: readonly Word<Message>[], data: Buffer): Message[] {
  let at = 0;
  return words.map(({ bytes, utf16, ...rest }) => {
    const own = data.subarray(at, at + bytes);
    at += bytes;
    // Bytes are a copy: what the socket read into is not to be kept alive by one of them
    const content = rest.kind === "bytes" ? new Uint8Array(own) : own.toString(utf16 ? "utf16le" : "utf8");
    return { ...rest, data: content } as unknown as Message;
  });
}

// ES2024, there in Node 20; the library of types is that of ES2023
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
