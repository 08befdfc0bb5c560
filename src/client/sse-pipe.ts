import type { Environment } from "./environment.ts";
import { readFrames } from "./event-stream.ts";
import type { Pipe, PipeHost } from "./pipe.ts";

/** Frames on an event stream (PROTOCOL.md §4.5), read by fetch: EventSource can neither POST nor send a token. */
export function openSse(host: PipeHost, { http }: Environment): Pipe {
  async function read(): Promise<void> {
    const response = await http.call("/events", host.signal, host.body);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const push = readFrames(host.frame);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      host.heard();
      push(value);
    }
  }

  read().then(host.end, host.end);
  return {};
}
