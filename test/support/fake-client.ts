import { type Client, type ConnectOptions, connect, type Gap, type Message, type SubscribeOptions } from "../../src/client.ts";
import { type HandClock, handClock, seededRandom } from "./clock.ts";
import { FakeServer } from "./fake-server.ts";

export interface FakeWorld {
  readonly server: FakeServer;
  readonly clock: HandClock;
  readonly client: Client;
  readonly errors: unknown[];
  /** Lets everything happen that needs no time. */
  settle(): Promise<void>;
}

/** A client and a server in one process, in hand-made time. */
export function fakeWorld(options: ConnectOptions = {}, server = new FakeServer()): FakeWorld {
  const clock = handClock();
  const client = connect("http://fake/", { ...server.options, clock, random: seededRandom(1).fraction, ...options });
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  return {
    server,
    clock,
    client,
    errors,
    async settle() {
      for (let turn = 0; turn < 4; turn++) await clock.advanceAsync(0);
    },
  };
}

/** Messages and gaps of a channel, in the order they were told: `1 2 gap:trimmed>5 6`. */
export function follow(client: Client, name: string, options?: SubscribeOptions) {
  const story: (number | string)[] = [];
  const messages: Message[] = [];
  const channel = client.channel(name);
  channel.on("gap", ({ reason, resumeFrom }: Gap) => story.push(`gap:${reason}>${Number(resumeFrom.slice(21, 37))}`));
  const subscription = channel.subscribe((message) => {
    messages.push(message);
    story.push(message.offset);
  }, options);
  return { channel, story, messages, subscription };
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
