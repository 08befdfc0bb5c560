import type { Hub } from "../core/hub.ts";
import type { Identity } from "../core/identity.ts";
import { ThroughlineError } from "../protocol/error.ts";
import { stringifyJson } from "../wire/json.ts";

/** What the application answers, as JSON text. That JSON cannot hold it is the handler's fault, and for the operator only. */
export async function ask(hub: Hub, channel: string, name: string, data: unknown, identity: Identity): Promise<string> {
  const answered = (await hub.handlers.ask(channel, name, data, identity)) ?? null;
  try {
    return stringifyJson(answered);
  } catch (error) {
    hub.warn(`What the handler of ${name} on ${channel} answered cannot be sent. ${(error as Error).message}`);
    throw new ThroughlineError("request_failed", `The handler of ${name} failed. The server's log has the cause.`);
  }
}
