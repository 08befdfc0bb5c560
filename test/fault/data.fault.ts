import { chmodSync, cpSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { Volume } from "./volume.ts";

const NOBODY = 65_534;

test("[D3] [D4] a data file that was cut keeps the server from starting, with what to do; put back, everything is there", async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ naive: 2 });
  await ground.progress(100);
  await ground.stop("SIGTERM");
  const kept = join(ground.ledger.home, "kept");
  cpSync(ground.data, kept, { recursive: true });
  const { size } = statSync(join(kept, "data.mdb"));
  for (const length of [100, 8_192, 40_960]) {
    ground.fault("truncated file", "start");
    truncateSync(join(ground.data, "data.mdb"), length);
    ground.err = "";
    expect(await ground.serve(), `of ${size} bytes ${length} are left`).toBe(false);
    expect([ground.server?.exitCode, ground.err]).toEqual([1, expect.stringMatching(/data.*(restore|backup)/is)]);
    rmSync(ground.data, { recursive: true });
    cpSync(kept, ground.data, { recursive: true });
    ground.fault("truncated file", "stop");
  }
  // Of the table of readers nothing is kept across a start
  writeFileSync(join(ground.data, "lock.mdb"), Buffer.alloc(8_192, 0xa5));
  expect(await ground.serve()).toBe(true);
  await ground.progress(50);
  await ground.calm();
  judge(ground, { row: "D6", what: "The data file is cut short; the server refuses to start until it is put back." });
});

// An empty file is also what a first start leaves that the power ended: it cannot be refused.
test("[D3] a data file that was emptied is another log, which every reader is told", async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ naive: 2 });
  await ground.progress(60);
  await ground.shown();
  await ground.stop("SIGKILL");
  ground.fault("emptied file", "start", { may: ["epoch"], loses: ["disk"] });
  truncateSync(join(ground.data, "data.mdb"), 0);
  await ground.serve();
  ground.fault("emptied file", "stop");
  await until("everyone is told", () => ground.gaps.length === 10, 20_000);
  await ground.progress(50);
  await ground.calm();
  expect(ground.gaps.map(({ reason }) => reason)).toEqual(Array(10).fill("epoch"));
  judge(ground, { row: "D6", what: "The data file is emptied; every reader is told that this is another log." });
});

test("[D3] an older backup put back is told to everyone who had read on, and to nobody twice", async () => {
  const ground = new Ground();
  await ground.serve();
  await ground.gather({ naive: 2 });
  await ground.progress(80);
  await ground.stop("SIGKILL");
  const backup = join(ground.ledger.home, "backup");
  cpSync(ground.data, backup, { recursive: true });
  await ground.serve();
  for (let times = 1; times <= 2; times++) {
    await ground.whole();
    await ground.progress(80);
    await ground.shown();
    await ground.stop("SIGKILL");
    ground.fault("restore", "start", { may: ["truncated"], loses: ["disk"] });
    rmSync(ground.data, { recursive: true });
    cpSync(backup, ground.data, { recursive: true });
    await ground.serve();
    ground.fault("restore", "stop");
    await until("everyone is told", () => ground.gaps.length === times * 10, 20_000);
  }
  await ground.progress(50);
  await ground.calm();
  expect(ground.gaps.map(({ reason }) => reason)).toEqual(Array(20).fill("truncated"));
  judge(ground, { row: "D8", what: "An older backup is put back; every reader beyond it is told." });
});

test("[D4] a file system that has become read-only refuses what is published, and ends nothing that was acknowledged", async () => {
  const ground = new Ground();
  const volume = new Volume(ground);
  ground.data = join(volume.path, "data");
  await ground.serve();
  await ground.gather({ naive: 2, publishers: 0, askers: 0 });
  const publishers = await ground.gather();
  await ground.progress(50);
  // Between two commits: a write that fails inside of LMDB may end the process (src/engines/disk/room.ts)
  await ground.dismiss(publishers);
  const { refused, unknown } = ground;
  ground.fault("read-only", "start");
  volume.abort();
  await ground.gather();
  await until("publishing is refused", () => ground.refused + ground.unknown >= refused + unknown + 10);
  expect(ground.isServing, ground.err).toBe(true);
  expect(ground.err).toContain("cannot be written: EROFS");
  expect(await ground.health()).toEqual({ live: true, ready: "not_ready" });
  await ground.stop("SIGTERM");
  volume.renew();
  ground.fault("read-only", "stop");
  await ground.serve();
  const { length } = ground.naive;
  await until("the naive are back, too late", () => ground.naive.length > length);
  await ground.calm();
  judge(ground, { row: "D7", what: "The file system becomes read-only, as ext4 does after an error." });
});

test("a directory that is read-only, another's, or cannot be made keeps the server from starting, with what to do", async () => {
  const ground = new Ground();
  const volume = new Volume(ground);
  chmodSync(ground.ledger.home, 0o755);
  ground.data = join(volume.path, "data");
  await ground.serve();
  await ground.stop("SIGTERM");

  volume.remount("ro");
  expect([await failsToServe(ground), ground.err]).toEqual([1, expect.stringMatching(/cannot be written.*mount it writable/s)]);
  volume.remount("rw");
  expect([await failsToServe(ground, NOBODY), ground.err]).toEqual([1, expect.stringMatching(/belongs to user 0.*chown/s)]);
  writeFileSync(join(volume.path, "file"), "");
  ground.data = join(volume.path, "file", "data");
  expect([await failsToServe(ground), ground.err]).toEqual([1, expect.stringMatching(/cannot be made.*Name a directory/s)]);
  ground.data = join(volume.path, "new", "data");
  mkdirSync(join(volume.path, "new"));
  expect(await ground.serve()).toBe(true);
});

/** The exit code of a server that does not start. */
async function failsToServe(ground: Ground, user?: number): Promise<number | null | undefined> {
  ground.err = "";
  expect(await ground.serve(user === undefined ? {} : { user })).toBe(false);
  return ground.server?.exitCode;
}
