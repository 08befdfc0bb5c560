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
import { sharedCluster, stopSharedCluster } from "../support/redis-cluster.ts";
import { borrowRedisPair, stopRedisPairs, takingOver } from "../support/redis-pair.ts";
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
afterAll(stopSharedCluster);
afterAll(stopRedisPairs);
afterAll(stopSharedNats);

/** Storage of its own for one run. */
interface Subject {
  log(): Log;
  dispose(): void;
}

interface Kind {
  readonly name: string;
  readonly runs: number;
  /** What was stored is there after a close and an open. */
  readonly reopens: boolean;
  readonly isBroker: boolean;
  make(): Subject | Promise<Subject>;
}

function onDisk(log: (directory: string) => Log): Subject {
  const directory = mkdtempSync(join(tmpdir(), "throughline-model-"));
  return { log: () => log(directory), dispose: () => rmSync(directory, { recursive: true }) };
}

const KEPT = { reopens: true, isBroker: false } as const;
const BROKER = { reopens: true, isBroker: true } as const;

const KINDS: readonly Kind[] = [
  { name: "memory", runs: 400, reopens: false, isBroker: false, make: () => ({ log: () => memory(), dispose: () => {} }) },
  { name: "disk", runs: 40, ...KEPT, make: () => onDisk(disk) },
  { name: "a worker of disk", runs: 20, ...KEPT, make: () => onDisk(workerWithOwner) },
  {
    ...{ name: "redis", runs: 40, ...BROKER },
    make() {
      const { server, prefix } = sharedRedis(SYNCED);
      return { log: () => redis(LIBRARIES[1]!.client(server), { prefix }), dispose: () => {} };
    },
  },
  {
    ...{ name: "a redis whose replica takes over at each opening", runs: 20, ...BROKER },
    async make() {
      const { pair, prefix, giveBack } = await borrowRedisPair();
      return { log: takingOver(pair, LIBRARIES[1]!, prefix), dispose: giveBack };
    },
  },
  {
    ...{ name: "a redis cluster of three", runs: 20, ...BROKER },
    async make() {
      const { cluster, prefix } = await sharedCluster();
      return { log: () => redis(LIBRARIES[0]!.cluster(cluster.port), { prefix }), dispose: () => {} };
    },
  },
  {
    ...{ name: "nats", runs: 40, ...BROKER },
    make() {
      const { server, prefix } = sharedNats();
      return { log: () => nats(server.connect, { prefix, streams: 1 }), dispose: () => {} };
    },
  },
];

test.each(KINDS)("[D1] [D2] [D5] $name answers as an array and a map would, whatever is done to it", async (kind) => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40 }), async (commands) => {
      const subject = await kind.make();
      try {
        await compare(commands, subject.log, kind);
      } finally {
        subject.dispose();
      }
    }),
    { numRuns: kind.runs },
  );
});

type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

async function compare(commands: readonly Command[], make: () => Log, { reopens, isBroker }: Kind): Promise<void> {
  const clock = handClock();
  const context: LogContext = {
    // Ages are those of the hand; how long a broker takes to answer is real
    clock: isBroker ? { ...systemClock, now: clock.now } : clock,
    random: seededRandom(7),
    retain: () => RETENTION,
    keysMax: KEYS_MAX,
    keySecondsMin: KEY_SECONDS_MIN,
    lineageMax: 32,
    warn: (sentence) => expect(sentence).toMatch(/power cut|keeps nothing on disk/),
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
