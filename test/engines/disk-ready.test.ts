import { expect, test } from "vitest";
import { Followers } from "../../src/core/followers.ts";
import type { LogContext } from "../../src/core/log.ts";
import { CommitError, type Store } from "../../src/engines/disk/environment.ts";
import type { Write } from "../../src/engines/disk/record.ts";
import { type Medium, Writer } from "../../src/engines/disk/writer.ts";
import { handClock, seededRandom } from "../support/clock.ts";

const ENOSPC = 28;
const clock = handClock();
const context = { clock, random: seededRandom(1), keysMax: 10, keySecondsMin: 1, lineageMax: 3, warn: () => {} } as unknown as LogContext;
const retention = { countMax: 10, bytesMax: 1_000, secondsMax: 60 };
const draft = { event: "message", kind: "text", data: "x", size: 8 } as const;

/** A writer on a disk that does as it is told. */
function scripted() {
  let elapsedMs = 0;
  const commits: (readonly Write[])[] = [];
  const trouble = { commits: false, looks: false };
  const store: Store = {
    get: () => undefined,
    rows: () => [],
    keys: () => [],
    look: async () => {
      if (trouble.looks) throw new Error("EROFS");
    },
    commit: async (writes) => {
      if (trouble.commits) throw new CommitError("full", ENOSPC, false);
      commits.push(writes);
    },
    close: async () => {},
  };
  const medium: Medium = { open: () => store, elapsed: () => elapsedMs, pause: async () => {} };
  const writer = new Writer("data", medium, context, new Followers(() => {}));
  const append = () => writer.submit(8, (transaction) => transaction.append("c", [draft], retention)).then(() => "stored");
  return { writer, append, commits, trouble, pass: (ms: number) => (elapsedMs += ms) };
}

test("a disk that takes what is stored is ready, and nothing is written to see that", async () => {
  const { writer, append, commits } = scripted();
  expect([await writer.ready(), commits.length]).toEqual([null, 0]);
  await append();
  expect([await writer.ready(), commits.length]).toEqual([null, 1]);
});

test("[D10] a disk that failed is not ready until a commit stands again, which asking tries where nobody publishes any more", async () => {
  const { writer, append, commits, trouble, pass } = scripted();
  trouble.commits = true;
  await expect(append()).rejects.toMatchObject({ code: "not_stored" });
  expect(await writer.ready()).toBe("The disk under the log cannot be written.");
  pass(2_000);
  expect(await writer.ready(), "it was tried, and failed").toBe("The disk under the log cannot be written.");
  trouble.commits = false;
  expect(await writer.ready(), "not before the pause is over").toBe("The disk under the log cannot be written.");
  pass(2_000);
  expect([await writer.ready(), commits.length]).toEqual([null, 1]);
  expect([await append(), await writer.ready()]).toEqual(["stored", null]);
});

test("a disk that has become read-only or full is not ready though nobody has published yet", async () => {
  const { writer, append, trouble } = scripted();
  await append();
  trouble.looks = true;
  expect(await writer.ready()).toBe("The disk under the log cannot be written.");
  trouble.looks = false;
  expect(await writer.ready()).toBeNull();
});
