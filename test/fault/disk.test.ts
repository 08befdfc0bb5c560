import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { checkData } from "../../src/engines/disk/check.ts";
import { disk } from "../../src/engines/disk/disk.ts";
import { seededRandom } from "../support/clock.ts";
import { CHANNELS, context, draftOf, EVERYTHING, SMALL_COUNT } from "../support/disk-child.ts";

/** The kills of the loop; `THROUGHLINE_KILLS=500` for a night. */
const KILLS = Number(process.env["THROUGHLINE_KILLS"] ?? 25);
const ROOT = join(import.meta.dirname, "../..");
const CHILD = join(ROOT, "node_modules/.cache/throughline/disk-child.mjs");
const IS_ROOT = process.getuid?.() === 0;

let home: string;
let directory: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  await build({
    entryPoints: [join(ROOT, "test/support/disk-child.ts")],
    outfile: CHILD,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["lmdb"],
  });
});

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "throughline-fault-"));
  directory = join(home, "data");
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(home, { recursive: true, force: true });
});

test(`[D4] [D5] ${KILLS} times killed in the middle of publishing: nothing acknowledged is lost, nothing is torn, every key is known`, {
  timeout: 20_000 + KILLS * 2_000,
}, async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = seededRandom(seed);
  const acked = new Map<string, { channel: string; epoch: string; offset: number; tag: string }>();
  for (let round = 0; round < KILLS; round++) {
    const child = start("publish", String(round));
    await child.says("ack");
    await new Promise((resolve) => setTimeout(resolve, random.fraction() * 120));
    child.process.kill("SIGKILL");
    await child.ended;
    for (const line of child.lines) {
      const [word, channel, epoch, offset, tag, key] = line.split(" ") as [string, string, string, string, string, string];
      // The last line may be cut by the kill
      if (word === "ack" && key !== undefined && tag?.length === 8) acked.set(key, { channel, epoch, offset: Number(offset), tag });
    }

    const log = disk(directory);
    await log.open(context); // the lock of the dead process is no hindrance
    const found = new Map<string, string>();
    for (const channel of CHANNELS) {
      const { head, entries } = await log.read(channel, 0, EVERYTHING);
      if (head === null) {
        expect([...acked.values()].some((ack) => ack.channel === channel)).toBe(false);
        continue;
      }
      expect(head.lineage).toHaveLength(1);
      expect(entries.map((entry) => entry.offset)).toEqual(entries.map((_, index) => head.first + index));
      expect(entries.at(-1)?.tag).toBe(head.topTag);
      if (channel === "small") expect(entries.length).toBeLessThanOrEqual(SMALL_COUNT);
      else expect(head.first).toBe(1);
      for (const entry of entries) {
        const key = String(entry.data).slice(0, String(entry.data).indexOf(" "));
        expect(entry.data === draftOf(key, 50).data || entry.data === draftOf(key, 5_000).data, `seed ${seed}: ${key} is whole`).toBe(true);
        expect(found.has(key), `seed ${seed}: ${key} is there twice`).toBe(false);
        found.set(key, `${channel} ${head.lineage[0]?.epoch} ${entry.offset} ${entry.tag}`);
      }
      const trimmed = [...acked.values()].find((ack) => ack.channel === channel && ack.offset === head.first - 1);
      if (trimmed !== undefined) expect(head.boundaryTag).toBe(trimmed.tag);
    }
    for (const [key, { channel, epoch, offset, tag }] of acked) {
      if (channel !== "small") expect(found.get(key), `seed ${seed}: the acknowledged ${key}`).toBe(`${channel} ${epoch} ${offset} ${tag}`);
    }
    for (const [key, { channel, epoch, offset, tag }] of [...acked].slice(-30)) {
      const [answer] = await log.append(channel, [draftOf(key)]);
      expect(answer, `seed ${seed}: ${key} again`).toEqual({ type: "duplicate", position: { epoch, offset, tag } });
    }
    await log.close();
  }
  expect(acked.size).toBeGreaterThan(KILLS * 20);
});

// RLIMIT_FSIZE is a full disk for one process, and needs no privilege: Node ignores SIGXFSZ, so a write across the limit is short or fails with EFBIG, as it
// would with ENOSPC; and raising the soft limit from outside is space made free. Who may mount one also fills a real file system, a small tmpfs.
test("[D4] on a full disk publishing is refused with not_stored, reading goes on, and space heals it", { timeout: 60_000 }, async () => {
  program("prlimit", "util-linux");
  const limited = start("publish in turn", "60 20000", { command: "bash", args: ["-c", 'ulimit -S -f 700; exec "$@"', "bash"] });
  await limited.says("not_stored", 3);
  execFileSync("prlimit", [`--pid=${limited.process.pid}`, "--fsize=unlimited"]);
  await expectHealed(limited);

  rmSync(directory, { recursive: true });
  mkdirSync(directory);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", directory]).status !== 0) return;
  try {
    writeFileSync(join(directory, "balloon"), Buffer.alloc(1_400_000));
    const child = start("publish in turn", "50 20000");
    await child.says("not_stored", 3);
    rmSync(join(directory, "balloon"));
    await expectHealed(child);
  } finally {
    spawnSync("umount", ["-l", directory]);
  }
});

async function expectHealed(child: Child): Promise<void> {
  await child.ended;
  await expectTruth(child.lines, 20_000);
  expect([child.process.exitCode, child.lines.at(-1)]).toEqual([0, "end"]);
  expect(child.lines.filter((line) => line.startsWith("unknown"))).toEqual([]);
  const lastRefused = child.lines.findLastIndex((line) => line.startsWith("not_stored"));
  expect(child.lines.findLastIndex((line) => line.startsWith("ack"))).toBeGreaterThan(lastRefused);
  expect(child.errors).not.toMatch(/unhandled/i);
}

test("[D4] an answer comes after fdatasync and the synced write of the head (seen by strace)", async () => {
  program("strace", "strace");
  const trace = join(home, "trace");
  const child = start("publish in turn", "20 50", {
    command: "strace",
    args: ["-f", "-qq", "-o", trace, "-e", "trace=fdatasync,pwrite64,pwritev,write,openat"],
  });
  await child.ended;
  let isSynced = false;
  let isHeadWritten = false;
  let acks = 0;
  const syncedFile = /openat\(.*data\.mdb", .*O_DSYNC.*= (\d+)/;
  let file = "";
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    file = syncedFile.exec(line)?.[1] ?? file;
    if (/fdatasync.*= 0|fdatasync resumed>.*= 0/.test(line)) isSynced = true;
    else if (line.includes(`pwrite64(${file}, `)) isHeadWritten = isSynced;
    else if (/write\(1, "ack/.test(line)) {
      acks++;
      expect([isSynced, isHeadWritten], `before ack ${acks}`).toEqual([true, true]);
      isSynced = isHeadWritten = false;
    }
  }
  expect(acks).toBe(20);
});

// A short write (retval=0) rather than an error of pwrite: see room.ts for what lmdb does with that one.
test.each([
  ["fdatasync", "error=EIO", [1, 4, 9]],
  ["pwrite64", "retval=0", [1, 2, 3, 4, 5, 8]],
  ["pwritev", "retval=0", [1, 3]],
] as const)(
  "[D4] a disk whose %s fails with %s: what was not stored is not there, what was acknowledged is, and it goes on",
  async (call, fault, nths) => {
    program("strace", "strace");
    for (const nth of nths) {
      rmSync(directory, { recursive: true, force: true });
      await start("open").ended; // so that the calls counted are those of commits
      const inject = ["-f", "-qq", "-o", join(home, "trace"), "-e", `trace=${call}`, "-e", `inject=${call}:${fault}:when=${nth}`];
      const child = start("publish in turn", "20 50", { command: "strace", args: inject, env: { UV_THREADPOOL_SIZE: "1" } });
      await child.ended;
      expect([child.process.exitCode, child.lines.at(-1)], `${call} ${nth}: ${child.lines.join("\n")} ${child.errors}`).toEqual([0, "end"]);
      await expectTruth(child.lines, 50);
      const isHit = readFileSync(join(home, "trace"), "utf8").includes("INJECTED");
      if (isHit) expect(child.lines.some((line) => /^(not_stored|unknown)/.test(line))).toBe(true);
    }
  },
);

test("[D3] damaged at random, the data file gives right data or a clear error, and never ends the process", {
  timeout: 60_000,
}, async () => {
  await fill();
  const seed = Math.floor(Math.random() * 1_000_000);
  for (const how of ["flip", "cut"]) {
    const child = start("damage", `${seed} ${how === "flip" ? 120 : 30} ${how}`);
    await child.ended;
    expect(child.lines.at(-1), `after ${child.lines.at(-2)}, signal ${child.process.signalCode}, ${child.errors}`).toBe("end");
    const outcomes = child.lines.filter((line) => line.startsWith(how)).map((line) => line.split(" ").slice(2).join(" "));
    expect(outcomes.filter((outcome) => outcome !== "right" && outcome !== "refused")).toEqual([]);
    expect(outcomes).toContain("refused");
  }
});

// What lies beyond the last page that its head names is room for commits to come (room.ts), which nobody misses.
test("[D3] a data file that is shorter than its head says is refused, however little time there is to look into it", async () => {
  await fill();
  const log = disk(directory);
  await log.open(context);
  // Stands alone on the last pages, since the tree finds room among those that are free: it is whole without it
  await log.append("orders", [draftOf("large", 100_000)]);
  await log.close();
  const path = join(directory, "data.mdb");
  const whole = readFileSync(path);
  const used = pagesOf(whole);
  expect(whole.length / PAGE_BYTES).toBeGreaterThan(used);
  const clock = vi.spyOn(performance, "now").mockImplementation(hurry());
  try {
    for (let pages = 1; pages <= whole.length / PAGE_BYTES; pages++) {
      writeFileSync(path, whole.subarray(0, pages * PAGE_BYTES));
      const error = await checkData(directory).catch((thrown: unknown) => thrown);
      const what = /damaged data\.mdb: it was cut: .*restore the directory from a backup/;
      if (pages < used) expect([pages, String(error)]).toEqual([pages, expect.stringMatching(what)]);
      else expect([pages, error]).toEqual([pages, undefined]);
    }
  } finally {
    clock.mockRestore();
  }
});

test("[D3] an older copy put back shows its own, older head, and other tags from there on", async () => {
  const log = disk(directory);
  await log.open(context);
  await log.append("orders", [draftOf("k1"), draftOf("k2")]);
  await log.close();
  cpSync(directory, `${directory}-backup`, { recursive: true });
  await log.open(context);
  const [later] = await log.append("orders", [draftOf("k3")]);
  await log.close();
  rmSync(directory, { recursive: true });
  cpSync(`${directory}-backup`, directory, { recursive: true });
  await log.open(context);
  expect((await log.read("orders", 0, EVERYTHING)).head?.top).toBe(2);
  const [other] = await log.append("orders", [draftOf("k4")]);
  expect(other?.type === "stored" && later?.type === "stored").toBe(true);
  if (other?.type !== "stored" || later?.type !== "stored") return;
  expect([other.position.epoch, other.position.offset]).toEqual([later.position.epoch, later.position.offset]);
  expect(other.position.tag).not.toBe(later.position.tag);
  await log.close();
});

test("a directory that another process owns is refused by its process id, and is free the moment that process is killed", async () => {
  const child = start("hold");
  await child.says("open");
  const log = disk(directory);
  await expect(log.open(context)).rejects.toThrow(new RegExp(`in use by process ${child.process.pid}\\b.*Stop that one`));
  child.process.kill("SIGKILL");
  const startMs = performance.now();
  await child.ended;
  await log.open(context);
  expect(performance.now() - startMs).toBeLessThan(2_000);
  await expect(disk(directory).open(context)).rejects.toThrow(/in use by this process/);
  await log.close();
  await log.open(context);
  await log.close();
});

test("of many that open one directory at once, one gets it", async () => {
  mkdirSync(directory);
  const logs = Array.from({ length: 8 }, () => disk(directory));
  const outcomes = await Promise.allSettled(logs.map((log) => log.open(context)));
  expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
  await Promise.all(logs.map((log) => log.close()));
});

test("two directories in one process know nothing of each other", async () => {
  const logs = [disk(directory), disk(`${directory}-other`)] as const;
  await Promise.all(logs.map((log) => log.open(context)));
  await Promise.all(logs.map((log, index) => log.append("orders", [draftOf(`k${index}`)])));
  expect((await logs[0].read("orders", 0, EVERYTHING)).entries.map((entry) => entry.data)).toEqual([draftOf("k0").data]);
  await logs[0].close();
  expect((await logs[1].read("orders", 0, EVERYTHING)).entries.map((entry) => entry.data)).toEqual([draftOf("k1").data]);
  await logs[1].close();
});

test("a directory of a newer version, of something else, or that is a file, is refused with what to do, and left as it was", async () => {
  writeFileSync(directory, "a file");
  await expect(disk(directory).open(context)).rejects.toThrow(/cannot be made.*Name a directory/);
  rmSync(directory);

  await fill();
  const format = join(directory, "format.json");
  const before = readFileSync(join(directory, "data.mdb"));
  writeFileSync(format, '{"name":"throughline","formatVersion":99}');
  await expect(disk(directory).open(context)).rejects.toThrow(
    /newer Throughline \(format 99; this one reads up to 1\).*Start that newer version/,
  );
  writeFileSync(format, "{");
  await expect(disk(directory).open(context)).rejects.toThrow(/format\.json that cannot be read/);
  rmSync(format);
  await expect(disk(directory).open(context)).rejects.toThrow(/not made by Throughline/);
  expect(readFileSync(join(directory, "data.mdb")).equals(before)).toBe(true);
});

// Permissions do not bind root: there the child runs as nobody (65534).
test("a directory that this user may not write is refused with whose it is", async () => {
  await fill();
  for (const name of ["data.mdb", "lock.mdb", ""]) chmodSync(join(directory, name), name === "" ? 0o555 : 0o444);
  chmodSync(home, 0o755);
  const child = start("open", "", IS_ROOT ? { uid: 65534 } : {});
  await child.ended;
  expect(child.lines.join("\n") + child.errors).toMatch(
    /failed internal The directory .* cannot be written by user \d+: .* belongs to user \d+ .*chown/,
  );
  for (const name of ["", "data.mdb", "lock.mdb"]) chmodSync(join(directory, name), 0o755);
});

/** A clock on which ten seconds pass between any two looks. */
function hurry(): () => number {
  let ms = 0;
  return () => (ms += 10_000);
}

const PAGE_BYTES = 4_096;

/** How many pages LMDB has taken, by the newer of its two heads (MDB_meta: mm_last_pg, mm_txnid). */
function pagesOf(data: Buffer): number {
  const [first, second] = [0, PAGE_BYTES].map((head) => ({
    last: data.readBigUInt64LE(head + 24 + 120),
    commit: data.readBigUInt64LE(head + 24 + 128),
  })) as [{ last: bigint; commit: bigint }, { last: bigint; commit: bigint }];
  return Number((first.commit >= second.commit ? first : second).last) + 1;
}

/** A directory with 100 messages in each of two channels, large ones among them. */
async function fill(): Promise<void> {
  const log = disk(directory);
  await log.open(context);
  for (let offset = 1; offset <= 100; offset += 5) {
    for (const channel of ["orders", "chat/lobby"]) {
      await log.append(
        channel,
        Array.from({ length: 5 }, (_, index) => draftOf(`k${offset + index}`, (offset + index) % 9 === 0 ? 9_000 : 80)),
      );
    }
  }
  await log.close();
}

/** Every outcome that the child said is true: acks are there, `not_stored` is not. Reading never failed. */
async function expectTruth(lines: readonly string[], bytes: number): Promise<void> {
  const log = disk(directory);
  await log.open(context);
  const { entries } = await log.read("orders", 0, EVERYTHING);
  await log.close();
  const stored = new Map(entries.map((entry) => [entry.data, entry.offset]));
  for (const line of lines) {
    const [word, key, offset] = line.split(" ") as [string, string, string];
    if (word === "ack") expect(stored.get(draftOf(key, bytes).data), line).toBe(Number(offset));
    if (word === "not_stored") expect(stored.get(draftOf(key, bytes).data), line).toBeUndefined();
    expect(word).not.toBe("unreadable");
  }
}

interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  errors: string;
  readonly ended: Promise<unknown>;
  /** Waits for a line that begins so, or for the `count`th of them. */
  says(word: string, count?: number): Promise<void>;
}

function start(
  act: string,
  argument = "",
  how: { command?: string; args?: string[]; uid?: number; env?: Record<string, string> } = {},
): Child {
  const { command, args = [], uid, env = {} } = how;
  const line = command === undefined ? [CHILD] : [...args, process.execPath, CHILD];
  const started = spawn(command ?? process.execPath, [...line, act, directory, argument], {
    env: { ...process.env, ...env },
    ...(uid === undefined ? {} : { uid }),
  });
  children.push(started);
  const child: Child = {
    process: started,
    lines: [],
    errors: "",
    ended: once(started, "close"),
    async says(word, count = 1) {
      const isSaid = () => child.lines.filter((one) => one.startsWith(word)).length >= count;
      while (!isSaid()) {
        if (started.exitCode !== null || started.signalCode !== null)
          throw new Error(`The child ended without "${word}": ${child.lines.join("\n")} ${child.errors}`);
        await Promise.race([once(started.stdout as NodeJS.EventEmitter, "data"), child.ended]);
      }
    },
  };
  let rest = "";
  started.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    child.lines.push(...parts);
  });
  started.stderr?.setEncoding("utf8").on("data", (text: string) => {
    child.errors += text;
  });
  return child;
}

/** No test passes for the lack of a program: it fails, and says what to install. */
function program(name: string, debianPackage: string): void {
  if (spawnSync(name, ["-V"]).error === undefined) return;
  throw new Error(`${name} is not installed, and this test needs it. Debian, Ubuntu: sudo apt-get install -y ${debianPackage}`);
}
