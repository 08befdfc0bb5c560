import { ThroughlineError } from "../protocol/error.ts";
import { answer } from "./answer.ts";
import type { Call } from "./call.ts";

/** The process turns. It says nothing about the log: to be started anew would not mend a disk or a broker, and would cost every reader its pipe. */
export function live({ exchange, headers }: Pick<Call, "exchange" | "headers">): void {
  answer(exchange, 200, { live: true }, headers);
}

/** What is published here now would be stored. */
export async function ready({ hub, exchange, headers }: Pick<Call, "hub" | "exchange" | "headers">): Promise<void> {
  const reason = await hub.ready();
  if (reason !== null) throw new ThroughlineError("not_ready", reason, { retryAfterMs: 1_000 });
  answer(exchange, 200, { ready: true }, headers);
}
