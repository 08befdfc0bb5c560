import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";
import { connect } from "../../src/client.ts";
import type { Draft, Log } from "../../src/core/log.ts";
import { disk } from "../../src/disk.ts";
import { formatPosition } from "../../src/protocol/position.ts";
import { freePort } from "../support/free-port.ts";
import { demand } from "../support/http.ts";
import { LOBBY, numbers, offsets } from "../support/story.ts";
import { TRANSPORTS } from "../support/transports.ts";
import { until } from "../support/until.ts";
import { BIN, freshDirectory, Program, runProgram, startDevProgram } from "./program.ts";

/** The log of a directory that no server has. */
async function openLog(directory: string): Promise<Log> {
  const log = disk(directory, { retain: { countMax: 100_000, bytesMax: 1e9 } });
  await log.open({
    ...{ clock: systemClock, random: systemRandom, retain: (channel, own) => (channel === "short" ? { ...own, countMax: 3 } : own) },
    ...{ keysMax: 1_000_000, keySecondsMin: 86_400, lineageMax: 32, warn: () => {} },
  });
  return log;
}

function draft(data: string): Draft {
  return { event: "message", kind: "text", data, size: data.length };
}

async function publish(url: string, texts: readonly string[]): Promise<string[]> {
  const { json } = await demand(`${url}/publish`, { method: "POST", body: texts.map((data) => ({ channel: LOBBY, data })) });
  return json.map(({ position }: { position: string }) => position);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Kills a command while what it makes is half made. It may have been faster: then it is done again. */
async function killedInTheMiddle(words: readonly string[], prepare: () => Promise<void>, isUnderWay: () => boolean, isHalf: () => boolean) {
  for (let tries = 0; tries < 20; tries++) {
    await prepare();
    const program = new Program(words);
    let hasEnded = false;
    void program.exit().then(() => {
      hasEnded = true;
    });
    await until("it is under way", () => isUnderWay() || hasEnded);
    await program.kill();
    if (isHalf()) return;
  }
  throw new Error("It was never killed in the middle.");
}

describe("throughline backup and restore", () => {
  test("[D1] [D2] [D4] while a server runs and publishing goes on: all that was acknowledged before is there, in order", async () => {
    const [directory, port] = [freshDirectory(), await freePort()];
    await startDevProgram(port, directory);
    const client = connect(`http://127.0.0.1:${port}`, { transport: "websocket" });
    const acked: string[] = [];
    let isOver = false;
    const publishing = numbers(8).map(async (publisher) => {
      for (let n = 1; !isOver; n++) {
        const { position } = await client.channel(LOBBY).publish("message", `${publisher} ${n} ${"x".repeat(n % 500)}`);
        acked.push(position);
      }
    });
    for (const round of numbers(3)) {
      await until("some more are acknowledged", () => acked.length > round * 200);
      const before = acked.toSorted();
      const file = join(directory, `${round}.backup`);
      const made = await runProgram(["backup", file, "--data", join(directory, "data")]);
      expect(made).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^Backed up [\d,]+ messages of \d channels? as of 20\d\d-\S+Z to \S+ \([\d,]+ bytes\)\.\n$/),
        err: "",
      });
      const place = join(directory, `restored ${round}`);
      expect(await runProgram(["restore", file, "--data", place])).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^Restored [\d,]+ messages of \d channels? as of 20\d\d-\S+Z to .*\/restored \d\.\n$/),
        err: "",
      });
      const log = await openLog(place);
      const { head, entries } = await log.read(LOBBY, 0, { count: 1_000_000, bytes: 1e12 });
      await log.close();
      expect(entries.map(({ offset }) => offset)).toEqual(numbers(entries.length));
      const there = new Set(entries.map(({ offset, tag }) => formatPosition({ epoch: head!.lineage[0]!.epoch, offset, tag })));
      expect(before.filter((position) => !there.has(position))).toEqual([]);
    }
    isOver = true;
    await Promise.all(publishing);
    client.close();
  });

  test("[D2] [D3] [D6] a restored log is told to the readers of every transport: those beyond the backup by a gap, those within it not at all", async () => {
    const [directory, port] = [freshDirectory(), await freePort()];
    const [url, data, file] = [`http://127.0.0.1:${port}`, join(directory, "data"), join(directory, "one.backup")];
    const server = await startDevProgram(port, directory);
    const kept = await publish(url, ["1", "2", "3"]);
    expect(await runProgram(["backup", file, "--data", data])).toMatchObject({ code: 0 });
    const lost = await publish(url, ["4 that is lost", "5 that is lost"]);
    const refused = await runProgram(["restore", file, "--data", data, "--force"]);
    expect(refused).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^throughline: .* is in use by process \d+ .* Stop that one, .*\n$/),
    });
    server.signal("SIGTERM");
    await server.exit();
    expect(await runProgram(["restore", file, "--data", data])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^throughline: .*holds a log, which was left as it is\. To put the backup in its place add --force/),
    });
    const restored = await runProgram(["restore", file, "--data", data, "--force"]);
    expect(restored).toMatchObject({ code: 0, err: "" });
    // The two of the lobby, and what the server publishes of the machine
    expect(restored.out).toMatch(/\nLost with the log that was there: \d+ messages.*\. Readers that had them are told\.\n$/);
    await startDevProgram(port, directory);
    await publish(url, ["4", "5", "6"]);
    for (const transport of TRANSPORTS) {
      const channels = (position: string) => [{ name: LOBBY, from: `after:${position}` }];
      const [beyond, within] = await Promise.all(
        [lost[1]!, kept[1]!].map((position) => transport.open({ url, channels: channels(position) })),
      );
      const texts = async (reader: typeof beyond, count: number) => (await reader!.next(count)).map((message) => message.data);
      expect(await beyond!.gap(), transport.name).toMatchObject({ reason: "truncated", since: lost[1], missing: 0 });
      expect(await texts(beyond, 3), transport.name).toEqual(["4", "5", "6"]);
      expect(await texts(within, 4), transport.name).toEqual(["3", "4", "5", "6"]);
      expect(offsets([{ position: beyond!.position }, { position: within!.position }])).toEqual([6, 6]);
      beyond!.close();
      within!.close();
    }
  });

  test("[D4] a backup that is killed in the middle leaves the one before, and neither the server nor its file suffers", async () => {
    const directory = freshDirectory();
    const [data, file] = [join(directory, "data"), join(directory, "one.backup")];
    const log = await openLog(data);
    for (const n of numbers(40))
      await log.append(
        LOBBY,
        numbers(10).map((k) => draft(`${n} ${k} ${"x".repeat(200_000)}`)),
      );
    await log.append("short", [draft("first")]);
    let before = Buffer.alloc(0);
    const half = () => readdirSync(directory).filter((name) => name.endsWith(".new"));
    const isWriting = () => half().some((name) => sizeOf(join(directory, name)) > 1_000_000);
    await killedInTheMiddle(
      ["backup", file, "--data", data],
      async () => {
        expect(await runProgram(["backup", file, "--data", data])).toMatchObject({ code: 0 });
        before = readFileSync(file);
      },
      isWriting,
      () => half().length === 1,
    );
    expect(readFileSync(file).equals(before)).toBe(true);

    // A dead reader is noticed, or each of these commits would take new pages
    const { size } = statSync(join(data, "data.mdb"));
    for (const n of numbers(3_000)) await log.append("short", [draft(`${n}`)]);
    expect(statSync(join(data, "data.mdb")).size - size).toBeLessThan(40_000_000);
    expect(await runProgram(["backup", file, "--data", data])).toMatchObject({ code: 0, err: "" });
    expect(readFileSync(file).equals(before)).toBe(false);
    await log.close();
  });

  test("[D4] a restore that is killed in the middle keeps servers away until it is done again, and has lost nothing of the log that was there", async () => {
    const directory = freshDirectory();
    const [data, file, building] = [
      join(directory, "data"),
      join(directory, "one.backup"),
      join(directory, "data", "restoring", "data.mdb"),
    ];
    const log = await openLog(data);
    for (const n of numbers(20))
      await log.append(
        LOBBY,
        numbers(10).map((k) => draft(`${n} ${k} ${"x".repeat(200_000)}`)),
      );
    await runProgram(["backup", file, "--data", data]);
    await log.append(LOBBY, [draft("after it")]);
    await log.close();
    const topOf = async () => {
      const opened = await openLog(data);
      const { head } = await opened.read(LOBBY, 0, { count: 0, bytes: 0 });
      await opened.close();
      return head?.top;
    };
    const kept = join(directory, "kept");
    cpSync(data, kept, { recursive: true });
    await killedInTheMiddle(
      ["restore", file, "--data", data, "--force"],
      async () => {
        rmSync(data, { recursive: true });
        cpSync(kept, data, { recursive: true });
      },
      () => sizeOf(building) > 1_000_000,
      () => existsSync(building),
    );
    expect(await runProgram(["dev", "--port", "0", "--data", data])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/is being restored, or that was cut in the middle\. Restore it again; or, .* delete restoring in it\.\n$/),
    });
    renameSync(join(data, "restoring"), join(directory, "aside"));
    expect(await topOf()).toBe(201);
    renameSync(join(directory, "aside"), join(data, "restoring"));
    expect(await runProgram(["restore", file, "--data", data, "--force"])).toMatchObject({
      code: 0,
      out: expect.stringContaining("Lost with the log that was there: 1 message."),
    });
    expect(await topOf()).toBe(200);
  });

  test("[D4] one that was cut, or altered, is not restored: it says so, ends with 1, and makes nothing", async () => {
    const directory = freshDirectory();
    const [data, file, target] = [join(directory, "data"), join(directory, "one.backup"), join(directory, "new")];
    const log = await openLog(data);
    await log.append(
      LOBBY,
      numbers(1_000).map((n) => draft(`number ${n}`)),
    );
    await log.close();
    await runProgram(["backup", file, "--data", data]);
    const whole = readFileSync(file);
    const altered = Buffer.from(whole);
    altered[40_000]! ^= 4;
    for (const [bytes, what] of [
      [whole.subarray(0, 40_000), "it was cut: its end is missing"],
      [altered, "has a wrong checksum"],
      [Buffer.from("not one\n"), "is not a backup of Throughline"],
    ] as const) {
      writeFileSync(file, bytes);
      const { code, out, err } = await runProgram(["restore", file, "--data", target]);
      expect([code, out, err.split("\n").length]).toEqual([1, "", 2]);
      expect(err).toContain(what);
      expect(err).toContain("Nothing was changed. Use another backup.");
      expect(existsSync(target)).toBe(false);
    }
  });

  test("[D4] a backup or a restore of which not even the first byte can be written leaves nothing, and says what to do", async () => {
    const directory = freshDirectory();
    const log = await openLog(join(directory, "data"));
    await log.append(LOBBY, [draft("1")]);
    await log.close();
    // No file may have a byte: a disk that is full to the last one
    const onFull = (...words: string[]) =>
      spawnSync("bash", ["-c", 'ulimit -f 0; exec "$@"', "bash", process.execPath, BIN, ...words], { cwd: directory, encoding: "utf8" });
    const { status, stderr } = onFull("backup", "one.backup");
    expect([status, stderr]).toEqual([1, expect.stringMatching(/cannot be written: EFBIG.*None was made/)]);
    expect(readdirSync(directory)).toEqual(["data"]);
    await runProgram(["backup", join(directory, "one.backup"), "--data", join(directory, "data")]);
    for (const words of [
      ["restore", "one.backup", "--data", "new"],
      ["dev", "--port", "0", "--data", "new"],
    ]) {
      const refused = onFull(...words);
      expect([refused.status, refused.stderr]).toEqual([1, expect.stringMatching(/new cannot be written: EFBIG.*Make space/)]);
      expect(readdirSync(join(directory, "new"))).toEqual([]);
    }
  });

  test("says how it is used, and ends with 2 where it was not understood", async () => {
    for (const [command, words] of [
      ["backup", ["--data", "also while a server runs", "throughline backup /backups/"]],
      ["restore", ["--data", "--force", "told so by a gap"]],
    ] as const) {
      const { code, out } = await runProgram([command, "--help"]);
      expect(code).toBe(0);
      for (const word of words) expect(out).toContain(word);
      expect(await runProgram([command])).toMatchObject({ code: 2, err: expect.stringContaining("missing required argument 'file'") });
    }
    const { code, err } = await runProgram(["backup", "x", "--data", "none"]);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^throughline: The directory .*\/none has no log\. Name the directory of the server: --data\.\n$/),
    ]);
  });
});
