import type { ServerFrame } from "../protocol/frame.ts";
import { PAUSE_MS, WAIT_SECONDS } from "./bounds.ts";
import type { Environment } from "./environment.ts";
import type { Pipe, PipeHost } from "./pipe.ts";
import { pause } from "./within.ts";

/** One request after the other, each answered as soon as there is something (PROTOCOL.md §4.5): passes whatever passes HTTP. */
export function openLongPoll(host: PipeHost, { http, clock }: Environment): Pipe {
  const { signal } = host;

  async function read(): Promise<void> {
    // Not waiting the first time shows at once that it gets through, and where a reader from "now" stands
    for (let wait = 0; ; wait = WAIT_SECONDS) {
      const page = (await http.json(`/events?wait=${wait}`, (wait + 10) * 1_000, signal, host.body)) as { frames: ServerFrame[] };
      if (!page.frames.map(host.frame).includes(true) && wait) await pause(clock, PAUSE_MS, signal);
    }
  }

  read().catch(host.end);
  return {};
}
