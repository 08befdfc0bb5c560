import type { ServerFrame } from "../protocol/frame.ts";
import type { Environment } from "./environment.ts";
import type { Pipe, PipeHost } from "./pipe.ts";

/** `waitSecondsMax` of PROTOCOL.md §12. */
const WAIT_SECONDS = 25;

/** One request after the other, each answered as soon as there is something (PROTOCOL.md §4.5): passes whatever passes HTTP. */
export function openLongPoll(host: PipeHost, { http }: Environment): Pipe {
  const abort = new AbortController();
  const { signal } = abort;

  async function read(): Promise<void> {
    // Not waiting the first time shows at once that it gets through, and where a reader from "now" stands
    for (let wait = 0; ; wait = WAIT_SECONDS) {
      const call = { body: () => JSON.stringify({ channels: host.asks() }), signal };
      const { frames } = (await http.json(`/events?wait=${wait}`, wait + 10, call)) as { frames: ServerFrame[] };
      frames.forEach(host.frame);
    }
  }

  read().catch(host.end);
  return { close: () => abort.abort() };
}
