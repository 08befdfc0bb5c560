import type { Action } from "../core/identity.ts";
import type { Caller } from "./call.ts";

/**
 * Asks the gate, then does what takes its time before the act itself (a body is read, a log opened), and gives what came of it. If there was a review
 * meanwhile it asks again, and who was revoked, or has expired, is refused: between this and the act nothing is waited for.
 */
export async function permit<Ready = void>(
  { hub, identity, asked }: Caller,
  action: Action,
  channel: string,
  prepare?: () => Promise<Ready>,
): Promise<Ready> {
  let preparing: Promise<Ready> | undefined;
  for (;;) {
    const since = hub.gate.moment;
    await hub.gate.authorize(identity, action, channel);
    preparing ??= prepare?.();
    const ready = (await preparing) as Ready;
    if (hub.gate.isOvertaken(since)) continue;
    hub.gate.checkIdentity(identity, asked);
    return ready;
  }
}
