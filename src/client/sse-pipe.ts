import type { Environment } from "./environment.ts";
import { readFrames } from "./event-stream.ts";
import type { Pipe, PipeHost } from "./pipe.ts";

/** Frames on an event stream (PROTOCOL.md §4.5), read by fetch: EventSource can neither POST nor send a token. */
export function openSse(host: PipeHost, { http }: Environment): Pipe {
  const abort = new AbortController();

  async function read(): Promise<void> {
    const { body } = await http.call("/events", { body: () => JSON.stringify({ channels: host.asks() }), signal: abort.signal });
    const reader = (body as ReadableStream<Uint8Array>).getReader();
    const push = readFrames(host.frame);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      host.heard();
      push(value);
    }
  }

  read().then(host.end, host.end);
  return { close: () => abort.abort() };
}
