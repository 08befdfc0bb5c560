import { createParser } from "eventsource-parser";
import type { Cancel, Clock } from "../../src/protocol/clock.ts";

/** How long a browser waits before it comes back, until a server says otherwise. */
const RETRY_MS = 3_000;
/** And at least, whatever a server says: as Firefox does. */
const RETRY_MS_MIN = 500;

export interface EventSourceOptions {
  readonly url: string;
  /** What the browser sends along, for an EventSource can send no token. */
  readonly cookie: () => string;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly onEvent: (event: { readonly name: string; readonly data: string; readonly lastEventId: string }) => void;
  /** It was answered with something other than an event stream, and never comes back. */
  readonly onFailed: () => void;
}

/**
 * EventSource as browsers have it (WHATWG HTML §9.2): comes back after every end of the stream, with the last id, when it was told to; gives up
 * at a status other than 200; hands out nothing of an event that was cut; and believes in a silent connection for as long as the machine does.
 */
export class VirtualEventSource {
  readonly #options: EventSourceOptions;
  #abort = new AbortController();
  lastEventId = "";
  #retryMs = RETRY_MS;
  #cancel: Cancel = () => {};
  #isOver = false;

  constructor(options: EventSourceOptions) {
    this.#options = options;
    void this.#connect();
  }

  close(): void {
    this.#isOver = true;
    this.#cancel();
    this.#abort.abort();
  }

  async #connect(): Promise<void> {
    const { url, cookie, fetch, clock, onFailed } = this.#options;
    const id = this.lastEventId;
    this.#abort = new AbortController();
    const headers = { accept: "text/event-stream", cookie: cookie(), ...(id === "" ? {} : { "last-event-id": id }) };
    try {
      const { status, body } = await fetch(url, { headers, signal: this.#abort.signal });
      if (status !== 200) {
        this.#isOver = true;
        onFailed();
        return;
      }
      await this.#read(body as ReadableStream<Uint8Array>);
    } catch {
      // Refused, or cut
    }
    if (!this.#isOver) this.#cancel = clock.after(Math.max(RETRY_MS_MIN, this.#retryMs), () => void this.#connect());
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    const parser = createParser({
      onEvent: ({ event: name = "message", data, id }) => {
        if (this.#isOver) return;
        // Browsers keep the last one through a connection that gives none
        this.lastEventId = id ?? this.lastEventId;
        this.#options.onEvent({ name, data, lastEventId: this.lastEventId });
      },
      onRetry: (ms) => {
        this.#retryMs = ms;
      },
    });
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
    }
  }
}
