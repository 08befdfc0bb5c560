import type { ServerFrame } from "../protocol/frame.ts";

/**
 * Reads the event stream of POST /events, in which there is only `data:` (PROTOCOL.md §4.5), cut anywhere. The wire room's parser reads
 * every event stream, at three times the bytes; the test holds the two together. An unfinished event is discarded (WHATWG HTML §9.2.6).
 */
export function readFrames(take: (frame: ServerFrame) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (chunk) => {
    const events = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = events.pop() as string;
    for (const event of events) {
      // JSON text with line ends comes as several lines; the space after the colon is space to JSON too. Without data it is a comment
      const json = event.replace(/^data:/gm, "");
      if (json !== event) take(JSON.parse(json));
    }
  };
}
