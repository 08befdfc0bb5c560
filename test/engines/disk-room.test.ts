import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { checkData } from "../../src/engines/disk/check.ts";
import { disk } from "../../src/engines/disk/disk.ts";
import { Environment } from "../../src/engines/disk/environment.ts";
import { isWhole, offsetKey, writeJson } from "../../src/engines/disk/record.ts";
import { seededRandom } from "../support/clock.ts";
import { numbers } from "../support/story.ts";

function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "throughline-room-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

test("[D4] a commit that takes more pages than was foreseen makes the file longer, and the next does not write over them", async () => {
  const directory = freshDirectory();
  const environment = new Environment(directory);
  const random = seededRandom(1);
  const row = (offset: number) => {
    // Of one log, so that they are taken to come in order; in no order each touches a page of its own
    const key = offsetKey(1, offset);
    return { table: "ages", key, value: writeJson(key, "x".repeat(100)) } as const;
  };
  for (const n of numbers(20)) await environment.commit(numbers(1_000, n * 1_000).map(row));
  for (const _ of numbers(8)) {
    const commit = environment.commit(numbers(2_000).map(() => row(1_000 + Math.floor(random.fraction() * 20_000))));
    // Nor does a look whether there is room, whenever it comes
    let isOver = false;
    const looking = (async () => {
      while (!isOver) await environment.look();
    })();
    await commit.finally(() => {
      isOver = true;
    });
    await looking;
    const rows = environment.rows("ages", Buffer.from([0]), Buffer.alloc(16, 0xff), 1e6);
    expect([rows.length, rows.filter(({ key, value }) => !isWhole("ages", key, value)).length]).toEqual([20_000, 0]);
  }
  await environment.close();
  await checkData(directory);
});

test("[D4] messages spread over thousands of channels are stored, and the log stays whole", async () => {
  const directory = freshDirectory();
  const log = disk(directory);
  const limits = { keysMax: 1_000, keySecondsMin: 86_400, lineageMax: 32 };
  await log.open({
    ...limits,
    clock: systemClock,
    random: systemRandom,
    retain: (_, own) => own,
    warn: (sentence) => expect.fail(sentence),
  });
  const draft = { event: "message", kind: "text", data: "x".repeat(200), size: 200 } as const;
  const append = (channel: number, count: number) => log.append(`channel/${channel}`, Array(count).fill(draft));
  await Promise.all(numbers(4_000).map((channel) => append(channel, 15)));
  const random = seededRandom(1);
  for (const _ of numbers(4)) await Promise.all(numbers(2_000).map(() => append(1 + Math.floor(random.fraction() * 4_000), 1)));
  await log.close();
  await checkData(directory);
});
