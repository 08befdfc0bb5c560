#!/usr/bin/env node
// Writes test/golden/format-<n>/: a log of today's format and a backup of it, with what must be read of them for ever.
//
//   npm run build && node scripts/golden.js
//
// To be run once for each format, by the version that introduces it, and then never again: what stands there is what people have on their disks.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { disk } from "../dist/disk.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const home = mkdtempSync(join(tmpdir(), "throughline-golden-"));
const data = join(home, "data");

/** Every day at the same time, and every tag the next number: so it can be seen what changed, if it is written anew. */
let letters = 0;
const context = {
  clock: { now: () => Date.UTC(2026, 0, 1), elapsed: () => 0, after: () => () => {}, soon: (act) => void setImmediate(act) },
  random: { fraction: () => 0.5, letters: (length) => String(++letters).padStart(length, "A") },
  retain: (channel, own) => (channel === "trimmed" ? { ...own, countMax: 3 } : own),
  keysMax: 1_000,
  keySecondsMin: 86_400,
  lineageMax: 32,
  warn: (sentence) => console.error(sentence),
};

const draft = (kind, data, key, event = "message") => ({
  event,
  kind,
  data,
  size: 50,
  ...(key === undefined ? {} : { key, print: `print of ${key}` }),
});
const drafts = {
  "chat/lobby": [
    draft("json", '{"total": 12345678901234567890}', "a", "order"),
    draft("text", "Grüße, 世界 🧵\r\n\0"),
    draft("text", "alone: \ud800"),
    draft("bytes", new Uint8Array([0, 1, 254, 255]), "b"),
    draft("text", "", undefined, "empty"),
    draft("text", "on pages of its own ".repeat(500)),
  ],
  trimmed: [1, 2, 3, 4, 5].map((n) => draft("json", String(n), `key ${n}`)),
  removed: [draft("text", "gone", "c")],
};

const log = disk(data);
await log.open(context);
for (const [channel, of] of Object.entries(drafts)) await log.append(channel, of);
await log.remove("removed");
const channels = {};
for (const channel of Object.keys(drafts)) {
  const { head, entries } = await log.read(channel, 0, { count: 100, bytes: 1e9 });
  const plain = entries.map((entry) =>
    typeof entry.data === "string" ? entry : { ...entry, data: { base64: Buffer.from(entry.data).toString("base64") } },
  );
  const keys = drafts[channel].map(({ key }) => key).filter((key) => key !== undefined);
  channels[channel] = { head, entries: plain, keys: head === null ? [] : keys };
}
await log.close();

const { formatVersion } = JSON.parse(readFileSync(join(data, "format.json"), "utf8"));
const place = join(root, `test/golden/format-${formatVersion}`);
if (existsSync(place)) {
  console.error(`${place} is there already, and stays as it is.`);
  process.exitCode = 1;
} else {
  const { status, stderr } = spawnSync(process.execPath, [
    join(root, "bin/throughline.js"),
    "backup",
    join(home, "log.backup"),
    "--data",
    data,
  ]);
  if (status !== 0) throw new Error(String(stderr));
  mkdirSync(dirname(place), { recursive: true });
  mkdirSync(place);
  writeFileSync(join(place, "format.json"), readFileSync(join(data, "format.json")));
  for (const path of [join(data, "data.mdb"), join(home, "log.backup")]) {
    writeFileSync(join(place, `${path.slice(path.lastIndexOf("/") + 1)}.gz`), gzipSync(readFileSync(path), { level: 9 }));
  }
  writeFileSync(join(place, "expected.json"), `${JSON.stringify(channels, null, 2)}\n`);
  console.log(`Wrote ${place}.`);
}
rmSync(home, { recursive: true });
