import type { ServerFrame } from "../protocol/frame.ts";
import type { Environment } from "./environment.ts";
import type { Pipe, PipeHost } from "./pipe.ts";

/** `waitSecondsMax` of PROTOCOL.md §12. */
const WAIT_SECONDS = 25;

/** Behind an answer that brought no message that is new: a server that gives such ones at once must not be asked in a hot loop. */
const PAUSE_MS = 100;

/** One request after the other, each answered as soon as there is something (PROTOCOL.md §4.5): passes whatever passes HTTP. */
export function openLongPoll(host: PipeHost, { http, clock }: Environment): Pipe {
  const abort = new AbortController();
  const { signal } = abort;

  async function read(): Promise<void> {
    // Not waiting the first time shows at once that it gets through, and where a reader from "now" stands
    for (let wait = 0; ; wait = WAIT_SECONDS) {
      const call = { body: () => JSON.stringify({ channels: host.asks() }), signal };
      const { frames } = (await http.json(`/events?wait=${wait}`, wait + 10, call)) as { frames: ServerFrame[] };
      if (frames.map(host.frame).includes(true) || !wait) continue;
      await new Promise<void>((resolve) => {
        signal.onabort = clock.after(PAUSE_MS, resolve);
      });
    }
  }

  read().catch(host.end);
  return { close: () => abort.abort() };
}
