import { ThroughlineError } from "../protocol/error.ts";
import type { Channel } from "./channel.ts";
import { type Counts, createConnection } from "./connection.ts";
import type { ConnectionState } from "./connection-state.ts";
import { createChannel } from "./create-channel.ts";
import { createEmitter, type Subscription } from "./emitter.ts";
import type { ClientEvents, Environment } from "./environment.ts";
import { createHttp } from "./http.ts";
import { CLIENT_LIMITS, type ConnectOptions, type Transport } from "./options.ts";
import { SYSTEM_CLOCK, systemRandom } from "./system.ts";
import { onAbort } from "./within.ts";

export interface Client extends Disposable {
  readonly state: ConnectionState;
  /** What carries the channels now; null while nothing does. */
  readonly transport: Transport | null;
  /** Why this transport, for people. */
  readonly reason: string;
  /** Why it is `failed` or `closed`. */
  readonly error: ThroughlineError | undefined;
  readonly counts: Readonly<Counts>;
  /** The channel of this name, the same object as long as someone holds or reads it. Throws `bad_channel`. */
  channel<T = unknown>(name: string): Channel<T>;
  on<Name extends keyof ClientEvents>(name: Name, handler: (value: ClientEvents[Name]) => unknown): Subscription;
  /** As the option `transport`, in mid-stream. While the new one does not get through, the old one runs on, and it is tried again in a while. */
  switchTo(transport: Transport | "auto"): void;
  /** Ends everything, for good: subscriptions end, publishes without an answer reject with `closed`. */
  close(): void;
}

/**
 * What may stand in a path, of the characters of a channel's name, and without `.` and `..`, which would lead it elsewhere. The server checks
 * the rest (protocol/channel-name.ts), whose texts cost more than a page should pay.
 */
const CHANNEL_NAME = /^(?!(.*\/)?\.\.?(\/|$))[\w.:@~+=,/-]+$/;

/**
 * A client of the server at `url`, the mount point: `https://example.org/realtime`, or in a page `/realtime`. Does nothing until a channel
 * is read or published to, so that rendering on a server costs nothing.
 *
 * @example
 * const client = connect("/realtime", { token: () => fetch("/token").then((answer) => answer.text()) });
 * client.channel("chat/lobby").subscribe(({ data }) => show(data), { from: { last: 50 } });
 */
export function connect<_Contract = unknown>(url: string, options: ConnectOptions = {}): Client {
  const { clock = SYSTEM_CLOCK, random = systemRandom, signal, retriesMax } = options;
  // A handler of errors that throws is not told of its own error
  const emitter = createEmitter<ClientEvents>(shout);
  const life = new AbortController();
  const channels = new Map<string, WeakRef<Channel>>();
  // Else a server that publishes to one channel per user would keep one object per user
  const forgotten = new FinalizationRegistry((name: string) => channels.get(name)?.deref() ?? channels.delete(name));
  const environment: Environment = {
    ...options,
    http: createHttp(url, options, clock, life.signal),
    clock,
    random,
    limits: { ...CLIENT_LIMITS, ...options.limits, retriesMax },
    life,
    emit: emitter.emit,
    report(error) {
      if (!emitter.emit("error", error)) shout(error);
    },
  };
  const connection = createConnection(environment, options.transport ?? "auto");
  onAbort(signal, connection.close, life);

  // One object for the connection and its client, seen by types of their own: that is some 60 bytes less on every page
  return Object.assign(connection, {
    on: emitter.on,
    [Symbol.dispose]: connection.close,
    channel(name: string) {
      if (!CHANNEL_NAME.test(name)) throw new ThroughlineError("bad_channel", "Not a channel name.");
      let channel = channels.get(name)?.deref();
      if (!channel) {
        channel = createChannel(name, connection, environment);
        channels.set(name, new WeakRef(channel));
        forgotten.register(channel, name);
      }
      return channel as Channel<never>;
    },
  });
}

function shout(error: unknown): void {
  (globalThis.reportError ?? console.error)(error);
}
