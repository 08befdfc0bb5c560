import { expect, test } from "vitest";
import type { AnswerEvent, FaultEvent, GapEvent } from "../check/history.ts";
import { until } from "../support/until.ts";
import { type Gathered, Ground, PORT } from "./ground.ts";
import { judge } from "./judge.ts";
import type { Kept } from "./kept.ts";
import type { Broker as AnyBroker } from "./node-faults.ts";
import type { Nodes } from "./nodes.ts";
import { silence } from "./silence.ts";

/** How often each is done: `THROUGHLINE_WIPES=20` for a night. */
const WIPES = Number(process.env["THROUGHLINE_WIPES"] ?? 1);
/** A node looks at its channels every five seconds, give or take a quarter; a busy machine takes its time. */
const TOLD_MS = 30_000;
const SAID_MS = 30_000;

/** A broker whose files can be taken away. */
interface Keeper extends AnyBroker {
  readonly kept: Kept;
}

/** What takes something out of a broker that nobody was to lose. */
export interface Wipe<Broker> {
  /** What readers may be told of it, and what of the acknowledged may be gone. */
  readonly takes: Pick<FaultEvent, "may" | "loses" | "rewrites">;
  /** What readers of a channel must be told to whom nobody publishes meanwhile; left out: they lack nothing. */
  readonly quiet?: readonly GapEvent["reason"][];
  /** What is known of a key afterwards: it is answered as a duplicate, or stored anew; left out: either, or both. */
  readonly again?: "duplicate" | "anew";
  /** Does it, and calls `taken` while nobody is answered. */
  befall(stage: Stage<Broker>, taken: () => void): Promise<void>;
}

/** Where it is done. */
export interface Stage<Broker> {
  readonly ground: Ground;
  readonly nodes: Nodes;
  readonly broker: Broker;
  /** Readers of a channel to which nobody publishes but as it is told. */
  readonly quiet: Gathered;
  /** Readers that stand still meanwhile, without their connections: they come back to a position that they had. */
  readonly asleep: Gathered;
}

type Terms = Omit<Wipe<never>, "befall">;

/** All of a channel, its keys too: those that had some of it are told of another log. */
export const ALL: Terms = { takes: { may: ["epoch"], loses: ["disk"] }, quiet: ["epoch"], again: "anew" };
/** Nothing that readers had, or lack. */
export const NOTHING: Terms = { takes: {}, again: "duplicate" };
/** What came since a copy was made. */
export const SINCE: Terms = { takes: { may: ["truncated", "epoch"], loses: ["disk"] }, quiet: ["truncated"], again: "anew" };

export interface Wiped<Broker> {
  readonly row: string;
  /** `Redis`, `NATS`. */
  readonly name: string;
  begin(ground: Ground): Promise<{ readonly nodes: Nodes; readonly broker: Broker; readonly version: string }>;
  /** What else is to be written down. */
  measured?(broker: Broker): Readonly<Record<string, number>>;
}

/** A test for each: done so often under load, while some are awake, some asleep with a position that they will come back to, and some have long had all that there was. */
export function wiped<Broker>({ row, name, begin, measured }: Wiped<Broker>, wipes: Readonly<Record<string, Wipe<Broker>>>): void {
  for (const [kind, wipe] of Object.entries(wipes)) {
    const { takes, again } = wipe;
    const reasons = takes.may ?? [];
    const what = reasons.length === 0 ? "nobody is told anything" : `whoever held what is gone is told (${reasons.join(" or ")})`;
    test(`[D1] [D2] [D3] [D4] [D10] ${name}, ${WIPES} times ${kind}: ${what}, nothing twice, one order, and all goes on`, {
      timeout: 120_000 + WIPES * 90_000,
    }, async () => {
      const ground = new Ground();
      const { nodes, broker, version } = await begin(ground);
      await nodes.begin();
      await ground.gather({ publishers: 4, batchers: 1, paceMs: 40, readers: { sse: 2, websocket: 2 } });
      // Of one channel: under load a poll brings few messages, and costs as much as many
      await ground.gather({ publishers: 0, askers: 0, channels: ["orders"], readers: { "long-poll": 1 } });
      const asleep = await ground.gather({ publishers: 0, askers: 0, readers: { sse: 1, websocket: 1 } });
      const quiet = await ground.gather({ channels: ["quiet"], publishers: 0, askers: 0, readers: { sse: 1, websocket: 1 } });
      const answers: string[] = [];
      for (let times = 0; times < WIPES; times++) answers.push(await suffer({ ground, nodes, broker, quiet, asleep }, kind, wipe));
      await ground.calm();
      expect(nodes.living, `all nodes live: ${ground.err.slice(-2_000)}`).toBe(nodes.count);
      const told = new Set(ground.gaps.map(({ reason }) => reason));
      expect(reasons, "what readers may be told").toEqual(expect.arrayContaining([...told]));
      if (again !== undefined) expect(new Set(answers), "what is known of a key").toEqual(new Set([again]));
      if (reasons.length > 0) expect(ground.gaps.length, "gaps").toBeGreaterThanOrEqual(WIPES);
      judge(ground, {
        row,
        what: `Two nodes on one ${name}, under load: ${kind}; ${what}.`,
        kind,
        broker: version,
        told: ground.gaps.length,
        reasons: [...told].sort().join(", ") || "none",
        ...measured?.(broker),
        ...(told.size > 0
          ? { control: `planted: the gap of a reader taken out of the history, each of ${silence(ground)}: all found` }
          : {}),
      });
    });
  }
}

/** Once; and all is well again. Gives what became of a message that is published again by its key. */
async function suffer<Broker>(stage: Stage<Broker>, kind: string, wipe: Wipe<Broker>): Promise<string> {
  const { ground, quiet, asleep } = stage;
  await say(ground, quiet);
  await ground.progress(20 + Math.floor(ground.random.fraction() * 60));
  await ground.whole();
  await ground.shown();
  const { length } = ground.gaps;
  sendToSleep(ground, asleep);
  await ground.progress(30);
  await wipe.befall(stage, () => ground.fault(kind, "start", wipe.takes));
  ground.fault(kind, "stop");
  await ground.progress(30);
  asleep.process.kill("SIGCONT");
  const isTold = (cid: string) => ground.gaps.slice(length).some((gap) => gap.cid === cid && wipe.quiet?.includes(gap.reason));
  if (wipe.quiet !== undefined) {
    for (const cid of [`${quiet.name}-sse-1`, `${quiet.name}-websocket-1`]) await until(`${cid} is told`, () => isTold(cid), TOLD_MS);
  }
  const held = saidLast(ground, quiet).position;
  const again = await say(ground, quiet, "again");
  await ground.progress(30);
  await ground.whole();
  await ground.current();
  await ground.shown();
  // Of two tries to say it the first may have been stored, untold
  return again.position === held ? "duplicate" : "anew";
}

/** It is killed, and started without anything that it had kept. */
export async function startWithout({ broker, nodes }: Stage<Keeper>, taken: () => void): Promise<void> {
  await broker.stop("SIGKILL");
  taken();
  broker.kept.wipe();
  await nodes.areUnready();
  await broker.start();
}

/** It is killed, and started with a copy of what it had kept before. */
export async function startWithOlder(stage: Stage<Keeper>, taken: () => void): Promise<void> {
  const { broker, nodes } = stage;
  await remember(stage);
  await broker.stop("SIGKILL");
  taken();
  broker.kept.recall();
  await nodes.areUnready();
  await broker.start();
}

/** Copies in one moment all that it keeps, and has something be said that the copy does not have. */
export async function remember(stage: Stage<Keeper>): Promise<void> {
  const { broker } = stage;
  await broker.freeze();
  broker.kept.remember();
  broker.thaw();
  await goOn(stage);
}

/** So that there is something which a copy made before does not have, and all have it who are awake. */
export async function goOn<Broker>({ ground, quiet, asleep }: Stage<Broker>): Promise<void> {
  await say(ground, quiet);
  await ground.progress(40);
  await ground.shown(asleep.name);
}

/** Has a crowd say something that is stored before this resolves: another thing, or the same by its key `again`. Gives the answer. */
export async function say(ground: Ground, { name, process: child, said }: Gathered, word: "say" | "again" = "say"): Promise<AnswerEvent> {
  said.delete(word);
  child.stdin?.write(`${word}\n`);
  await until("it is said", () => said.has(word), SAID_MS);
  return saidLast(ground, { name });
}

/** The answer to what a crowd has said last. */
function saidLast(ground: Ground, { name }: Pick<Gathered, "name">): AnswerEvent {
  return ground.history.findLast((event) => event.type === "stored" && event.pid === `${name}-sayer`) as AnswerEvent;
}

/** Its connections are cut before it is awake to see it. */
function sendToSleep(ground: Ground, { process: { pid }, process: child }: Gathered): void {
  child.kill("SIGSTOP");
  const lines = ground.run("ss", "-Htnp", "state", "established", `( dport = :${PORT} )`).split("\n");
  const ports = lines.filter((line) => line.includes(`pid=${pid},`)).map((line) => /:(\d+)\s/.exec(line)?.[1]);
  expect(ports.length, "connections of those who sleep").toBeGreaterThan(0);
  ground.run("ss", "-K", "state", "established", `( ${ports.map((port) => `sport = :${port}`).join(" or ")} )`);
}
