import { execFileSync } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { record } from "../support/evidence.ts";
import { need } from "../support/need.ts";
import { until } from "../support/until.ts";
import { Ground, now, pass } from "./ground.ts";
import { judge } from "./judge.ts";

const HOUR = 3_600;
const DAY = 24 * HOUR;
/** Seconds that the wall clock is wrong by, one after the other. */
const STEPS = [HOUR, 0, -HOUR, DAY, -DAY, DAY, 0];

/** The wall clock of a server, which is ours to set. Time that only goes forward, by which it waits, is left alone. */
class WallClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #path: string;

  constructor(ground: Ground) {
    this.#path = join(ground.ledger.home, "wall-clock");
    this.set(0);
    const library = execFileSync(need("faketime"), ["-m", "-f", "+0", "printenv", "LD_PRELOAD"], { encoding: "utf8" }).trim();
    this.env = { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: this.#path, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
  }

  set(offsetSeconds: number): void {
    // At once: an empty file would be another time
    writeFileSync(`${this.#path}.new`, `${offsetSeconds < 0 ? "" : "+"}${offsetSeconds}\n`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}

interface PageOfTimes {
  readonly messages: readonly { readonly at: number }[];
}

test("[D1] [D2] [D3] [D5] a wall clock that jumps by an hour and a day, back and forth, disturbs neither order nor retention", async () => {
  const ground = new Ground();
  const clock = new WallClock(ground);
  await ground.serve({ env: clock.env });
  await ground.gather({ naive: 2 });
  for (const [step, offset] of STEPS.entries()) {
    ground.fault("clock", "start");
    clock.set(offset);
    await ground.progress(40);
    if (step % 3 === 2) {
      // Started anew at a time before the one it stopped at
      await ground.stop(step % 2 === 0 ? "SIGTERM" : "SIGKILL");
      await ground.serve({ env: clock.env });
    }
    ground.fault("clock", "stop");
  }
  await ground.progress(40);
  await ground.calm();
  const { messages } = await ground.fetch<PageOfTimes>("/channels/orders?from=start&limit=1000");
  const times = messages.map(({ at }) => at);
  expect(((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1_000, "it did jump").toBeGreaterThan(DAY - HOUR);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(ground.gaps).toEqual([]);
  expect(ground.finals.map(({ first }) => first)).toEqual(ground.finals.map(() => 1)); // of seven days all is kept
  expect(new Set(ground.finals.flatMap(({ log }) => log.map(({ position }) => position.slice(0, 20)))).size).toBe(2); // an epoch for each channel
  judge(ground, { row: "T1", what: "The wall clock of the server jumps by an hour and a day, back and forth (faketime)." });
});

test("[D3] messages kept for an hour are trimmed when the clock jumps a day ahead, who reads from before is told, and nobody else", async () => {
  const ground = new Ground();
  const clock = new WallClock(ground);
  await ground.serve({ env: clock.env, words: ["--retain-seconds", String(HOUR)] });
  await ground.gather();
  await ground.progress(60);
  await ground.shown();
  ground.fault("clock", "start", { may: ["trimmed"] });
  clock.set(DAY);
  await ground.progress(60);
  // Who was live had it all. A long-poll is not live between two polls: what it had not fetched yet is a day old now
  const gaps = () => ground.gaps.filter(({ cid }) => !/^crowd.*long-poll/.test(cid));
  expect(gaps()).toEqual([]);
  await ground.gather({ name: "late", publishers: 0, askers: 0, readers: { sse: 1, websocket: 1, "long-poll": 1 } });
  await until("those who come late are told", () => gaps().length >= 6);
  clock.set(0);
  ground.fault("clock", "stop");
  await ground.progress(60);
  await ground.calm();
  expect(gaps().map(({ cid, reason }) => [cid.slice(0, 4), reason])).toEqual(Array(6).fill(["late", "trimmed"]));
  judge(ground, { row: "T1", what: "The wall clock jumps a day ahead where messages are kept for an hour." });
});

test("[D8] a token ends within a second of its time on the wall clock, also when that is reached by a jump", async () => {
  const { ground, jump } = await withTokens(true);
  const sinceT = jump();
  await until("the short ones are out", () => ground.closes("short") === 6, 5_000);
  const outMs = ground.history.flatMap((event) => (event.type === "close" && event.cid.startsWith("short") ? [event.t - sinceT] : []));
  expect(Math.max(...outMs)).toBeLessThan(1_500);
  expect(Math.min(...outMs)).toBeGreaterThan(0);
  expect(ground.closes("lasting")).toBe(0);

  const careless = await withTokens("at the door");
  careless.jump();
  await pass(1_500);
  // A long-poll comes back by itself, and is at the door again
  const ended = careless.ground.closes("short-sse") + careless.ground.closes("short-websocket");
  expect(ended, "the test can see a token that outlives its time").toBe(0);
  record("T2", {
    what: "The wall clock jumps past the end of a token: its connections are closed, others are not.",
    injections: 3,
    lateMsMax: Math.round(Math.max(...outMs)),
    control: `${ended} of 4 streams ended by a server that looks at a token at the door only`,
    seconds: Math.round((performance.now() - ground.startMs) / 100) / 10,
    seed: ground.seed,
  });
});

/** A server that asks for tokens, with readers whose tokens end in half an hour and in two days; and the jump by an hour, which says when it was. */
async function withTokens(tokens: true | "at the door") {
  const ground = new Ground();
  const clock = new WallClock(ground);
  await ground.serve({ library: { data: ground.data, tokens }, env: clock.env });
  const token = (seconds: number) => String(Date.now() + seconds * 1_000);
  const silent = { publishers: 0, askers: 0, readers: { sse: 2, websocket: 2, "long-poll": 2 } };
  await ground.gather({ ...silent, name: "short", token: token(HOUR / 2) });
  await ground.gather({ ...silent, name: "lasting", token: token(2 * DAY) });
  await until("all are in", () => ground.opens() === 12);
  for (const offset of [-DAY, 0]) clock.set(offset); // a token that has time is left alone
  const jump = () => {
    const sinceT = now();
    clock.set(HOUR);
    return sinceT;
  };
  return { ground, jump };
}
