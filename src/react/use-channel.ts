import { useMemo, useSyncExternalStore } from "react";
import type { Channel } from "../client/channel.ts";
import { type ChannelOptions, type ChannelSnapshot, createChannelStore } from "./channel-store.ts";
import { useClient } from "./provider.ts";

export interface ChannelView<T> extends ChannelSnapshot<T> {
  readonly publish: Channel<T>["publish"];
  readonly signal: Channel<T>["signal"];
  readonly request: Channel<T>["request"];
}

/**
 * Reads a channel while the component is mounted.
 *
 * @example
 * const { messages, publish, state } = useChannel<Line>("chat/lobby", { from: { last: 50 } });
 */
export function useChannel<T = unknown>(name: string, options: ChannelOptions = {}): ChannelView<T> {
  const client = useClient();
  const { from, event, keep } = options;
  // Options are written where the hook is called, so they are a new object each time: what they say is compared.
  const asked = JSON.stringify([name, from, event, keep]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `asked` stands for name and options
  const store = useMemo(() => createChannelStore<T>(client, name, { from, event, keep }), [client, asked]);
  const snapshot = useSyncExternalStore(store.subscribe, store.get, store.get);
  return useMemo(() => {
    const channel = (): Channel<T> => client.channel<T>(name);
    return {
      ...snapshot,
      publish: (...args: [unknown]) => channel().publish(...args),
      signal: (...args) => channel().signal(...args),
      request: (...args) => channel().request(...args),
    } as ChannelView<T>;
  }, [client, name, snapshot]);
}
