import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Draft, Log, LogContext, Retention } from "../../src/core/log.ts";
import { resume } from "../../src/core/resume.ts";
import { backup } from "../../src/engines/disk/backup.ts";
import { disk } from "../../src/engines/disk/disk.ts";
import { Environment } from "../../src/engines/disk/environment.ts";
import { own } from "../../src/engines/disk/owner.ts";
import { offsetKey } from "../../src/engines/disk/record.ts";
import { type Restored, restore } from "../../src/engines/disk/restore.ts";
import { readStand } from "../../src/engines/disk/tables.ts";
import type { Entry } from "../../src/protocol/entry.ts";
import { makeEpoch, type Position } from "../../src/protocol/position.ts";
import { handClock, seededRandom } from "../support/clock.ts";
import { SEED } from "../support/seed.ts";
import { numbers } from "../support/story.ts";

const ALL = { count: 1_000_000, bytes: 1e12 };
const LOBBY = "chat/lobby";
const SMALL = "small";
/** Of a block of a backup. */
const HEAD_BYTES = 12;
const NEVER = new AbortController().signal;

const clock = handClock();
const random = seededRandom(7);
const context: LogContext = {
  clock,
  random,
  retain: (channel, own) => (channel === SMALL ? { ...own, countMax: 3 } : own),
  keysMax: 1_000,
  keySecondsMin: 86_400,
  lineageMax: 32,
  warn: () => {},
};

let home: string;
let data: string;
let file: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "throughline-backup-"));
  data = join(home, "data");
  file = join(home, "one.backup");
});

afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Opens the log of a directory for a while. */
async function opened<Answer>(directory: string, act: (log: Log) => Promise<Answer>, retain: Partial<Retention> = {}): Promise<Answer> {
  const log = disk(directory, { retain });
  await log.open(context);
  try {
    return await act(log);
  } finally {
    await log.close();
  }
}

function draft(data: Draft["data"], key?: string, kind: Draft["kind"] = "text"): Draft {
  return { event: "message", kind, data, size: 100, ...(key === undefined ? {} : { key, print: "print" }) };
}

/** Publishes texts, and gives the positions that were acknowledged. */
function publish(texts: readonly string[], channel = LOBBY, directory = data): Promise<Position[]> {
  return opened(directory, async (log) => {
    const appended = await log.append(
      channel,
      texts.map((text) => draft(text)),
    );
    return appended.map((one) => {
      if (one.type !== "stored") throw new Error(`${one.type} is not stored.`);
      return one.position;
    });
  });
}

async function textsOf(channel: string, directory = data): Promise<unknown[]> {
  const { entries } = await opened(directory, (log) => log.read(channel, 0, ALL));
  return entries.map((entry: Entry) => entry.data);
}

/** What a reader at a position is told first, and what it reads then. */
async function told(position: Position, channel = LOBBY, directory = data) {
  const page = await opened(directory, (log) => log.read(channel, 0, ALL));
  const after = { ...page, entries: page.entries.filter(({ offset }) => offset >= position.offset) };
  const { gap } = resume(position, after);
  const from = gap?.resumeFrom.offset ?? position.offset;
  return { reason: gap?.reason, missing: gap?.missing, reads: page.entries.filter(({ offset }) => offset > from).map((one) => one.data) };
}

const back = (directory = data, force = false): Promise<Restored> =>
  restore(file, directory, { force, epochAfter: (previous) => makeEpoch(clock.now(), random.letters(8), previous) });

const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error: Error) => error.message,
  );

describe("A backup that is restored", () => {
  test("[D2] [D4] [D5] has every message, position and key of its moment, whatever was in them, and what was trimmed stays trimmed", async () => {
    const odd = [
      draft("text"),
      draft("\ud800 alone", "lone"),
      draft('{"a":1}', "json", "json"),
      draft(new Uint8Array([0, 255]), "b", "bytes"),
    ];
    const large = draft("x".repeat(700_000), "large");
    const stored = await opened(data, async (log) => {
      await log.append(
        SMALL,
        [1, 2, 3, 4, 5].map((n) => draft(`s${n}`, `k${n}`)),
      );
      await log.append("removed", [draft("gone")]);
      await log.remove?.("removed");
      return log.append(LOBBY, [...odd, large]);
    });
    // Much is trimmed at once, and its rows are deleted by and by
    await opened(data, (log) =>
      log.append(
        "cut",
        numbers(300).map((n) => draft(`c${n}`)),
      ),
    );
    await opened(data, (log) => log.append("cut", [draft("last")]), { countMax: 1 });
    const before = await opened(data, (log) => Promise.all([LOBBY, SMALL].map((channel) => log.read(channel, 0, ALL))));
    expect(await backup(data, file, NEVER)).toMatchObject({ channels: 3, messages: 9, bytes: statSync(file).size });
    const elsewhere = join(home, "elsewhere");
    expect(await back(elsewhere)).toMatchObject({ channels: 3, messages: 9, lost: null });
    const after = await opened(elsewhere, (log) => Promise.all([LOBBY, SMALL].map((channel) => log.read(channel, 0, ALL))));
    for (const [index, { head, entries }] of after.entries()) {
      expect(entries).toEqual(before[index]?.entries);
      const { lineage, ...rest } = before[index]?.head ?? { lineage: [] };
      expect(head).toMatchObject(rest);
      expect(head?.lineage).toEqual([...lineage, { epoch: expect.any(String), start: (head?.top ?? 0) + 1 }]);
      expect((head?.lineage[1]?.epoch ?? "") > (lineage[0]?.epoch ?? ""), "the new epoch is later").toBe(true);
    }
    const [again, trimmed, other] = await opened(elsewhere, async (log) => [
      await log.append(LOBBY, [large]),
      await log.append(SMALL, [draft("s1", "k1")]),
      await log.append(LOBBY, [draft("new")]),
    ]);
    expect(again).toEqual([{ type: "duplicate", position: stored[4]?.type === "stored" && stored[4].position }]);
    expect(trimmed).toMatchObject([{ type: "duplicate", position: { offset: 1 } }]);
    expect(other).toMatchObject([{ type: "stored", position: { offset: 6, epoch: after[0]?.head?.lineage[1]?.epoch } }]);
    expect(await textsOf("removed", elsewhere)).toEqual([]);
    const environment = new Environment(elsewhere);
    expect(readStand(environment, "cut"), "there is nothing of it to delete").toMatchObject({ first: 301, lowest: 301 });
    await environment.close();
  });

  test("[D2] [D3] tells who had read beyond it that the log was truncated, and goes on without a gap for who had not", async () => {
    const [first, second] = await publish(["1", "2"]);
    await backup(data, file, NEVER);
    const [third, fourth] = await publish(["3", "4"]);
    expect(await back(data, true)).toMatchObject({ lost: { messages: 2, channels: 0 } });
    // As many as were lost, and more: offsets alone would not tell
    await publish(["3'", "4'", "5'"]);
    for (const position of [third, fourth]) {
      expect(await told(position!)).toEqual({ reason: "truncated", missing: 0, reads: ["3'", "4'", "5'"] });
    }
    expect(await told(second!)).toEqual({ reason: undefined, missing: undefined, reads: ["3'", "4'", "5'"] });
    expect(await told(first!)).toEqual({ reason: undefined, missing: undefined, reads: ["2", "3'", "4'", "5'"] });
  });

  test("[D2] [D3] restored again and again in the same place, remembers the epochs between: nobody is told more than is true", async () => {
    const [first] = await publish(["1"]);
    await backup(data, file, NEVER);
    const between: Position[] = [];
    for (const round of numbers(3)) {
      await back(data, true);
      // One who came just then, and one who read on
      const { head } = await opened(data, (log) => log.read(LOBBY, 0, ALL));
      between.push({ epoch: head!.lineage.at(-1)!.epoch, offset: head!.top, tag: head!.topTag });
      between.push(...(await publish([`${round}'`, `${round}''`])));
    }
    expect(await back(data, true)).toMatchObject({ lost: { messages: 2, channels: 0 } });
    await publish(["2", "3", "4"]);
    for (const position of between) {
      const beyond = position.offset > 1;
      expect(await told(position)).toEqual({
        reason: beyond ? "truncated" : undefined,
        missing: beyond ? 0 : undefined,
        reads: ["2", "3", "4"],
      });
    }
    expect(await told(first!)).toMatchObject({ reason: undefined, reads: ["2", "3", "4"] });
  });

  test("[D3] into an empty directory knows the backup's own epochs alone: who read what another restore had begun is told epoch", async () => {
    await publish(["1"]);
    await backup(data, file, NEVER);
    await back(data, true);
    const [between] = await publish(["2"]);
    const elsewhere = join(home, "elsewhere");
    await back(elsewhere);
    expect(await told(between!, LOBBY, elsewhere)).toEqual({ reason: "epoch", missing: null, reads: ["1"] });
  });

  test("[D3] of an older and a newer backup, restored in turn, never gives a message in the place of another", async () => {
    await publish(["1"]);
    await backup(data, file, NEVER);
    const old = readFileSync(file);
    const [, third] = await publish(["2", "3"]);
    await backup(data, file, NEVER);
    const recent = readFileSync(file);
    writeFileSync(file, old);
    await back(data, true);
    const others = await publish(["2'", "3'", "4'"]);
    writeFileSync(file, recent);
    expect(await back(data, true)).toMatchObject({ lost: { messages: 3, channels: 0 } });
    await publish(["4"]);
    expect(await told(third!)).toMatchObject({ reason: undefined, reads: ["4"] });
    // Also the one beyond the newer backup has never had what stands in it
    for (const position of others) expect(await told(position)).toEqual({ reason: "epoch", missing: null, reads: ["1", "2", "3", "4"] });
  });

  test("[D3] put back as a copy of its files, which nobody knows to be old, never says that nothing is missing", async () => {
    await publish(["1", "2"]);
    const old = join(home, "copy");
    cpSync(data, old, { recursive: true });
    const [, , fifth] = await publish(["3", "4", "5"]);
    rmSync(data, { recursive: true });
    cpSync(old, data, { recursive: true });
    expect(await told(fifth!)).toEqual({ reason: "truncated", missing: null, reads: [] });
    await publish(["3'", "4'"]);
    // It resumes at the end, behind two that it has never had
    expect(await told(fifth!)).toEqual({ reason: "truncated", missing: null, reads: [] });
  });

  test("[D3] says what is lost: messages of a channel, and channels that the backup does not have; one that is made anew is another", async () => {
    await publish(["1", "2"]);
    await backup(data, file, NEVER);
    await publish(["3"]);
    const [made] = await publish(["a", "b"], "made");
    expect(await back(data, true)).toMatchObject({ channels: 1, messages: 2, lost: { messages: 3, channels: 1 } });
    expect(await told(made!, "made")).toEqual({ reason: "epoch", missing: null, reads: [] });
    clock.setNow(0); // and its next epoch is later though the clock went back
    const [anew] = await publish(["c"], "made");
    expect(anew!.epoch.slice(0, 12) > made!.epoch.slice(0, 12)).toBe(true);
    expect(await told(made!, "made")).toEqual({ reason: "epoch", missing: null, reads: ["c"] });
    clock.setNow(Date.UTC(2026, 0, 1));
  });

  test("takes the place of a log that is damaged, which is what it is for", async () => {
    await publish(["1", "2"]);
    await backup(data, file, NEVER);
    const [third] = await publish(["3"]);
    writeFileSync(join(data, "data.mdb"), Buffer.alloc(10_000, 0xa5));
    expect(await messageOf(publish(["4"]))).toMatch(/damaged.*backup/);
    expect(await messageOf(backup(data, join(home, "other"), NEVER))).toMatch(/damaged/);
    expect(await messageOf(back())).toMatch(/holds a log/);
    expect(await back(data, true)).toMatchObject({ messages: 2, lost: { messages: null, channels: 0 } });
    expect(await told(third!)).toMatchObject({ reason: "truncated", missing: 0 });
    expect(await textsOf(LOBBY)).toEqual(["1", "2"]);
  });
});

describe("A restore is refused, and nothing is touched,", () => {
  beforeEach(async () => {
    await opened(data, async (log) => {
      await log.append(
        LOBBY,
        [1, 2, 3, 4].map((n) => draft(`message ${n}`, `key ${n}`)),
      );
      await log.append("b", [draft("other")]);
    });
    await backup(data, file, NEVER);
  });

  async function refused(bytes: Uint8Array, what: string): Promise<string> {
    writeFileSync(file, bytes);
    const target = join(home, "new");
    const message = await messageOf(back(target));
    expect(existsSync(target), `${what}: ${message}`).toBe(false);
    return message;
  }

  test("[D3] [D4] of a backup with any one of its bits turned", async () => {
    const whole = readFileSync(file);
    const chance = seededRandom(SEED);
    const lineEnd = whole.indexOf("\n");
    const inRows = (at: number) => at > lineEnd + HEAD_BYTES && at < whole.length - HEAD_BYTES;
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole);
      bytes[at] = bytes[at]! ^ (1 << Math.floor(chance.fraction() * 8));
      const message = await refused(bytes, `seed ${SEED}, byte ${at}`);
      // Of the line, of a block's head, or of its rows
      const expected =
        at <= lineEnd
          ? /(head that cannot be|is not a backup|newer Throughline).*Nothing was changed/
          : inRows(at)
            ? /the block at byte \d+ has a wrong checksum/
            : /the block at byte \d+ has a head that cannot be/;
      expect(message, `seed ${SEED}, byte ${at}`).toMatch(expected);
    }
  });

  test("[D3] [D4] of a backup that was cut at any byte, or goes on behind its end", async () => {
    const whole = readFileSync(file);
    for (let length = 0; length < whole.length; length++) {
      expect(await refused(whole.subarray(0, length), `length ${length}`)).toMatch(/(was cut|is not a backup)/);
    }
    expect(await refused(Buffer.concat([whole, Buffer.from([0])]), "more")).toContain("goes on behind its end");
  });

  test("[D3] [D4] of a backup of which a block is missing, twice there, or elsewhere", async () => {
    await publish(
      numbers(4).map((n) => `${n} ${"x".repeat(300_000)}`),
      "large",
    );
    await backup(data, file, NEVER);
    const whole = readFileSync(file);
    const places = [whole.indexOf("\n") + 1];
    while (places.at(-1)! < whole.length) places.push(places.at(-1)! + 12 + whole.readUInt32LE(places.at(-1)!));
    const line = whole.subarray(0, places[0]);
    const blocks = places.slice(0, -1).map((place, index) => whole.subarray(place, places[index + 1]));
    expect(blocks.length).toBeGreaterThan(4);
    const turned = blocks.toSpliced(1, 2, blocks[2]!, blocks[1]!);
    for (const order of [blocks.toSpliced(1, 1), blocks.toSpliced(-2, 1), blocks.toSpliced(1, 0, blocks[1]!), turned, [blocks.at(-1)!]]) {
      expect(await refused(Buffer.concat([line, ...order]), "blocks")).toContain("a head that cannot be");
    }
  });

  test("of what is no backup, cannot be read, or was made by a newer version", async () => {
    const newer = readFileSync(file, "latin1").replace('"formatVersion":1', '"formatVersion":2');
    expect(await refused(Buffer.from(newer, "latin1"), "newer")).toMatch(
      /made by a newer Throughline \(format 2; this one reads up to 1\)/,
    );
    expect(await refused(Buffer.from("something else\n"), "text")).toContain("is not a backup of Throughline");
    rmSync(file);
    expect(await messageOf(back(join(home, "new")))).toMatch(/cannot be read: ENOENT/);
  });

  test("[D4] where a log is and no force, and where a server owns it, whatever the force", async () => {
    await publish(["kept"]);
    expect(await messageOf(back())).toMatch(/holds a log, which was left as it is.*--force.*stored after 20\d\d-.*Z is lost/);
    const message = await opened(data, () => messageOf(back(data, true)));
    expect(message).toMatch(/in use by this process.*Stop that one/);
    expect((await textsOf(LOBBY)).at(-1)).toBe("kept");
  });

  test("[D4] a restore that cannot write the version of the format leaves the log that was there, and says so", async () => {
    await publish(["kept"]);
    // As where the log that was built took the last block of the disk
    mkdirSync(join(data, "format.json.new"));
    expect(await messageOf(back(data, true))).toMatch(/cannot be written: EISDIR.*What was there before is still there\. Make space/);
    expect((await textsOf(LOBBY)).at(-1)).toBe("kept");
    rmSync(join(data, "format.json.new"), { recursive: true });
    await back(data, true);
    expect((await textsOf(LOBBY)).at(-1)).toBe("message 4");
  });

  test("[D4] a restore that fails behind the rename keeps servers away", async () => {
    await publish(["kept"]);
    rmSync(join(data, "format.json"));
    mkdirSync(join(data, "format.json", "x"), { recursive: true });
    expect(await messageOf(back(data, true))).toMatch(/format\.json/);
    expect(await messageOf(publish(["x"]))).toMatch(/is being restored, or that was cut in the middle/);
  });

  test("[D4] a restore that was killed keeps servers and backups away until it is done again, or given up", async () => {
    await publish(["kept"]);
    mkdirSync(join(data, "restoring"));
    writeFileSync(join(data, "restoring", "data.mdb"), "half");
    for (const trial of [publish(["x"]), backup(data, file, NEVER)]) {
      expect(await messageOf(trial)).toMatch(/is being restored, or that was cut in the middle\. Restore it again; or.*delete restoring/);
    }
    rmSync(join(data, "restoring"), { recursive: true });
    expect((await textsOf(LOBBY)).at(-1)).toBe("kept");
    mkdirSync(join(data, "restoring"));
    await back(data, true);
    expect((await textsOf(LOBBY)).at(-1)).toBe("message 4");
    expect(
      readdirSync(data)
        .filter((name) => !name.startsWith("owner-"))
        .sort(),
    ).toEqual(["data.mdb", "format.json", "lock.mdb"]);
  });
});

describe("A backup", () => {
  test("[D4] takes the place of an earlier one, and of nothing else; it may be read by its user alone", async () => {
    await publish(["1"]);
    await backup(data, file, NEVER);
    await publish(["2"]);
    await backup(data, file, NEVER);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await back(join(home, "elsewhere"));
    expect(await textsOf(LOBBY, join(home, "elsewhere"))).toEqual(["1", "2"]);
    for (const target of [join(data, "data.mdb"), data]) {
      expect(await messageOf(backup(data, target, NEVER))).toMatch(/is there and no backup, so it was left as it is\. Name another file/);
    }
    expect(await textsOf(LOBBY)).toEqual(["1", "2"]);
    expect(await messageOf(backup(data, join(home, "none", "x"), NEVER))).toMatch(/cannot be written: ENOENT/);
  });

  test("[D4] is not made of a log with a damaged or missing row, and the one before is still there", async () => {
    await publish(["first"]);
    await backup(data, file, NEVER);
    const before = readFileSync(file);
    await publish(numbers(300).map((n) => `number ${n}.`));
    const path = join(data, "data.mdb");
    const bytes = readFileSync(path);
    // In every place, since a page that was divided keeps what moved
    for (let at = bytes.indexOf("number 150."); at >= 0; at = bytes.indexOf("number 150.", at)) bytes[at + 3]! ^= 1;
    writeFileSync(path, bytes);
    expect(await messageOf(backup(data, file, NEVER))).toMatch(
      /cannot be backed up: message 151 of channel "chat\/lobby" has a wrong checksum\. No backup was made/,
    );
    for (const offset of [150, 301]) {
      rmSync(data, { recursive: true });
      await publish(numbers(301).map(String));
      const environment = new Environment(data);
      const { id } = readStand(environment, LOBBY)!;
      await environment.commit([{ table: "entries", key: offsetKey(id, offset), value: null }]);
      await environment.close();
      expect(await messageOf(backup(data, file, NEVER))).toContain(
        `message ${offset} of channel "chat/lobby" is missing. No backup was made`,
      );
    }
    expect(readFileSync(file)).toEqual(before);
    expect(readdirSync(home).sort()).toEqual(["data", "one.backup"]);
  });

  test("[D4] believes its own look at the pages only while no server has come: one that writes makes them look damaged", async () => {
    await publish(["1"]);
    const path = join(data, "data.mdb");
    const bytes = readFileSync(path);
    for (let at = bytes.indexOf('"lineage"'); at >= 0; at = bytes.indexOf('"lineage"', at)) bytes[at + 1]! ^= 1;
    writeFileSync(path, bytes);
    expect(await messageOf(backup(data, file, NEVER))).toMatch(/has a damaged data\.mdb: a row of the table channels/);
    const trial = messageOf(backup(data, file, NEVER));
    const owner = await own(data);
    // What is damaged indeed is found when it is copied
    expect(await trial).toMatch(/cannot be backed up: the head of channel "chat\/lobby" has a wrong checksum\. No backup was made/);
    owner.release();
  });

  test("that is interrupted leaves nothing behind", async () => {
    await publish(["1"]);
    expect(await messageOf(backup(data, file, AbortSignal.abort()))).toBe("It was interrupted: no backup was made.");
    expect(readdirSync(home)).toEqual(["data"]);
  });

  test("takes away what one that was killed an hour ago has left, and nothing that is written now or is not its own", async () => {
    await publish(["1"]);
    const names = ["one.backup.0123abcd.new", "one.backup.fedc9876.new", "one.backup.new", "other.backup.0123abcd.new"];
    for (const name of names) writeFileSync(join(home, name), "");
    for (const name of names.toSpliced(1, 1)) utimesSync(join(home, name), 0, Date.now() / 1_000 - 3_700);
    await backup(data, file, NEVER);
    expect(readdirSync(home).sort()).toEqual(["data", "one.backup", ...names.slice(1)].sort());
  });

  test("of a directory without a log says so, and makes none", async () => {
    for (const directory of [join(home, "none"), home]) {
      expect(await messageOf(backup(directory, file, NEVER))).toMatch(/has no log\. Name the directory of the server: --data/);
    }
    expect(readdirSync(home)).toEqual([]);
  });
});
