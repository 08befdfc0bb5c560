import { ThroughlineError } from "../../protocol/error.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { Level } from "../../protocol/message.ts";
import { isForbidden, Refused } from "./failure.ts";
import type { Account, JetStream, StreamInfo } from "./jetstream.ts";
import { EXPECTING_NOTHING } from "./permissions.ts";
import type { Places } from "./places.ts";
import { openStreams } from "./streams.ts";

/** Republishing, and asking for the next message of a subject, came with it. */
const VERSION_MIN = [2, 9];
/** `sync_interval: always` came with it. */
const VERSION_SYNCED = [2, 10];
/** Of two publishes to a replicated stream that expect the same last message, it refuses the second also where the first is still on its way to the copies. */
const VERSION_EXCLUSIVE = [2, 11];
/** Before, a message that was refused since its account was full took the last one of its subject along, as far as anybody who asks is told. */
const VERSION_FULL = [2, 11];
/** Twice what the headers may need. */
const PAYLOAD_BYTES_MIN = 16_384;
/** So long another JetStream is waited for; only where there is a domain, and so may be several. */
const RIVAL_MS = 500;
/** What headers may add to a message. */
const HEADERS_BYTES = 16_384;

/** What a NATS is and does, as far as it says. */
export interface Inspection {
  /** What an ack is worth there. */
  readonly level: Level;
  /** What the operator should know, a sentence each. */
  readonly sentences: readonly string[];
}

/** Asks NATS what it is, and makes the streams that are not there. Throws if it has no JetStream, or is too old, for copies of streams too. */
export async function inspect(js: JetStream, places: Places, replicas: number, isSynced: boolean): Promise<Inspection> {
  const { version, payloadBytesMax } = js.line;
  if (isOlder(version, VERSION_MIN)) {
    throw new ThroughlineError(
      "internal",
      `This is nats-server ${version}, and the nats engine needs ${VERSION_MIN.join(".")} or later. Update it.`,
    );
  }
  if (!js.line.takesHeaders) {
    throw new ThroughlineError(
      "internal",
      "This nats-server takes no headers (no_header_support), in which the engine says what a message is. Let it take them.",
    );
  }
  if (payloadBytesMax < PAYLOAD_BYTES_MIN) {
    throw new ThroughlineError(
      "internal",
      `NATS takes messages of ${payloadBytesMax} bytes with their headers (max_payload), and the engine's headers alone may need ${PAYLOAD_BYTES_MIN / 2}. Set it to 2MB.`,
    );
  }
  let account: Account;
  try {
    account = await js.account();
  } catch (error) {
    if (!(error instanceof Refused) || isForbidden(error)) throw error;
    const sentence = `NATS keeps no messages here (${js.api}: ${error.message}) Run nats-server with JetStream (-js), let this account use it, and name the domain of it if it has one.`;
    throw new ThroughlineError("internal", sentence, { cause: error });
  }
  const { logs, fence } = await openStreams(js, places, replicas);
  if (account.domain !== undefined && (await hasRival(js, places))) {
    throw new ThroughlineError(
      "internal",
      `What is published to ${places.prefix}.> is taken by another JetStream too than that of the domain ${account.domain}: each would acknowledge what the other has not stored. Give the engine another prefix in each domain, and delete the streams ${places.prefix}-* in this one.`,
    );
  }
  const copiesOf = logs.map(({ config }) => config.num_replicas ?? 1);
  const [copies, copiesMost] = [Math.min(...copiesOf), Math.max(...copiesOf)];
  // No level says what it would be worth: without any fault one of two acknowledged messages is lost there
  if (copiesMost > 1 && isOlder(version, VERSION_EXCLUSIVE)) {
    throw new ThroughlineError(
      "unsupported",
      `nats-server ${version} may store two messages in one place of a stream with several copies and lose one of them, though both were acknowledged, and the streams ${places.prefix}-* have up to ${copiesMost}. Update it to ${VERSION_EXCLUSIVE.join(".")} or later, or edit them to one copy (nats stream edit --replicas 1).`,
    );
  }
  const sentences: string[] = [];
  if (copies !== replicas) {
    sentences.push(
      `The streams ${places.prefix}-* have ${copies} ${copies === 1 ? "copy" : "copies"}, not ${replicas} as the engine was told: edit them (nats stream edit --replicas).`,
    );
  }
  if (logs.some(({ config }) => config.republish?.dest === undefined)) {
    sentences.push(
      `The streams ${places.prefix}-* do not tell what they store (no republish), so other nodes hear of it by looking, seconds late. Let the engine make them.`,
    );
  }
  const isInMemory = logs.some(({ config }) => config.storage === "memory");
  if (isInMemory) {
    sentences.push(
      `The streams ${places.prefix}-* are in memory: when NATS restarts all channels begin anew, and readers are told by a gap.`,
    );
  }
  const thrifty = logs.find(({ config }) => throwsAway(config));
  if (thrifty !== undefined) {
    sentences.push(
      `The streams ${places.prefix}-* throw away messages by themselves (max_age, max_msgs_per_subject, or discard old with a limit): channels then lose what they are to keep, which readers are told by a gap. Take these limits off, or set discard to new.`,
    );
  }
  if (fence === null) {
    sentences.push(
      "NATS lets this account have no stream in memory, so a restart that lost messages is noticed by tags alone. Let it have one of a few kB.",
    );
  }
  const storageMax = storageOf(account);
  if (storageMax !== null && isOlder(version, VERSION_FULL) && logs.some(({ config }) => (config.max_bytes ?? -1) < 0)) {
    sentences.push(
      `This account of NATS may keep ${storageMax} bytes, and where that is reached nats-server ${version} loses sight of every channel that is written to: all of it is gone then, which readers are told by a gap. Set max_bytes on each of the streams ${places.prefix}-*, together no more than that, or update to ${VERSION_FULL.join(".")} or later.`,
    );
  }
  if (payloadBytesMax < LIMITS.messageBytesMax + HEADERS_BYTES) {
    sentences.push(
      `NATS takes messages of ${payloadBytesMax} bytes with their headers (max_payload): publishes larger than that are refused. Set it to 2MB for all that may be published.`,
    );
  }
  const canSync = !isOlder(version, VERSION_SYNCED);
  if (isSynced && !canSync)
    sentences.push(
      `nats-server ${version} cannot sync each write (that came with ${VERSION_SYNCED.join(".")}), so acks do not say disk. Update it.`,
    );
  const isDisk = isSynced && canSync && !isInMemory;
  if (copies === 1 && !isDisk && !isInMemory) {
    const instead = isOlder(version, VERSION_EXCLUSIVE)
      ? `; or update it to ${VERSION_EXCLUSIVE.join(".")} or later and have 3 replicas`
      : "; or have 3 replicas";
    sentences.push(
      `NATS writes to disk when the system likes (sync_interval, 2 minutes of its own): a power cut takes what came since, and readers are told by a gap. ${
        canSync
          ? `Set it to always, and synced for acks that say disk${instead}.`
          : `nats-server ${version} cannot do otherwise: update it to ${VERSION_EXCLUSIVE.join(".")} or later.`
      }`,
    );
  }
  return { level: copies > 1 ? "replicated" : isDisk ? "disk" : "memory", sentences };
}

/** Leaf nodes pass on what is published, to whatever streams there are. */
async function hasRival(js: JetStream, places: Places): Promise<boolean> {
  return (await js.line.answerers(places.ready(0).log, EXPECTING_NOTHING, RIVAL_MS)) > 1;
}

/** The bytes that the account may store on disk, the least of its tiers; null if nobody has set how many. */
function storageOf({ limits, tiers = {} }: Account): number | null {
  const all = [limits, ...Object.values(tiers).map((tier) => tier.limits)]
    .map((one) => one?.max_storage ?? -1)
    .filter((bytes) => bytes >= 0);
  return all.length === 0 ? null : Math.min(...all);
}

function throwsAway({ max_age = 0, max_msgs_per_subject = 0, max_msgs = -1, max_bytes = -1, discard }: StreamInfo["config"]): boolean {
  return max_age > 0 || max_msgs_per_subject > 0 || (discard === "old" && (max_msgs > 0 || max_bytes > 0));
}

function isOlder(version: string, [major, minor]: readonly number[]): boolean {
  const [itsMajor = 0, itsMinor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return itsMajor < major! || (itsMajor === major && itsMinor < minor!);
}
