export interface ParsedEvent {
  /** `message` if the stream named none. */
  readonly event: string;
  readonly data: string;
  /** The last event id of the stream so far: it stays until another is sent, and is empty before the first. */
  readonly id: string;
}

export interface SseParserOptions {
  readonly onEvent: (event: ParsedEvent) => void;
  readonly onRetry?: (ms: number) => void;
  readonly onComment?: (text: string) => void;
  /** What one unfinished event may hold; beyond, `onOverflow` is called and the parser takes nothing more. Default: no bound. */
  readonly bytesMax?: number;
  readonly onOverflow?: () => void;
}

export interface SseParser {
  /** Takes the next piece of the stream, cut anywhere, also within a character or between CR and LF. */
  push(chunk: Uint8Array | string): void;
  /** The stream is over, or no longer wanted: an unfinished event is discarded (§9.2.6), and later pieces are ignored. */
  end(): void;
}

/**
 * Reads an event stream as WHATWG HTML §9.2.6 says.
 *
 * Only a new piece is searched for line ends; one without any is appended to `rest`, which engines hold as a rope and make flat once,
 * so that a line over many pieces costs its length and not its square. `bytesMax` counts UTF-16 units, of which no text has more than
 * bytes: what is within it as bytes never overflows.
 */
export function createSseParser({ onEvent, onRetry, onComment, bytesMax = Infinity, onOverflow }: SseParserOptions): SseParser {
  // The mark at the start is dropped below, for text and bytes alike
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let started = false;
  let ended = false;
  let afterCr = false;
  let rest = "";
  let event = "";
  let data: string | undefined;
  let id = "";

  function readLine(line: string): void {
    if (line === "") {
      const ready = data;
      const name = event || "message";
      data = undefined;
      event = "";
      if (ready !== undefined) onEvent({ event: name, data: ready, id });
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "event") event = value;
    else if (field === "id") id = value.includes("\0") ? id : value;
    else if (field === "retry") {
      if (/^\d+$/.test(value)) onRetry?.(Number(value));
    } else if (field === "") onComment?.(value);
  }

  function end(): void {
    ended = true;
    rest = "";
    data = undefined;
  }

  return {
    push(chunk) {
      let text = typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
      if (ended || text === "") return;
      if (!started && text[0] === "\ufeff") text = text.slice(1);
      started = true;
      // A CR ends its line at once; the LF of a CR LF that was cut apart is not another line
      if (afterCr && text[0] === "\n") text = text.slice(1);
      afterCr = text.endsWith("\r");
      const lines = text.split(/\r\n?|\n/);
      lines[0] = rest + lines[0];
      rest = lines.pop() as string;
      for (const line of lines) {
        if (!ended) readLine(line);
      }
      if (!ended && rest.length + event.length + (data?.length ?? 0) > bytesMax) {
        end();
        onOverflow?.();
      }
    },
    end,
  };
}
