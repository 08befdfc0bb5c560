import { useCallback, useSyncExternalStore } from "react";
import type { ConnectionState } from "../client/connection-state.ts";
import type { Transport } from "../client/options.ts";
import { useClient } from "./provider.ts";

export interface ConnectionView {
  readonly state: ConnectionState;
  /** What carries the channels now; null while nothing does. */
  readonly transport: Transport | null;
  /** Why this transport, for people. */
  readonly reason: string;
}

/**
 * The state of the connection.
 *
 * @example const { state, transport, reason } = useConnection();
 */
export function useConnection(): ConnectionView {
  const client = useClient();
  const subscribe = useCallback(
    (changed: () => void) => {
      const ends = [client.on("state", changed), client.on("transport", changed)];
      return () => {
        for (const end of ends) end.unsubscribe();
      };
    },
    [client],
  );
  // Three values that are compared one by one: an object made anew each time would render for ever.
  const state = useSyncExternalStore(subscribe, () => client.state, idle);
  const transport = useSyncExternalStore(subscribe, () => client.transport, none);
  return { state, transport, reason: client.reason };
}

/** A server that renders holds no connection. */
const idle = (): ConnectionState => "idle";
const none = (): null => null;
