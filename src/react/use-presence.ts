import { useEffect, useMemo, useSyncExternalStore } from "react";
import type { Member } from "../client/roll.ts";
import { createPresenceStore } from "./presence-store.ts";
import { useClient } from "./provider.ts";

/**
 * Is on a channel with `data` while the component is mounted, or without it only watches, and sees who is there.
 *
 * @example
 * const members = usePresence("chat/lobby", { name: "Ada" });
 */
export function usePresence<Data = unknown>(name: string, data?: Data): readonly Member<Data>[] {
  const client = useClient();
  const store = useMemo(() => createPresenceStore<Data>(client.channel(name)), [client, name]);
  // Data is written where the hook is called, so it is a new object each time: what it says is compared. Before the store is subscribed to, which enters with it
  const said = JSON.stringify(data);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `said` stands for data
  useEffect(() => store.say(data), [store, said]);
  return useSyncExternalStore(store.subscribe, store.get, store.get);
}
