import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { utf8Length } from "../protocol/message.ts";
import { stringifyJson } from "../wire/json.ts";

/** Checks the data of a signal. Throws `too_large`. */
export function checkSignal(data: unknown, limits: Limits): void {
  const bytes = utf8Length(stringifyJson(data ?? null));
  if (bytes <= limits.signalBytesMax) return;
  throw new ThroughlineError("too_large", `The signal has ${bytes} bytes; at most ${limits.signalBytesMax} are taken. Publish it instead.`);
}
