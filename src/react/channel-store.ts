import type { ChannelState, Gap } from "../client/channel.ts";
import type { Client } from "../client/connect.ts";
import type { Message } from "../client/message.ts";
import type { From } from "../protocol/frame.ts";

export interface ChannelOptions {
  /** Where to begin. Default `now`. */
  readonly from?: From | undefined;
  /** Only messages of this event. */
  readonly event?: string | undefined;
  /** How many messages are kept, the latest. Default 100. */
  readonly keep?: number | undefined;
}

/** What a component sees of a channel. The same object until something changes. */
export interface ChannelSnapshot<T> {
  /** The latest messages, oldest first. */
  readonly messages: readonly Message<T>[];
  readonly state: ChannelState;
  /** The last gap that was told; null if there was none. */
  readonly gap: Gap | null;
}

export interface ChannelStore<T> {
  subscribe(changed: () => void): () => void;
  get(): ChannelSnapshot<T>;
}

/**
 * A channel as React reads it: a snapshot and a way to hear of the next one. It reads while someone listens. Who comes back (StrictMode mounts
 * twice) goes on behind the last message, so none is shown twice and none is lost.
 */
export function createChannelStore<T>(client: Client, name: string, { from = "now", event, keep = 100 }: ChannelOptions): ChannelStore<T> {
  const listeners = new Set<() => void>();
  let snapshot: ChannelSnapshot<T> = { messages: [], state: "subscribing", gap: null };
  let arrived: Message<T>[] = [];
  let told = false;
  let place: From = from;
  let stop = (): void => undefined;

  /** Once for all that a turn brings: a render for each message would be slower than the network. */
  function change(next: Partial<ChannelSnapshot<T>>): void {
    snapshot = { ...snapshot, ...next };
    if (told) return;
    told = true;
    queueMicrotask(() => {
      told = false;
      if (arrived.length > 0) snapshot = { ...snapshot, messages: [...snapshot.messages, ...arrived].slice(-keep) };
      arrived = [];
      for (const listener of listeners) listener();
    });
  }

  function start(): void {
    const channel = client.channel<T>(name);
    const ends = [
      channel.on("state", (state) => change({ state })),
      channel.on("gap", (gap) => change({ gap })),
      channel.subscribe<T>(
        (message) => {
          place = { after: message.position };
          arrived.push(message);
          change({});
        },
        { from: place, event },
      ),
    ];
    // Another component may read it already: then no event tells where it stands.
    change({ state: channel.state });
    stop = () => {
      for (const end of ends) end.unsubscribe();
    };
  }

  return {
    subscribe(changed) {
      if (listeners.size === 0) start();
      listeners.add(changed);
      return () => {
        listeners.delete(changed);
        if (listeners.size === 0) stop();
      };
    },
    get: () => snapshot,
  };
}
