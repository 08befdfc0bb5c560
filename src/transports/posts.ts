import type { Publication, Receipt } from "../core/hub.ts";
import { checkChannelName } from "../protocol/channel-name.ts";
import { ThroughlineError } from "../protocol/error.ts";
import type { Limits } from "../protocol/limits.ts";
import { PRESENCE_REQUEST } from "../protocol/presence.ts";
import { answer, answerEmpty, answerText, tellable } from "./answer.ts";
import { mediaType, readBody, readEnvelopes, readJson } from "./bodies.ts";
import type { Call } from "./call.ts";
import { permit } from "./permit.ts";
import { postPresence } from "./presence.ts";
import { checkSignal } from "./signals.ts";

/** POST /channels/{name}: one message (PROTOCOL.md §4.3). */
export async function publishOne(call: Call): Promise<void> {
  const { hub, exchange, identity, headers, channel } = call;
  const event = exchange.query.get("event") ?? undefined;
  const key = readKey(exchange.header("idempotency-key"));
  const type = mediaType(exchange);
  // Before the body is read: who may not publish need not be listened to.
  const bytes = await permit(call, "publish", channel, () => exchange.body(hub.limits.messageBytesMax));
  const receipt = await hub.publish(identity, { channel, event, key, ...readBody(type, bytes, event, hub.limits) });
  answer(exchange, receipt.duplicate ? 200 : 201, told(receipt), headers);
}

/** POST /publish: many messages, each standing for itself. They enter the log together, so a batch costs about one commit. */
export async function publishEnvelopes(call: Call): Promise<void> {
  const { hub, exchange, identity, asked, headers } = call;
  const type = mediaType(exchange);
  if (type !== "application/json" && type !== "application/x-ndjson") {
    throw new ThroughlineError("unsupported_media", "POST /publish takes application/json or application/x-ndjson.");
  }
  const envelopes = readEnvelopes(type, await exchange.body(hub.limits.bodyBytesMax), hub.limits);
  // The gate is asked for all of them first: while it thinks about one, a later one must not enter the log before it
  const askAll = () => Promise.allSettled(envelopes.map((envelope) => allow(call, envelope)));
  let since = hub.gate.moment;
  let allowed = await askAll();
  for (; hub.gate.isOvertaken(since); allowed = await askAll()) since = hub.gate.moment;
  hub.gate.checkIdentity(identity, asked);
  const results = await Promise.all(
    allowed.map(async (one) => {
      try {
        if (one.status === "rejected") throw one.reason;
        return told(await hub.publish(identity, one.value));
      } catch (thrown) {
        const { code, message } = tellable(thrown, (sentence) => hub.warn(sentence));
        return { error: { code, message } };
      }
    }),
  );
  answer(exchange, 200, results, headers);
}

async function allow({ hub, identity }: Call, envelope: Publication | ThroughlineError): Promise<Publication> {
  if (envelope instanceof ThroughlineError) throw envelope;
  const channel = checkChannelName(envelope.channel, hub.limits);
  await hub.gate.authorize(identity, "publish", channel);
  return { ...envelope, channel };
}

/** POST /signals/{name}?event=…: what a signal frame does on a WebSocket. */
export async function signal(call: Call): Promise<void> {
  const { hub, exchange, identity, headers, channel } = call;
  const event = exchange.query.get("event");
  if (event === null) throw new ThroughlineError("bad_event", "A signal names its event: /signals/chat/lobby?event=typing.");
  // Six bytes of JSON text may stand for one of what it says (\u0041), so the text is given that room and the value is measured.
  const data = await permit(call, "signal", channel, () => readValue(exchange, hub.limits.signalBytesMax * 6, hub.limits));
  checkSignal(data, hub.limits);
  hub.signal(channel, event, data, identity.id || "~");
  answerEmpty(exchange, 202, headers);
}

/** POST /requests/{name}?name=…: what a request frame does on a WebSocket. */
export async function request(call: Call): Promise<void> {
  const { hub, exchange, identity, headers, channel } = call;
  const name = exchange.query.get("name");
  if (name === null) throw new ThroughlineError("bad_request", "A request names what it asks: /requests/chat/lobby?name=rename.");
  if (name === PRESENCE_REQUEST) return postPresence(call);
  const data = await permit(call, "request", channel, () => readValue(exchange, hub.limits.messageBytesMax, hub.limits));
  answerText(exchange, 200, await hub.requests.ask(channel, name, data, identity), headers);
}

async function readValue(exchange: Call["exchange"], bytesMax: number, limits: Limits): Promise<unknown> {
  const type = mediaType(exchange);
  if (type !== "application/json" && type !== "") throw new ThroughlineError("unsupported_media", "Send the body as application/json.");
  const bytes = await exchange.body(bytesMax);
  return bytes.length === 0 ? null : readJson(bytes, limits);
}

function told({ position, level, duplicate }: Receipt): object {
  return { position, level, ...(duplicate ? { duplicate } : {}) };
}

/** The draft standard writes the key as a quoted string (RFC 8941 §3.3.3); most clients send it bare. */
function readKey(header: string | null): string | undefined {
  if (header === null) return undefined;
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(header);
  return quoted === null ? header : quoted[1]!.replace(/\\(.)/g, "$1");
}
