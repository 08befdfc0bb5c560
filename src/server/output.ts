import { once } from "node:events";
import type { Message } from "../client/message.ts";

/** Where a command prints lines: standard output, which may be slow, or go away (`| head`). */
export interface Output {
  /** Fires when nobody reads any more. */
  readonly gone: AbortSignal;
  /** Resolves at once, or where the reader is slow when it has caught up. */
  print(line: string): Promise<void> | undefined;
}

export function createOutput(stream: NodeJS.WriteStream): Output {
  const gone = new AbortController();
  // EPIPE: whoever read has enough, which is no fault
  stream.on("error", () => gone.abort());
  return {
    gone: gone.signal,
    print(line) {
      if (gone.signal.aborted || stream.write(`${line}\n`)) return undefined;
      return once(stream, "drain", { signal: gone.signal }).then(
        () => undefined,
        () => undefined,
      );
    },
  };
}

/** A message as a line: its data, or with `json` all of it. */
export function lineOf({ position, event, data, at }: Message, json: boolean): string {
  const bytes = data instanceof Uint8Array;
  const value = bytes ? Buffer.from(data).toString("base64") : data;
  if (json) return JSON.stringify({ position, event, data: value, at, ...(bytes ? { encoding: "base64" } : {}) });
  return typeof value === "string" ? value : JSON.stringify(value);
}
