import { expect, test } from "vitest";
import type { Crowd } from "./crowd-child.ts";
import { Ground } from "./ground.ts";
import { judge } from "./judge.ts";

/** What can befall, by what it is called. */
export type Faults = Record<string, () => Promise<unknown>>;

/** How often each fault is injected: `THROUGHLINE_CAMPAIGN_TIMES=100` for a release. */
const TIMES = Number(process.env["THROUGHLINE_CAMPAIGN_TIMES"] ?? 1);
/** Instead of it: any of them, for so long. */
const MINUTES = Number(process.env["THROUGHLINE_CAMPAIGN_MINUTES"] ?? 0);
/** Only those whose names match: `THROUGHLINE_CAMPAIGN_FAULTS='stands still'`, to look into one. */
const ONLY = new RegExp(process.env["THROUGHLINE_CAMPAIGN_FAULTS"] ?? "");
/** So many publishes more are acknowledged after each. */
const PROGRESS = Number(process.env["THROUGHLINE_CAMPAIGN_PROGRESS"] ?? 30);
/** Clients that publish twenty at once. */
const BATCHERS = Number(process.env["THROUGHLINE_CAMPAIGN_BATCHERS"] ?? 1);
/** Of more than this a history takes gigabytes while it is judged. */
const ROUND_TIMES_MAX = 10;
const ROUND_MINUTES_MAX = 10;
const KILLED = /^(?!the proxy).* killed/;

/** So many channels, and so little in each message, that a round does not come to what retention trims: that would count as lost. */
export const CROWD: Partial<Crowd> = {
  channels: ["orders", "chat/lobby", "prices/eu", "alerts", "jobs", "scores", "devices/7", "feed"],
  largeBytes: 500,
  naive: 2,
  publishers: 8,
  batchers: BATCHERS,
  readers: { sse: 3, websocket: 2 },
};
/** Of one channel: under load a poll brings one message, and costs as much as fifty. */
const POLLING: Partial<Crowd> = { channels: ["orders"], publishers: 0, askers: 0, readers: { "long-poll": 1 } };

/** What is tried, and what befalls it. None of it may take anything that was acknowledged, nor give a reader cause to be told of a gap. */
export interface Campaign {
  readonly row: string;
  /** `two nodes on one Redis, each of their faults` */
  readonly title: string;
  /** What the evidence says of it, before the names of the faults. */
  readonly what: string;
  /** Starts it, and says how it can be broken. */
  begin(ground: Ground): Promise<Faults>;
}

/** A part of a campaign, on a ground of its own and judged by itself. */
interface Round {
  readonly round: number;
  readonly rounds: number;
  /** Of each fault, or of all of them. */
  readonly count: number;
  /** `20 times` or `30 min`, and which round of how many it is. */
  readonly length: string;
}

/** A test for each round of it. */
export function campaign({ row, title, what, begin }: Campaign): void {
  for (const round of roundsOf()) {
    test(`[D1] [D2] [D3] [D4] [D5] [D10] ${title}, ${round.length}: one order, nothing acknowledged lost, nothing twice, nobody told of a gap`, {
      timeout: patienceMs(round),
    }, async () => {
      const ground = new Ground();
      const all = Object.entries(await begin(ground));
      const faults = Object.fromEntries(all.filter(([name]) => ONLY.test(name)));
      await ground.gather(CROWD);
      await ground.gather(POLLING);
      await ground.progress(50);
      const figures = await suffer(ground, faults, round);
      await ground.calm();
      expect(ground.gaps).toEqual([]);
      judge(ground, { row, what: `${what}: ${Object.keys(faults).join(", ")}.`, gaps: 0, ...figures });
    });
  }
}

/** The parts of the campaign that was asked for. */
function roundsOf(): Round[] {
  const [all, most] = MINUTES > 0 ? [MINUTES, ROUND_MINUTES_MAX] : [TIMES, ROUND_TIMES_MAX];
  const rounds = Math.ceil(all / most);
  return Array.from({ length: rounds }, (_, index) => {
    const count = Math.min(most, all - index * most);
    const length = MINUTES > 0 ? `${count} min` : count === 1 ? "once" : `${count} times`;
    return { round: index + 1, rounds, count, length: rounds > 1 ? `${length}, ${index + 1} of ${rounds}` : length };
  });
}

/** Milliseconds that a round may take. */
function patienceMs({ count }: Round): number {
  return 180_000 + count * (MINUTES > 0 ? 120_000 : 400_000);
}

/** Each of the faults as often as the round says, one after the other, in an order of chance; after each everyone is back. Returns what is to be written down. */
async function suffer(ground: Ground, faults: Faults, { round, rounds, count }: Round): Promise<Record<string, number>> {
  const names = Object.keys(faults);
  const injected: string[] = [];
  for (const name of MINUTES > 0 ? anyFor(count, names, ground) : shuffled(Array.from({ length: count }, () => names).flat(), ground)) {
    ground.fault(name, "start");
    await faults[name]?.();
    ground.fault(name, "stop");
    injected.push(name);
    await ground.progress(PROGRESS);
    await ground.whole();
  }
  const sigkills = injected.filter((name) => KILLED.test(name)).length;
  return { kinds: new Set(injected).size, sigkills, powerCuts: injected.filter((name) => name === "a power cut").length, round, rounds };
}

function* anyFor(minutes: number, names: readonly string[], ground: Ground): Generator<string> {
  const endMs = performance.now() + minutes * 60_000;
  while (performance.now() < endMs) yield names[Math.floor(ground.random.fraction() * names.length)]!;
}

function shuffled<One>(all: One[], ground: Ground): One[] {
  for (let at = all.length - 1; at > 0; at--) {
    const other = Math.floor(ground.random.fraction() * (at + 1));
    [all[at], all[other]] = [all[other]!, all[at]!];
  }
  return all;
}
