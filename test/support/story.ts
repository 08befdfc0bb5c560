import { describe, expect, test } from "vitest";
import type { Identity } from "../../src/index.ts";
import { seededRandom } from "./clock.ts";
import { ENGINES, type Engine, type EnginePowers } from "./engines.ts";
import { type Answer, ask, type Call, demand } from "./http.ts";
import { type Message, offsetOf } from "./inbox.ts";
import type { Asked, Reader } from "./reader.ts";
import { SEED } from "./seed.ts";
import { type ServerOptions, startServer, type TestServer } from "./start-server.ts";
import { TRANSPORTS, type Transport, type TransportPowers, transportNamed } from "./transports.ts";

export const LOBBY = "chat/lobby";

export interface PromiseOptions extends ServerOptions {
  /** Powers that the transport or the engine must have. Default: none. */
  readonly needs?: readonly (keyof TransportPowers | keyof EnginePowers)[];
  /** `one`: it is the same over every transport, so one that has the powers will do. Default: `each`. */
  readonly over?: "each" | "one";
  /** `one`: it does not rest on what stores the messages, so one engine that has the powers will do. Default: `each`. */
  readonly on?: "each" | "one";
  /** Its worlds are told at the same time, since it has to wait for time to pass. Default: false. */
  readonly atOnce?: boolean;
}

export interface ConnectOptions {
  /** The name of a transport. Default: that of this world. */
  readonly over?: string;
  /** Default: one channel, the lobby. */
  readonly channels?: readonly string[];
  /** The text form of a From; left out, the transport's own default. */
  readonly from?: string;
  /** Go on where another reader stands, whatever its transport is. */
  readonly after?: Reader;
  readonly lastEventId?: string;
  readonly token?: string;
}

export interface PublishOptions {
  readonly channel?: string;
  readonly event?: string;
  /** Characters of the padding of each message. Default: 0. */
  readonly size?: number;
  readonly token?: string;
}

/** The small vocabulary of the stories. */
export interface Stage {
  readonly server: TestServer;
  readonly transport: Transport;
  readonly engine: Engine;
  /** A reader that has begun. Throws `Refused`, or the client's error, with its `code`. */
  connect(options?: ConnectOptions): Promise<Reader>;
  /** After a cut: a client comes back by itself; any other reader is opened anew where it stood, when it has noticed. */
  comeBack(reader: Reader, options?: Pick<ConnectOptions, "over" | "token">): Promise<Reader>;
  /** Publishes so many messages, numbered from 1 in the order of publishing, and says what every reader must get. */
  publish(count: number, options?: PublishOptions): Promise<Message[]>;
  /** One call of HTTP below the mount point, whatever its answer is. */
  ask(path: string, call?: Call): Promise<Answer>;
  /** Opens something that is closed at the end of the story. */
  keep<T extends { close(): void }>(opened: T): T;
}

/** A promise, held in every world that has the powers it needs: each transport on each engine. */
export function promise(title: string, options: PromiseOptions, story: (stage: Stage) => Promise<void>): void {
  const { atOnce = false } = options;
  describe(title, { concurrent: atOnce }, () => {
    for (const { transport, engine } of worldsOf(options)) {
      test(`over ${transport.name} on ${engine.name}`, () => tell(transport, engine, options, story));
    }
  });
}

/** `count` whole numbers from `first`. */
export function numbers(count: number, first = 1): number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

export function offsets(messages: readonly { readonly position: string }[]): number[] {
  return messages.map(({ position }) => offsetOf(position));
}

/** An `authenticate` that takes the token for the name of who sends it. */
export function byToken({ token }: { readonly token: string | null }): Identity | null {
  return token === null ? null : { id: token };
}

/** Chance that a failure can repeat: what fails says its seed. */
export async function byChance(act: (below: (count: number) => number) => Promise<void>, seed = SEED): Promise<void> {
  const random = seededRandom(seed);
  try {
    await act((count) => Math.floor(random.fraction() * count));
  } catch (error) {
    (error as Error).message += ` (seed ${seed})`;
    throw error;
  }
}

function worldsOf({ needs = [], over, on }: PromiseOptions): { transport: Transport; engine: Engine }[] {
  const worlds = TRANSPORTS.flatMap((transport) => ENGINES.map((engine) => ({ transport, engine })));
  const able = worlds.filter(({ transport, engine }) => {
    const powers: Readonly<Record<string, boolean>> = { ...transport.powers, ...engine.powers };
    return needs.every((need) => powers[need]);
  });
  const [first] = able;
  if (first === undefined) throw new Error(`No world has the powers ${needs.join(", ")}.`);
  return able.filter(
    ({ transport, engine }) => (over !== "one" || transport === first.transport) && (on !== "one" || engine === first.engine),
  );
}

async function tell(transport: Transport, engine: Engine, options: PromiseOptions, story: (stage: Stage) => Promise<void>): Promise<void> {
  const storage = await engine.create();
  const server = await startServer(() => storage.engine(), serverOptions(options));
  const opened: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(one: T): T => {
    opened.push(one);
    return one;
  };
  let published = 0;
  async function connect({ over, ...asked }: ConnectOptions = {}): Promise<Reader> {
    return keep(await (over === undefined ? transport : transportNamed(over)).open(askedOf(server.url, asked)));
  }

  try {
    await story({
      server,
      transport,
      engine,
      keep,
      connect,
      async comeBack(reader, options) {
        if (transport.powers.comesBack) return reader;
        // A poll may have begun after the cut, and then does not notice it
        if (transport.powers.polls) reader.close();
        else await reader.ended();
        const again = await connect({ ...options, after: reader });
        again.inbox.adopt(reader.inbox);
        return again;
      },
      async publish(count, { channel = LOBBY, event = "message", size = 0, token } = {}) {
        const messages: Message[] = [];
        const batchMax = Math.max(1, Math.min(1_000, Math.floor(4_000_000 / (size + 100))));
        while (messages.length < count) {
          const some = numbers(Math.min(count - messages.length, batchMax), published + 1);
          const envelopes = some.map((n) => ({ channel, event, data: size === 0 ? { n } : { n, padding: "x".repeat(size) } }));
          published += some.length;
          const { json } = await demand(`${server.url}/publish`, { method: "POST", token, body: envelopes });
          for (const [index, { position, error }] of json.entries()) {
            if (error !== undefined) throw new Error(`Not published: ${JSON.stringify(error)}`);
            messages.push({ channel, event, data: envelopes[index]?.data, position });
          }
        }
        return messages;
      },
      ask: (path, call) => ask(server.url + path, call),
    });
  } catch (error) {
    if (server.sentences.length > 0) (error as Error).message += `\nThe operator was told: ${server.sentences.join("\n")}`;
    throw error;
  } finally {
    for (const one of opened) one.close();
    await server.dispose();
    storage.dispose();
  }
  expect(
    server.sentences.filter((sentence) => sentence.startsWith("Unexpected")),
    "faults of ours",
  ).toEqual([]);
}

function serverOptions({ needs, over, on, atOnce, ...options }: PromiseOptions): ServerOptions {
  return options;
}

function askedOf(url: string, { channels, from = "", after, token, lastEventId }: Omit<ConnectOptions, "over">): Asked {
  const names = channels ?? [...(after?.inbox.positions.keys() ?? [LOBBY])];
  const starts = names.map((name) => {
    const position = after?.inbox.positions.get(name);
    return { name, from: position === undefined ? from : `after:${position}` };
  });
  return { url, channels: starts, token, lastEventId };
}
