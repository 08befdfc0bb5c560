import type { ConnectionState, Rules } from "./connection-state.ts";
import type { Emitter } from "./emitter.ts";
import type { Http } from "./http.ts";
import type { ClientLimits, Transport } from "./options.ts";
import type { ClientClock, WebSocketClass } from "./system.ts";

/** What an application is told of its client. */
export interface ClientEvents {
  state: ConnectionState;
  /** What carries the channels now; null while nothing does. */
  transport: Transport | null;
  /**
   * What went wrong, also what an application's own handler threw. A cut is told here as `disconnected`, and mends itself. What nobody
   * listens for and does not mend itself goes to `reportError`.
   */
  error: unknown;
}

/** What a client is made with. */
export interface Environment {
  readonly http: Http;
  readonly clock: ClientClock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly limits: ClientLimits & Rules & { retryMs?: number };
  readonly WebSocket?: WebSocketClass;
  readonly emit: Emitter<ClientEvents>["emit"];
  /** Tells an error that does not mend itself. */
  readonly report: (error: unknown) => void;
  /** Aborted when the client is closed. */
  readonly life: AbortController;
}
