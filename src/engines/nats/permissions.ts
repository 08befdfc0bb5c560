import { ThroughlineError } from "../../protocol/error.ts";
import { isForbidden, isLate } from "./failure.ts";
import type { JetStream } from "./jetstream.ts";
import type { Places } from "./places.ts";
import { encodeHeaders } from "./record.ts";

/** A place that no message will ever stand before: what expects it is refused by whoever takes it, and forbidden by whoever does not. */
export const EXPECTING_NOTHING = encodeHeaders({ "Nats-Expected-Last-Subject-Sequence": String(Number.MAX_SAFE_INTEGER) });
const NOTHING = new Uint8Array(0);

/**
 * Tries all that the engine will ever ask of NATS, where it alters nothing, for a permission that is lacking shows only then, and that may be long after the start. Gives a sentence
 * for each thing that can be done without.
 */
export async function inspectPermissions(js: JetStream, places: Places): Promise<readonly string[]> {
  const { prefix, fence, turns } = places;
  const { stream, log, keys, told } = places.ready(0);
  const needed = await refusals([
    offer(js, log),
    offer(js, keys),
    offer(js, fence.subject),
    js.last(stream, log),
    js.last(fence.name, fence.subject),
    js.tryEach(stream, keys),
    js.delete(stream, 0),
  ]);
  if (needed.length > 0) throw forbidden(needed);
  const sentences: string[] = [];
  const trimming = await refusals([js.purge(stream, keys, 1), offer(js, fence.sweep)]);
  const hearing = await refusals([js.line.mayHear(told)]);
  const yielding = await refusals([js.line.mayHear(turns)]);
  // Now that nobody hears it, it is answered at once
  const telling = await refusals([js.line.request(told, NOTHING)]);
  if (trimming.length > 0)
    sentences.push(`${lacking(trimming)} What is trimmed is not deleted, and the streams ${prefix}-* grow. Let it publish there.`);
  if (hearing.length > 0)
    sentences.push(
      `${lacking(hearing)} What other nodes store is heard of seconds late, and their signals not at all. Let it subscribe to ${prefix}.*.told.>.`,
    );
  if (yielding.length > 0)
    sentences.push(
      `${lacking(yielding)} A channel to which this node publishes without a pause is closed to nodes with a longer way to NATS. Let it subscribe to ${turns}.`,
    );
  if (telling.length > 0)
    sentences.push(`${lacking(telling)} Signals, and who is there, do not reach other nodes. Let it publish to ${prefix}.*.told.>.`);
  return sentences;
}

/** Rejects if nothing can be stored there, and stores nothing. */
export async function offer(js: JetStream, subject: string): Promise<void> {
  await js.publish(subject, EXPECTING_NOTHING, NOTHING).catch((error) => {
    if (!isLate(error)) throw error;
  });
}

/** A user who may not do what the engine cannot do without. */
export function forbidden(errors: readonly Error[]): ThroughlineError {
  return new ThroughlineError("internal", `${lacking(errors)} The engine needs it: docs/nats.md lists what a user must be allowed.`, {
    cause: errors[0],
  });
}

function lacking(errors: readonly Error[]): string {
  return `NATS does not let this user do all that the engine asks: ${errors.map(({ message }) => message).join(", ")}.`;
}

/** Which of them are forbidden. Whatever else may be wrong with them is told by others. */
async function refusals(asked: readonly Promise<unknown>[]): Promise<Error[]> {
  const settled = await Promise.allSettled(asked);
  return settled.flatMap((one) => (one.status === "rejected" && isForbidden(one.reason) ? [one.reason as Error] : []));
}
