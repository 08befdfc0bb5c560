import type { Transport as ClientTransport } from "../../src/client.ts";
import { ClientReader } from "./client-reader.ts";
import { FramesPollReader, PageReader } from "./raw-poll.ts";
import { SocketReader } from "./raw-socket.ts";
import { FramesReader, PlainReader, VectorReader } from "./raw-sse.ts";
import type { Asked, Reader } from "./reader.ts";

/** What a reader of a transport can do. A promise names the powers that it needs, and is held over every transport that has them. */
export interface TransportPowers {
  /** Many channels on one pipe. */
  readonly manyChannels: boolean;
  /** One channel of many may be refused, and the others are read. */
  readonly refusesOne: boolean;
  /** Resumes by the header Last-Event-ID. */
  readonly resumesByHeader: boolean;
  /** Is told signals. */
  readonly signals: boolean;
  /** Tells bytes from text. */
  readonly bytes: boolean;
  /** Brings a text as it was published, whatever line ends it has. */
  readonly exactText: boolean;
  /** One connection that stays open. */
  readonly stays: boolean;
  /** Each message is asked for: there is no connection that could be slow. */
  readonly polls: boolean;
  /** Can stop reading its socket. */
  readonly pauses: boolean;
  /** Shows that the server lives when there is nothing to say. */
  readonly heartbeats: boolean;
  /** Comes back by itself after a cut. */
  readonly comesBack: boolean;
  /** Leaves coming back to whoever uses it. */
  readonly staysAway: boolean;
  /** Is told why it ended, and when to come back. */
  readonly toldWhy: boolean;
  /** Moves to another transport in mid-stream. */
  readonly switches: boolean;
}

export interface Transport {
  readonly name: string;
  readonly powers: TransportPowers;
  open(asked: Asked): Promise<Reader>;
}

const NONE: TransportPowers = {
  manyChannels: false,
  refusesOne: false,
  resumesByHeader: false,
  signals: false,
  bytes: false,
  exactText: false,
  stays: false,
  polls: false,
  pauses: false,
  heartbeats: false,
  comesBack: false,
  staysAway: false,
  toldWhy: false,
  switches: false,
};

/** What any pipe without the client library is. */
const RAW = { ...NONE, staysAway: true, toldWhy: true } as const;
const STREAM = { ...RAW, signals: true, stays: true, pauses: true, heartbeats: true } as const;
const FRAMES = { manyChannels: true, refusesOne: true, bytes: true, exactText: true } as const;
const CLIENT = { ...NONE, ...FRAMES, refusesOne: false, signals: true, comesBack: true } as const;

export const TRANSPORTS: readonly Transport[] = [
  { name: "sse", powers: { ...STREAM, resumesByHeader: true }, open: (asked) => new PlainReader(asked).open() },
  {
    name: "sse/many",
    powers: { ...STREAM, manyChannels: true, resumesByHeader: true, bytes: true, exactText: true },
    open: (asked) => new VectorReader(asked).open(),
  },
  { name: "sse/frames", powers: { ...STREAM, ...FRAMES }, open: (asked) => new FramesReader(asked).open() },
  { name: "websocket", powers: { ...STREAM, ...FRAMES }, open: (asked) => new SocketReader(asked).open() },
  {
    name: "long-poll",
    powers: { ...RAW, polls: true, bytes: true, exactText: true },
    open: (asked) => new PageReader(asked).open(),
  },
  {
    name: "long-poll/frames",
    powers: { ...RAW, ...FRAMES, polls: true, signals: true },
    open: (asked) => new FramesPollReader(asked).open(),
  },
  client("sse", { stays: true, switches: true }),
  client("websocket", { stays: true, switches: true }),
  client("long-poll", { polls: true, switches: true }),
  client("auto", { stays: true }),
];

function client(transport: ClientTransport | "auto", powers: Partial<TransportPowers>): Transport {
  return {
    name: `client/${transport}`,
    powers: { ...CLIENT, ...powers },
    open: (asked) => new ClientReader(asked, transport).open(),
  };
}

export function transportNamed(name: string): Transport {
  const found = TRANSPORTS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`There is no transport named ${name}.`);
  return found;
}
