import { ThroughlineError } from "../../protocol/error.ts";
import { isForbidden, isMissing, Refused, Unanswered } from "./failure.ts";
import type { JetStream, StreamInfo } from "./jetstream.ts";
import type { Places } from "./places.ts";

/** The name is in use; the subjects are. */
const IN_THE_WAY = [10058, 10065];
const TRIES_MAX = 10;
const SLOW_TRIES_MAX = 3;

/** What all streams have in common: they keep what they have, and refuse what they have no room for. */
const KEEPING = { retention: "limits", discard: "new", max_msgs: -1, max_bytes: -1, max_age: 0, allow_rollup_hdrs: false };

/** Makes the streams that are not there yet, and gives those of the logs as they are. The one of the fence may be refused: null. */
export async function openStreams(
  js: JetStream,
  places: Places,
  replicas: number,
): Promise<{ readonly logs: readonly StreamInfo[]; readonly fence: StreamInfo | null }> {
  const description = `Channels of Throughline: one of ${places.streams.length}.`;
  const [first, ...others] = places.streams.map(({ name, log, keys, told }) => {
    const config = { ...KEEPING, name, subjects: [log, keys], storage: "file", num_replicas: replicas, description };
    return () => openStream(js, { ...config, republish: { src: log, dest: told } });
  });
  // Before any other is made: of another number of streams a channel stands in another one
  const logs = [await first!()];
  checkCount(logs[0]!, places);
  logs.push(...(await Promise.all(others.map((open) => open()))));
  const { name, subject, sweep } = places.fence;
  const config = {
    ...KEEPING,
    name,
    subjects: [subject, sweep],
    storage: "memory",
    num_replicas: replicas,
    discard: "old",
    max_msgs_per_subject: 1,
  };
  const fence = await openStream(js, config).catch((error) => {
    if (error instanceof Refused && !isForbidden(error)) return null;
    throw error;
  });
  return { logs, fence };
}

function checkCount({ config }: StreamInfo, { prefix, streams }: Places): void {
  const count = Number(/^Channels of Throughline: one of (\d+)\.$/.exec(config.description ?? "")?.[1] ?? streams.length);
  if (count === streams.length) return;
  throw new ThroughlineError(
    "internal",
    `The channels of ${prefix} are spread over ${count} streams, for ever, and the engine was told ${streams.length}: it would not find them. Say streams: ${count}, or take another prefix.`,
  );
}

async function openStream(js: JetStream, config: Readonly<Record<string, unknown>> & { readonly name: string }): Promise<StreamInfo> {
  for (let tries = 1; ; tries++) {
    try {
      return await js.info(config.name);
    } catch (error) {
      if (error instanceof Unanswered && tries < SLOW_TRIES_MAX) continue;
      if (!isMissing(error)) throw error;
    }
    try {
      return await js.create(config);
    } catch (error) {
      // A busy server takes its time over many streams; what it was asked for it may have made
      if (error instanceof Unanswered && tries < SLOW_TRIES_MAX) continue;
      // Another node makes it in this very moment, or an operator has made one that is in its way
      if (!(error instanceof Refused) || !IN_THE_WAY.includes(error.number) || tries === TRIES_MAX) throw error;
    }
  }
}
