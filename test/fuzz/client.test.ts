import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ConnectOptions, Transport } from "../../src/client/options.ts";
import { connect, type Message } from "../../src/client.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { record } from "../support/evidence.ts";
import { FakeServer } from "../support/fake-server.ts";
import { Hostile, likeSystem } from "./hostile.ts";
import { PATIENCE_MS, runs, SEED } from "./settings.ts";

const HOSTILE_SECONDS = 120;
const HONEST_SECONDS = 120;
/** Attempts of all kinds in one second. With windows that begin at 300 ms and double, four loops of a client make a few dozen at most. */
const CALLS_PER_SECOND_MAX = 60;

const done = { worlds: 0, calls: 0, messages: 0, seconds: 0 };
const began = performance.now();
let rejections: unknown[] = [];
const onRejection = (reason: unknown): void => {
  rejections.push(reason);
};
beforeAll(() => {
  process.on("unhandledRejection", onRejection);
});
afterAll(() => {
  process.off("unhandledRejection", onRejection);
  const seconds = Math.round((performance.now() - began) / 1_000);
  console.log(`fuzz of the client, seed ${SEED}: ${JSON.stringify(done)}`);
  record("fuzz-client", {
    what: "Servers that answer whatever they like, and repent.",
    injections: done.calls,
    delivered: done.messages,
    control: "a client that does not wait between attempts, found",
    seconds,
    seed: SEED,
  });
});

/** One client, some time with a server that follows a script, and then with an honest one. Returns what was wrong. */
async function live(
  script: readonly number[],
  sticky: boolean,
  transport: Transport | "auto",
  limits: ConnectOptions["limits"] = {},
): Promise<unknown[]> {
  const faults: unknown[] = [];
  const fail = (error: unknown): void => void faults.push(error);
  const clock = handClock();
  const honest = new FakeServer();
  const hostile = new Hostile(honest, clock, script, sticky, fail);
  const options = {
    fetch: hostile.fetch,
    WebSocket: hostile.WebSocket,
    clock: likeSystem(clock, fail),
    random: seededRandom(1).fraction,
    transport,
    limits,
  };
  const client = connect("http://fake/", options);
  let toldMs = 0;
  client.on("error", (error) => {
    toldMs = Math.max(toldMs, (error as { retryAfterMs?: number }).retryAfterMs ?? 0);
  });
  rejections = [];

  const last = new Map<string, string>();
  const take =
    (reader: string) =>
    (message: Message): void => {
      const before = last.get(reader);
      if (before !== undefined && message.position <= before) fail(new Error(`${reader} got ${message.position} after ${before}.`));
      last.set(reader, message.position);
      done.messages++;
    };
  const ended: string[] = [];
  const open = new Set<string>();
  for (const name of ["a", "b"]) {
    const channel = client.channel(name);
    // A gap may lead back: what follows it is another story
    channel.on("gap", () => {
      for (const reader of last.keys()) if (reader.startsWith(name)) last.delete(reader);
    });
    channel.subscribe(take(`${name}, pushed`), { from: name === "a" ? "start" : "now" });
  }
  const pull = async (): Promise<void> => {
    for await (const message of client.channel("a").messages({ from: { last: 3 } })) take("a, pulled")(message);
  };
  pull().then(
    () => ended.push("pull"),
    () => ended.push("pull"),
  );
  for (const key of ["k1", "k2", "k3"]) {
    open.add(key);
    const settled = (): unknown => open.delete(key);
    client.channel("a").publish("message", key, { key }).then(settled, settled);
  }
  open.add("request");
  client
    .channel("a")
    .request("echo", 1)
    .then(
      () => open.delete("request"),
      () => open.delete("request"),
    );
  client.channel("a").signal("typing", 1);

  await clock.advanceAsync(HOSTILE_SECONDS * 1_000);
  hostile.repent();
  await clock.advanceAsync(HONEST_SECONDS * 1_000);
  const { calls } = hostile;
  const busiest = calls.findIndex((ms, index) => (calls[index + CALLS_PER_SECOND_MAX] ?? Number.POSITIVE_INFINITY) - ms < 1_000);
  if (busiest >= 0) fail(new Error(`More than ${CALLS_PER_SECOND_MAX} calls in the second from ${calls[busiest]} ms on.`));
  // It ends, or comes back; or it was told to wait for longer than this test
  if (client.state !== "failed" && client.state !== "connected" && client.state !== "idle" && toldMs < HONEST_SECONDS * 500) {
    fail(new Error(`It is ${client.state}, ${HONEST_SECONDS} seconds after the server became honest.`));
  }
  if (client.state === "failed" && client.error === undefined) fail(new Error("It failed without a reason."));

  client.close();
  await clock.advanceAsync(0);
  const before = calls.length;
  await clock.advanceAsync(60_000);
  if (calls.length !== before) fail(new Error("It goes on after close()."));
  if (clock.timers > 0) fail(new Error(`${clock.timers} timers are left after close().`));
  if (open.size > 0) fail(new Error(`These have no answer after close(): ${[...open]}.`));
  if (!ended.includes("pull")) fail(new Error("The loop over messages goes on after close()."));
  done.worlds++;
  done.calls += calls.length;
  done.seconds += HOSTILE_SECONDS + HONEST_SECONDS;
  return [...faults, ...rejections];
}

/** A page of history that ended before where the reader was took it back there, and the next one was handed out again. */
const PAGES_THAT_LEAD_BACK: [number[], Transport | "auto"][] = [[[1_206_515_314, 0, 0, 0, 52_875_684], "auto"]];
/** A page whose position is a number was believed, and from then on no pipe could tell that reader of a gap: each was cut, for ever. */
const PLACES_THAT_ARE_NONE: [number[], Transport | "auto"][] = [
  [[1_764_650_996, 0, 0, 9_646_336, 488_880_552, 0, 982_764_220, 637_328_468], "auto"],
];
/** A goodbye in a long-poll that brought nothing else: the pause before the next went on, with its timer, on a client that was closed. */
const GOODBYES_IN_A_POLL: [number[], Transport | "auto"][] = [[[0, 0, 0, 0, 848_365_311, 196_867_426], "long-poll"]];
/**
 * Pages that led nowhere, and long-polls that brought nothing, were asked for again at once, for ever; so were, in the last, pages whose position is a list, which was taken for a
 * place further on each time.
 */
const ANSWERS_WITH_NOTHING: [number, Transport | "auto"][] = [
  [0, "auto"],
  [0, "long-poll"],
  [922_000_766, "auto"],
  [1_520_668_674, "auto"],
];

const transports = fc.constantFrom<Transport | "auto">("auto", "sse", "websocket", "long-poll");

test("[D2] [D7] whatever a server answers, in whatever order, the client throws nothing, hands out nothing twice and hammers nobody", {
  timeout: PATIENCE_MS,
}, async () => {
  const script = fc.array(fc.nat(), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(script, transports, async (one, transport) => {
      expect(await live(one, false, transport)).toEqual([]);
    }),
    { ...runs(0.005), examples: [...PAGES_THAT_LEAD_BACK, ...PLACES_THAT_ARE_NONE, ...GOODBYES_IN_A_POLL] },
  );
});

test("[D7] a server that gives one answer for ever is asked at ease, and left for good or found again", {
  timeout: PATIENCE_MS,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), transports, async (one, transport) => {
      expect(await live([one], true, transport)).toEqual([]);
    }),
    { ...runs(0.0025), examples: ANSWERS_WITH_NOTHING },
  );
});

test("a client that does not wait between attempts is found", { timeout: PATIENCE_MS }, async () => {
  const hasty = { backoffMsMin: 10, backoffMsMax: 10 };
  const found: unknown[] = [];
  for (let script = 0; script < 20 && found.length === 0; script++) found.push(...(await live([script], true, "sse", hasty)));
  expect(String(found)).toMatch(/calls in the second/);
});
