import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { BIN } from "./built.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import { Volume } from "./volume.ts";

const NOBODY = 65_534;
/** How often it is restored; `THROUGHLINE_TIMES=20` for a night. */
const TIMES = Number(process.env["THROUGHLINE_TIMES"] ?? 3);
const READERS = 10;

/** A command of the command line, to its end. */
async function run(words: readonly string[], user?: number): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(process.execPath, [BIN, ...words], { cwd: "/", ...(user === undefined ? {} : { uid: user, gid: user }) });
  const told = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (told.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (told.err += text));
  const [code] = await once(child, "close");
  return { code, ...told };
}

test(`[D2] [D3] [D4] a backup made under load and restored, ${TIMES} times, is told once to everyone who had read on`, {
  timeout: 60_000 + TIMES * 20_000,
}, async () => {
  const ground = new Ground();
  const file = join(ground.ledger.home, "one.backup");
  await ground.serve();
  await ground.gather({ naive: 2 });
  await ground.progress(80);
  expect(await run(["backup", file, "--data", ground.data])).toMatchObject({ code: 0, err: "" });
  for (let times = 1; times <= TIMES; times++) {
    await ground.whole();
    await ground.progress(80);
    await ground.shown();
    await ground.stop(times % 2 === 0 ? "SIGTERM" : "SIGKILL");
    ground.fault("restore", "start", { may: ["truncated"], loses: ["disk"] });
    expect(await run(["restore", file, "--data", ground.data, "--force"])).toMatchObject({ code: 0, err: "" });
    await ground.serve();
    ground.fault("restore", "stop");
    await until("everyone is told", () => ground.gaps.length === times * READERS, 20_000);
  }
  await ground.progress(50);
  await ground.calm();
  expect(ground.gaps.map(({ reason, missing }) => [reason, missing])).toEqual(Array(TIMES * READERS).fill(["truncated", 0]));
  judge(ground, { row: "D8", what: "A backup made under load is restored again and again; every reader beyond it is told, once." });
});

test("[D4] a disk that is full while a backup is made keeps the one before, and while it is restored the log that was there", async () => {
  const ground = new Ground();
  const volume = new Volume(ground, 16);
  const [small, large] = [join(ground.ledger.home, "small"), join(ground.ledger.home, "large")];
  const backups = join(volume.path, "backups");
  mkdirSync(backups);
  const file = join(backups, "one.backup");
  await ground.serve({ data: small });
  await ground.gather({ readers: { sse: 1, websocket: 0, "long-poll": 0 } });
  await ground.progress(50);
  await ground.stop("SIGTERM");
  expect(await run(["backup", file, "--data", small])).toMatchObject({ code: 0 });
  const before = readFileSync(file);

  await ground.serve({ data: large });
  await ground.gather({ readers: { sse: 1, websocket: 0, "long-poll": 0 }, largeBytes: 900_000, paceMs: 1 });
  await until(
    "there is more than the volume takes",
    () => existsSync(join(large, "data.mdb")) && statSync(join(large, "data.mdb")).size > 24e6,
    60_000,
  );
  await ground.stop("SIGTERM");
  expect(await run(["backup", file, "--data", large])).toMatchObject({ code: 1, err: expect.stringMatching(/cannot be written: ENOSPC/) });
  expect(readdirSync(backups)).toEqual(["one.backup"]);
  expect(readFileSync(file).equals(before)).toBe(true);

  const [target, elsewhere] = [join(volume.path, "data"), join(ground.ledger.home, "large.backup")];
  expect(await run(["restore", file, "--data", target])).toMatchObject({ code: 0 });
  expect(await run(["backup", elsewhere, "--data", large])).toMatchObject({ code: 0 });
  const kept = readFileSync(join(target, "data.mdb"));
  const full = await run(["restore", elsewhere, "--data", target, "--force"]);
  expect(full).toMatchObject({
    code: 1,
    err: expect.stringMatching(/cannot be written: ENOSPC.*What was there before is still there\. Make space/),
  });
  expect(readFileSync(join(target, "data.mdb")).equals(kept)).toBe(true);
  expect(readdirSync(target)).not.toContain("restoring");
  expect(await ground.serve({ data: target })).toBe(true);
});

test("a plain user backs up and restores the log of a server of his own, and no other's", async () => {
  const ground = new Ground();
  chmodSync(ground.ledger.home, 0o755);
  const [home, other] = [join(ground.ledger.home, "nobody"), join(ground.ledger.home, "other")];
  mkdirSync(home);
  chownSync(home, NOBODY, NOBODY);
  const [data, file] = [join(home, "data"), join(home, "one.backup")];
  await ground.serve({ user: NOBODY, data });
  await ground.gather();
  await ground.progress(50);
  expect(await run(["backup", file, "--data", data], NOBODY)).toMatchObject({ code: 0, err: "" });
  await ground.stop("SIGTERM");
  expect(await run(["restore", file, "--data", data, "--force"], NOBODY)).toMatchObject({ code: 0, err: "" });
  expect(await ground.serve({ user: NOBODY, data })).toBe(true);
  await ground.stop("SIGTERM");

  await ground.serve({ data: other });
  await ground.stop("SIGTERM");
  expect(await run(["backup", join(home, "b"), "--data", other], NOBODY)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/belongs to user 0/),
  });
  expect(await run(["restore", file, "--data", other, "--force"], NOBODY)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/belongs to user 0/),
  });
  expect(await run(["backup", join(ground.ledger.home, "b"), "--data", data], NOBODY)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/cannot be written: EACCES/),
  });
  const drop = join(home, "drop");
  mkdirSync(drop);
  chmodSync(drop, 0o333);
  chownSync(drop, NOBODY, NOBODY);
  expect(await run(["backup", join(drop, "b"), "--data", data], NOBODY)).toMatchObject({
    code: 1,
    err: expect.stringMatching(/cannot be written: EACCES.*None was made/),
  });
  expect(readdirSync(drop)).toEqual([]);
});
