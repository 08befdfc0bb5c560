import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { handClock, seededRandom } from "../../../test/support/clock.ts";
import { disk } from "./disk.ts";
import { Environment } from "./environment.ts";
import { TABLES } from "./record.ts";

test("[D7] idle channels are aged and removed ones deleted, rows and all, with nobody publishing; and closing leaves no timer", async () => {
  const directory = mkdtempSync(join(tmpdir(), "throughline-sweep-"));
  const clock = handClock();
  const log = disk(directory, { retain: { secondsMax: 60 } });
  const limits = { keysMax: 1_000, keySecondsMin: 100, lineageMax: 32 };
  await log.open({ clock, random: seededRandom(1), retain: (_channel, own) => own, warn: (sentence) => expect.fail(sentence), ...limits });
  const draft = (key: number) => ({ event: "message", kind: "text" as const, data: "x", size: 8, key: `k${key}`, print: "p" });
  await log.append(
    "idle",
    Array.from({ length: 900 }, (_, key) => draft(key)),
  );
  await log.append(
    "gone",
    Array.from({ length: 700 }, (_, key) => draft(key)),
  );
  await log.remove?.("gone");

  const environment = new Environment(directory);
  const rows = () => TABLES.map((table) => environment.keys(table, Buffer.from([0]), Buffer.alloc(30, 0xff), 10_000).length);
  const [entries, keys, ages, channels, removed, about] = rows();
  expect([entries, keys, ages, channels, removed, about]).toEqual([1_600, 1_600, 1_600, 1, 1, 1]);
  await expect
    .poll(() => {
      clock.advance(35_000);
      return rows();
    })
    .toEqual([0, 0, 0, 1, 0, 1]);
  expect((await log.read("idle", 0, { count: 1, bytes: 1 })).head).toMatchObject({ first: 901, top: 900 });

  await environment.close();
  await log.close();
  expect(clock.timers).toBe(0);
  rmSync(directory, { recursive: true });
});
