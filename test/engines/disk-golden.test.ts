import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Head, Log } from "../../src/core/log.ts";
import { backup } from "../../src/engines/disk/backup.ts";
import { FORMAT_VERSION } from "../../src/engines/disk/directory.ts";
import { disk } from "../../src/engines/disk/disk.ts";
import { restore } from "../../src/engines/disk/restore.ts";
import type { Entry } from "../../src/protocol/entry.ts";
import { makeEpoch } from "../../src/protocol/position.ts";
import { handClock, seededRandom } from "../support/clock.ts";

const GOLDEN = join(import.meta.dirname, "../golden");
const FORMATS = readdirSync(GOLDEN);
const ALL = { count: 1_000, bytes: 1e9 };

interface Kept {
  readonly head: Head | null;
  readonly entries: readonly (Omit<Entry, "data"> & { data: string | { base64: string } })[];
  readonly keys: readonly string[];
}

let home: string;
let data: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "throughline-golden-"));
  data = join(home, "data");
});

afterEach(() => rmSync(home, { recursive: true }));

function unpack(format: string): void {
  mkdirSync(data);
  cpSync(join(GOLDEN, format, "format.json"), join(data, "format.json"));
  writeFileSync(join(data, "data.mdb"), gunzipSync(readFileSync(join(GOLDEN, format, "data.mdb.gz"))));
}

async function open(directory: string): Promise<Log> {
  const log = disk(directory);
  // On the day on which it was written, so that nothing is too old
  const { clock, random } = { clock: handClock(Date.UTC(2026, 0, 1)), random: seededRandom(1) };
  await log.open({ clock, random, retain: (_, own) => own, keysMax: 1_000, keySecondsMin: 86_400, lineageMax: 32, warn: () => {} });
  return log;
}

/** The log reads as it always did. `eras` more than it had are new. */
async function expectKept(directory: string, format: string, eras: number): Promise<void> {
  const channels: Record<string, Kept> = JSON.parse(readFileSync(join(GOLDEN, format, "expected.json"), "utf8"));
  const log = await open(directory);
  for (const [channel, { head, entries, keys }] of Object.entries(channels)) {
    const page = await log.read(channel, 0, ALL);
    const lineage = page.head?.lineage.slice(0, -eras || undefined);
    expect(page.head === null ? null : { ...page.head, lineage }, channel).toEqual(head);
    const plain = page.entries.map((one) =>
      typeof one.data === "string" ? one : { ...one, data: { base64: Buffer.from(one.data).toString("base64") } },
    );
    expect(plain, channel).toEqual(entries);
    for (const key of keys) {
      const draft = { event: "message", kind: "text", data: "x", size: 8, key, print: `print of ${key}` } as const;
      expect(await log.append(channel, [draft]), key).toMatchObject([{ type: "duplicate" }]);
    }
  }
  await log.close();
}

describe("The format of a log", () => {
  test("that this version writes is kept", () => {
    expect(FORMATS).toContain(`format-${FORMAT_VERSION}`);
  });

  test.each(FORMATS)("[D4] [D5] %s opens, reads the same for ever, and can be written, backed up and restored", async (format) => {
    unpack(format);
    await expectKept(data, format, 0);
    const file = join(home, "new.backup");
    await backup(data, file, new AbortController().signal);
    await restore(file, join(home, "restored"), { force: false, epochAfter: (previous) => makeEpoch(0, "newepoch", previous) });
    await expectKept(join(home, "restored"), format, 1);
    const log = await open(data);
    expect(await log.append("chat/lobby", [{ event: "message", kind: "text", data: "new", size: 10 }])).toMatchObject([
      { position: { offset: 7 } },
    ]);
    await log.close();
  });

  test.each(FORMATS)("[D4] [D5] a backup of %s is restored, and reads the same for ever", async (format) => {
    const file = join(home, "old.backup");
    writeFileSync(file, gunzipSync(readFileSync(join(GOLDEN, format, "log.backup.gz"))));
    await restore(file, data, { force: false, epochAfter: (previous) => makeEpoch(0, "newepoch", previous) });
    await expectKept(data, format, 1);
  });

  test("[D4] that is newer is refused, by a server and by a backup, and left untouched to the last byte", async () => {
    unpack(`format-${FORMAT_VERSION}`);
    writeFileSync(join(data, "format.json"), `{"name":"throughline","formatVersion":${FORMAT_VERSION + 1}}`);
    const prints = () =>
      readdirSync(data).map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(data, name)))
          .digest("hex"),
      ]);
    const before = prints();
    for (const trial of [() => open(data), () => backup(data, join(home, "x"), new AbortController().signal)]) {
      const versions = `format ${FORMAT_VERSION + 1}; this one reads up to ${FORMAT_VERSION}`;
      await expect(trial()).rejects.toThrow(
        `was written by a newer Throughline (${versions}). Nothing was changed. Start that newer version`,
      );
      expect(prints()).toEqual(before);
    }
    expect(readdirSync(home)).toEqual(["data"]);
  });
});
