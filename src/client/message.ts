import { DEFAULT_EVENT } from "../protocol/message.ts";
import { decodeBase64 } from "./bytes.ts";
import { offsetOf } from "./position.ts";

/** One message, as an application gets it. */
export interface Message<T = unknown> {
  readonly channel: string;
  /** `message` if it was published without one. */
  readonly event: string;
  /** What was published: a JSON value, text, or a Uint8Array. */
  readonly data: T;
  /** Opaque. Store it with what the message did; `from: { after: position }` goes on behind it. */
  readonly position: string;
  /** When it was stored: milliseconds since 1970, by the server's clock. */
  readonly at: number;
  /** 1, 2, 3… in the channel's log. */
  readonly offset: number;
}

/** What frames and pages say of a message. */
interface Told {
  readonly at: number;
  readonly event?: string;
  readonly data: unknown;
  readonly encoding?: string;
}

export function toMessage(channel: string, position: string, { at, event = DEFAULT_EVENT, data, encoding }: Told): Message {
  return { channel, event, data: encoding ? decodeBase64(data as string) : data, position, at, offset: offsetOf(position) };
}
