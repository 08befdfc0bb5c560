import type { Hub } from "../core/hub.ts";
import type { Identity } from "../core/identity.ts";
import type { Exchange } from "./exchange.ts";

/** One call on the way through: who asks, for what, and the headers that its answer bears whatever it is. */
export interface Call {
  readonly hub: Hub;
  readonly exchange: Exchange;
  readonly identity: Identity;
  readonly headers: Readonly<Record<string, string>>;
  /** The channel that the path names; empty where it names none. */
  readonly channel: string;
}
