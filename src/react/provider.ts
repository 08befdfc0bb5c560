import { createContext, createElement, type ReactElement, type ReactNode, useContext } from "react";
import type { Client } from "../client/connect.ts";

const Current = createContext<Client | null>(null);

/**
 * Gives a client to the hooks below it. Make the client once, outside of rendering; it connects when a channel is first read.
 *
 * @example <ThroughlineProvider client={connect("/realtime")}><App /></ThroughlineProvider>
 */
export function ThroughlineProvider({ client, children }: { readonly client: Client; readonly children?: ReactNode }): ReactElement {
  return createElement(Current.Provider, { value: client }, children);
}

/** The client of the nearest provider. Throws without one. */
export function useClient(): Client {
  const client = useContext(Current);
  if (client === null)
    throw new Error("There is no ThroughlineProvider above this component. Wrap the app in <ThroughlineProvider client={…}>.");
  return client;
}
