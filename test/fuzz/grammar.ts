import fc from "fast-check";
import { ERRORS } from "../../src/protocol/error.ts";

/* What both ends say, as the law spells it (PROTOCOL.md §3 and §5), and a little more than it allows. */

const letters = (alphabet: string, length: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength: length, maxLength: length });
const WORD = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const epoch = fc.tuple(letters("0123456789abcdef", 12), letters(WORD, 8)).map((parts) => parts.join(""));
const offset = fc.oneof(fc.nat().map(BigInt), fc.constantFrom(0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 9_999_999_999_999_999n));
const tag = fc.oneof(letters(WORD, 8), fc.constant("--------"));

export const position = fc.tuple(epoch, offset, tag).map(([one, at, mark]) => `${one}.${String(at).padStart(16, "0")}.${mark}`);

export const from = fc.oneof(
  fc.constantFrom("now", "start"),
  fc.nat().map((count) => `last:${count}`),
  fc.date({ noInvalidDate: true, min: new Date(0), max: new Date("9999-12-31") }).map((date) => `since:${date.toISOString()}`),
  position.map((one) => `after:${one}`),
);

const segment = fc.string({ unit: fc.constantFrom(...`${WORD}_.:@~+=,-`), minLength: 1, maxLength: 12 });
export const name = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));

const integer = fc.maxSafeNat();
const data = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const text = fc.string({ unit: "grapheme" });
const code = fc.constantFrom(...Object.keys(ERRORS));
const type = <Name extends string>(one: Name) => fc.constant(one);

/** Where a watcher of presence stands (§13). */
export const standing = fc.oneof(
  fc.constantFrom("", "0.0", "1.0", "-1.x", "0.0.x.1", "...."),
  fc.tuple(fc.nat(), integer).map(([count, sum]) => `${count}.${sum.toString(36)}`),
);

/** What is said and asked about presence. */
export const presenceAsked = fc.record(
  {
    client: fc.oneof({ weight: 4, arbitrary: fc.constantFrom("a", "b", "c") }, { weight: 1, arbitrary: text }),
    data,
    turn: fc.oneof(fc.nat(5), fc.constantFrom(-1, 2 ** 53 - 1)),
    leave: fc.boolean(),
    position: standing,
    after: text,
    wait: fc.constantFrom(0, 0.01, -1, 1),
  },
  { requiredKeys: [] },
);

export const clientFrame = fc.oneof(
  fc.record({ type: type("subscribe"), channel: name, id: integer, from }, { requiredKeys: ["type", "channel"] }),
  fc.record({ type: type("unsubscribe"), channel: name }),
  fc.record(
    { type: type("publish"), channel: name, id: integer, event: text, data, encoding: fc.constantFrom("text", "base64"), key: text },
    { requiredKeys: ["type", "channel", "data"] },
  ),
  fc.record({ type: type("signal"), channel: name, event: text, data }),
  fc.record({ type: type("request"), channel: name, id: integer, name: text, data }),
  fc.record({ type: type("request"), channel: fc.constantFrom("a", "x"), id: integer, name: type("$presence"), data: presenceAsked }),
  fc.record({ type: type("ping") }),
);

const limits = fc.record({ messageBytesMax: integer, connectionChannelsMax: integer });
const id = fc.tuple(offset, tag).map(([at, mark]) => `${at}.${mark}`);

export const serverFrame = fc.oneof(
  fc.record({ channel: name, id, at: integer, event: text, data }, { requiredKeys: ["channel", "id", "at", "data"] }),
  fc.record({ type: type("connected"), connection: text, heartbeatSeconds: integer, retryMs: integer, limits }),
  fc.record({ type: type("subscribed"), channel: name, id: integer, position }, { requiredKeys: ["type", "channel", "position"] }),
  fc.record({ type: fc.constantFrom("unsubscribed", "live"), channel: name }),
  fc.record({ type: type("epoch"), channel: name, epoch }),
  fc.record({
    type: type("gap"),
    channel: name,
    reason: fc.constantFrom("trimmed", "truncated", "epoch"),
    since: fc.option(position),
    resumeFrom: position,
    missing: fc.option(integer),
  }),
  fc.record({ type: type("ack"), id: integer, position, level: fc.constantFrom("memory", "disk", "replicated") }),
  fc.record({ type: type("signal"), channel: name, event: text, data, sender: text }),
  fc.record({ type: type("response"), id: integer, data }),
  fc.record(
    { type: type("error"), code, message: text, id: integer, channel: name, retryAfterMs: integer },
    { requiredKeys: ["type", "code", "message"] },
  ),
  fc.record({ type: type("heartbeat") }),
  fc.record({ type: type("bye"), code, message: text, retryAfterMs: integer }, { requiredKeys: ["type", "code", "message"] }),
);
