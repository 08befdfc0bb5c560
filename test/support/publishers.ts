import { connect, type Published } from "../../src/client.ts";
import type { Frame } from "./frames.ts";
import { demand, Refused } from "./http.ts";
import { SocketReader } from "./raw-socket.ts";

export interface Envelope {
  readonly channel: string;
  readonly event?: string;
  readonly data: unknown;
  readonly key?: string;
}

export interface Stored {
  readonly position: string;
  readonly level: string;
  readonly duplicate: boolean;
}

export interface PublisherPowers {
  /** What is published without waiting for the answers is stored in the order sent. */
  readonly ordered: boolean;
}

/** A way to publish. */
export interface Publisher {
  readonly name: string;
  readonly powers: PublisherPowers;
  open(url: string, token?: string): Promise<OpenPublisher>;
}

export interface OpenPublisher {
  /** Throws an error with a `code`. */
  publish(envelope: Envelope): Promise<Stored>;
  close(): void;
}

export const PUBLISHERS: readonly Publisher[] = [
  {
    name: "POST /channels",
    powers: { ordered: false },
    async open(url, token) {
      return {
        async publish({ channel, event, data, key }) {
          const headers = { "content-type": "application/json", ...(key === undefined ? {} : { "idempotency-key": key }) };
          const query = event === undefined ? "" : `?event=${encodeURIComponent(event)}`;
          const body = JSON.stringify(data);
          const { json, status } = await demand(`${url}/channels/${channel}${query}`, { method: "POST", token, headers, body });
          if ((status === 200) !== (json.duplicate === true)) throw new Error(`${status} says otherwise than ${JSON.stringify(json)}.`);
          return storedOf(json);
        },
        close: () => undefined,
      };
    },
  },
  {
    name: "POST /publish",
    powers: { ordered: false },
    async open(url, token) {
      return {
        async publish(envelope) {
          const { json } = await demand(`${url}/publish`, { method: "POST", token, body: [envelope] });
          const [{ error, ...stored }] = json;
          if (error !== undefined) throw new Refused(error.code, error.message);
          return storedOf(stored);
        },
        close: () => undefined,
      };
    },
  },
  {
    name: "a frame",
    powers: { ordered: true },
    async open(url, token) {
      const socket = await new SocketReader({ url, channels: [], token }).open();
      return {
        publish: async (envelope) => storedOf(await socket.ask({ type: "publish", ...envelope })),
        close: () => socket.close(),
      };
    },
  },
  client("sse"),
  client("websocket"),
];

function client(transport: "sse" | "websocket"): Publisher {
  return {
    name: `the client over ${transport}`,
    powers: { ordered: true },
    async open(url, token) {
      const opened = connect(url, { transport, ...(token === undefined ? {} : { token }) });
      opened.on("error", () => undefined);
      return {
        async publish({ channel, event = "message", data, key }) {
          return storedOf(await opened.channel(channel).publish(event, data, key === undefined ? {} : { key }));
        },
        close: () => opened.close(),
      };
    },
  };
}

/** An ack, as a body or a frame. */
function storedOf({ position, level, duplicate = false }: Frame | Published): Stored {
  return { position, level, duplicate };
}
