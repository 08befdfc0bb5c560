import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "../../src/adapters/system.ts";
import type { Appended, Draft, Log, LogContext, Told } from "../../src/core/log.ts";
import { disk } from "../../src/engines/disk/disk.ts";
import { memory } from "../../src/engines/memory/memory.ts";
import { nats } from "../../src/nats.ts";
import { redis } from "../../src/redis.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { sharedNats, stopSharedNats } from "../support/nats-server.ts";
import { LIBRARIES, SYNCED, sharedRedis, stopSharedRedis } from "../support/redis-server.ts";
import { workerWithOwner } from "../support/worker-log.ts";
import { LogModel } from "./log-model.ts";

const RETENTION = { countMax: 6, bytesMax: 200, secondsMax: 100 };
const KEYS_MAX = 4;
const KEY_SECONDS_MIN = 150;
const CHANNELS = ["a", "a/b"] as const;

const channel = fc.constantFrom(...CHANNELS);
const draft = fc.record({
  length: fc.oneof(fc.nat(20), fc.nat(300)),
  key: fc.option(fc.constantFrom("k1", "k2", "k3", "k4", "k5", "k6"), { nil: undefined }),
  print: fc.constantFrom("p", "p", "p", "q"),
});
const command = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("append" as const), channel, drafts: fc.array(draft, { maxLength: 4 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("append at once" as const),
      channel,
      drafts: fc.array(draft, { minLength: 2, maxLength: 8 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant("read" as const), channel, after: fc.nat(40), count: fc.nat(8), bytes: fc.nat(200) }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("advance" as const), seconds: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("remove" as const), channel }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reopen" as const) }) },
);

afterAll(stopSharedRedis);
afterAll(stopSharedNats);

test.each([
  { name: "memory", runs: 400, make: () => ({ log: () => memory(), reopens: false, dispose: () => {} }) },
  {
    name: "disk",
    runs: 40,
    make() {
      const directory = mkdtempSync(join(tmpdir(), "throughline-model-"));
      return { log: () => disk(directory), reopens: true, dispose: () => rmSync(directory, { recursive: true }) };
    },
  },
  {
    name: "a worker of disk",
    runs: 20,
    make() {
      const directory = mkdtempSync(join(tmpdir(), "throughline-model-"));
      return { log: () => workerWithOwner(directory), reopens: true, dispose: () => rmSync(directory, { recursive: true }) };
    },
  },
  {
    name: "redis",
    runs: 40,
    make() {
      const { server, prefix } = sharedRedis(SYNCED);
      return { log: () => redis(LIBRARIES[1]!.client(server), { prefix }), reopens: true, dispose: () => {} };
    },
  },
  {
    name: "nats",
    runs: 40,
    make() {
      const { server, prefix } = sharedNats();
      return { log: () => nats(server.connect, { prefix, streams: 1 }), reopens: true, dispose: () => {} };
    },
  },
])("[D1] [D2] [D5] $name answers as an array and a map would, whatever is done to it", async ({ name, runs, make }) => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40 }), async (commands) => {
      const subject = make();
      try {
        await compare(commands, subject.log, subject.reopens, name === "redis" || name === "nats");
      } finally {
        subject.dispose();
      }
    }),
    { numRuns: runs },
  );
});

type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

async function compare(commands: readonly Command[], make: () => Log, reopens: boolean, isBroker: boolean): Promise<void> {
  const clock = handClock();
  const context: LogContext = {
    // Ages are those of the hand; how long a broker takes to answer is real
    clock: isBroker ? { ...systemClock, now: clock.now } : clock,
    random: seededRandom(7),
    retain: () => RETENTION,
    keysMax: KEYS_MAX,
    keySecondsMin: KEY_SECONDS_MIN,
    lineageMax: 32,
    warn: (sentence) => expect(sentence).toMatch(/power cut/),
  };
  const models = { a: new LogModel(), "a/b": new LogModel() };
  const told: Record<string, number[]> = { a: [], "a/b": [] };
  let log = await opened();

  async function opened(): Promise<Log> {
    const next = make();
    await next.open(context);
    for (const name of CHANNELS) {
      next.follow(name, (one: Told) => {
        if (one.type === "changed") told[name] = [];
        else told[name]?.push(...one.entries.map((entry) => entry.offset));
      });
    }
    return next;
  }

  try {
    for (const one of commands) {
      if (one.type === "append" || one.type === "append at once") {
        const model = models[one.channel];
        const drafts = one.drafts.map(draftOf);
        const before = model.top;
        const expected = drafts.map((each) => model.append(each, clock.now(), RETENTION, KEYS_MAX, KEY_SECONDS_MIN));
        const calls = one.type === "append" ? [drafts] : drafts.map((each) => [each]);
        const answers = (await Promise.all(calls.map((each) => log.append(one.channel, each)))).flat();
        expect(answers.map(show)).toEqual(expected);
        expect(told[one.channel]?.filter((offset) => offset > before)).toEqual(range(before + 1, model.top));
      } else if (one.type === "advance") {
        clock.advance(one.seconds * 1000);
      } else if (one.type === "remove") {
        await log.remove?.(one.channel);
        models[one.channel] = new LogModel();
      } else if (one.type === "reopen") {
        if (!reopens) continue;
        await log.close();
        log = await opened();
      }
      const reads = one.type === "read" ? [one] : CHANNELS.map((name) => ({ channel: name, after: 0, count: 99, bytes: 9_999 }));
      for (const { channel: name, after, count, bytes } of reads) {
        const page = await log.read(name, after, { count, bytes });
        const expected = models[name].read(after, { count, bytes }, clock.now(), RETENTION);
        const entries = page.entries.map(({ offset, at, data, size }) => ({ offset, at, data, size }));
        expect(page.head === null ? null : { first: page.head.first, top: page.head.top, entries }).toEqual(expected);
      }
    }
  } finally {
    await log.close();
  }
}

function draftOf({ length, key, print }: { length: number; key: string | undefined; print: string }): Draft {
  const data = "x".repeat(length);
  const plain = { event: "", kind: "text" as const, data, size: length };
  return key === undefined ? plain : { ...plain, key, print };
}

function show(answer: Appended): string {
  return "position" in answer ? `${answer.type} ${answer.position.offset}` : answer.type;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}
