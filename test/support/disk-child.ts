import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import type { Draft, Log, LogContext } from "../../src/core/log.ts";
import { disk } from "../../src/engines/disk/disk.ts";
import { ThroughlineError } from "../../src/protocol/error.ts";
import { seededRandom } from "./clock.ts";

/*
 * The process that the fault tests kill, starve and damage. It says what it did in lines on stdout, written synchronously: what was said is what was known
 * at the moment of the kill. Run as: node disk-child.js <act> <directory> [argument]
 */
export const EVERYTHING = { count: 1_000_000, bytes: 1e12 };
export const CHANNELS = ["orders", "chat/lobby", "small"] as const;
export const SMALL_COUNT = 40;

export const context: LogContext = {
  clock: systemClock,
  random: systemRandom,
  retain: (channel, own) => (channel === "small" ? { ...own, countMax: SMALL_COUNT } : own),
  keysMax: 1_000_000,
  keySecondsMin: 86_400,
  lineageMax: 32,
  warn: (sentence) => say(`warn ${sentence}`),
};

/** A message whose content follows from its key, so that a torn one is seen. */
export function draftOf(key: string, bytes = 50): Draft {
  const data = `${key} ${"x".repeat(bytes)} ${key}`;
  return { event: "message", kind: "text", data, size: data.length + 7, key, print: "print" };
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

async function opened(directory: string): Promise<Log> {
  const log = disk(directory);
  await log.open(context);
  say("open");
  return log;
}

const acts: Record<string, (directory: string, argument: string) => Promise<void>> = {
  async open(directory) {
    const log = await opened(directory);
    await log.close();
  },

  /** Holds the directory until it is killed. */
  async hold(directory) {
    await opened(directory);
    setInterval(() => {}, 1_000);
  },

  /** Twenty callers publish without end. */
  async publish(directory, round) {
    const log = await opened(directory);
    await Promise.all(
      Array.from({ length: 20 }, async (_, caller) => {
        const channel = CHANNELS[caller % CHANNELS.length] as string;
        for (let count = 0; ; count++) {
          const key = `${round}-${caller}-${count}`;
          const [answer] = await log.append(channel, [draftOf(key, count % 10 === 0 ? 5_000 : 50)]);
          if (answer?.type !== "stored") throw new Error(`The key ${key} was answered ${JSON.stringify(answer)}.`);
          say(`ack ${channel} ${answer.position.epoch} ${answer.position.offset} ${answer.position.tag} ${key}`);
        }
      }),
    );
  },

  /** One caller publishes until `count` messages are stored, each after the answer to the one before, and says each outcome. Reads all the while. */
  async "publish in turn"(directory, argument) {
    const [count, bytes] = argument.split(" ").map(Number) as [number, number];
    const log = await opened(directory);
    for (let index = 0, acks = 0; acks < count; index++) {
      const key = `k${index}`;
      try {
        const [answer] = await log.append("orders", [draftOf(key, bytes)]);
        if (answer?.type !== "stored") throw new Error(`The key ${key} was answered ${JSON.stringify(answer)}.`);
        say(`ack ${key} ${answer.position.offset}`);
        acks++;
      } catch (error) {
        say(`${error instanceof ThroughlineError ? error.code : String(error)} ${key}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await log.read("orders", 0, { count: 1, bytes: 1 }).then(
        () => say("read"),
        (error: unknown) => say(`unreadable ${String(error)}`),
      );
    }
    await log.close();
    say("end");
  },

  /** Damages copies of a directory in `count` ways, and says how each was answered. A signal would end this process, and so the test. */
  async damage(directory, argument) {
    const [firstSeed, count, how] = argument.split(" ") as [string, string, string];
    const original = readFileSync(join(directory, "data.mdb"));
    const copy = `${directory}-damaged`;
    for (let seed = Number(firstSeed); seed < Number(firstSeed) + Number(count); seed++) {
      say(`seed ${seed}`);
      cpSync(directory, copy, { recursive: true });
      rmSync(join(copy, "lock.mdb"), { force: true });
      damage(join(copy, "data.mdb"), original, seed, how);
      say(`${how} ${seed} ${await readAll(copy)}`);
      rmSync(copy, { recursive: true });
    }
    say("end");
  },
};

function damage(path: string, original: Buffer, seed: number, how: string): void {
  const random = seededRandom(seed);
  if (how === "cut") {
    truncateSync(path, Math.floor(random.fraction() * original.length));
    return;
  }
  const bytes = Buffer.from(original);
  // Half of the flips in the first bytes of pages: there are the heads, which LMDB believes
  for (let flips = 1 + Math.floor(random.fraction() * 8); flips > 0; flips--) {
    const page = Math.floor((random.fraction() * bytes.length) / 4096) * 4096;
    const at = page + Math.floor(random.fraction() * (random.fraction() < 0.5 ? 64 : 4096));
    bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random.fraction() * 8));
  }
  writeFileSync(path, bytes);
}

/** "right", "refused" (a clear error at open or read), or what is wrong. */
async function readAll(directory: string): Promise<string> {
  const log = disk(directory);
  try {
    await log.open({ ...context, warn: () => {} });
  } catch (error) {
    return isClear(error) ? "refused" : `wrong error at open: ${String(error)}`;
  }
  try {
    let refused = 0;
    for (const channel of ["orders", "chat/lobby"]) {
      try {
        const { head, entries } = await log.read(channel, 0, EVERYTHING);
        // The head of the file has no checksum: damaged there, it may fall back to the commit before the last
        if (head === null || head.top < 90 || entries.length !== head.top) return `wrong head of ${channel}: ${JSON.stringify(head)}`;
        for (const [index, entry] of entries.entries()) {
          if (entry.offset !== index + 1 || entry.data !== draftOf(`k${entry.offset}`, entry.offset % 9 === 0 ? 9_000 : 80).data)
            return `wrong data in ${channel} at ${index}`;
        }
        const [answer] = await log.append(channel, [draftOf("k50", 80)]);
        if (answer?.type !== "duplicate" || answer.position.offset !== 50) return `wrong answer to a key: ${JSON.stringify(answer)}`;
      } catch (error) {
        if (!isClear(error)) return `wrong error at read: ${String(error)}`;
        refused++;
      }
    }
    return refused > 0 ? "refused" : "right";
  } finally {
    await log.close();
  }
}

function isClear(error: unknown): boolean {
  return error instanceof ThroughlineError && (error.code === "internal" || error.code === "not_stored") && error.message.length > 40;
}

if (process.argv[2] !== undefined && process.argv[2] in acts) {
  const [, , act, directory, argument = ""] = process.argv as [string, string, string, string, string?];
  acts[act]?.(directory, argument).catch((error: unknown) => {
    say(`failed ${error instanceof ThroughlineError ? error.code : ""} ${(error as Error).message}`);
    process.exit(1);
  });
}
