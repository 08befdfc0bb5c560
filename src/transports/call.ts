import type { Hub } from "../core/hub.ts";
import type { Identity } from "../core/identity.ts";
import type { Exchange } from "./exchange.ts";

/** Who asks. */
export interface Caller {
  readonly hub: Hub;
  readonly identity: Identity;
  /** The moment, as the gate has it, before it was asked who this is. */
  readonly asked: number;
}

/** One call on the way through: who asks, for what, and the headers that its answer bears whatever it is. */
export interface Call extends Caller {
  readonly exchange: Exchange;
  readonly headers: Readonly<Record<string, string>>;
  /** The channel that the path names; empty where it names none. */
  readonly channel: string;
}
