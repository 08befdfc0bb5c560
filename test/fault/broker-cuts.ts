import { expect } from "vitest";
import type { FaultEvent } from "../check/history.ts";
import type { Ground } from "./ground.ts";
import { judge } from "./judge.ts";
import type { Broker } from "./node-faults.ts";
import type { Nodes } from "./nodes.ts";
import { silence } from "./silence.ts";
import type { Volume } from "./volume.ts";

/** How often the power of a broker is cut, in each of its settings: `THROUGHLINE_BROKER_CUTS=20` for a night. */
export const CUTS = Number(process.env["THROUGHLINE_BROKER_CUTS"] ?? 2);

/** How a broker is set up, and what an ack is worth there. */
export interface Setting {
  readonly setting: string;
  /** What every ack says. */
  readonly level: string;
  /** What a power cut does to it: what it may take back of acknowledged messages, that level and below, and what readers may be told then. Nothing of either: not a message, not a gap. */
  readonly takes: Pick<FaultEvent, "loses" | "may">;
}

/** A power cut takes nothing that was acknowledged, and nobody is told anything. */
export const NOTHING: Setting["takes"] = {};
/** It takes what was acknowledged as `memory`, and tells whoever had some of it. */
export const WHAT_IS_IN_MEMORY: Setting["takes"] = { loses: ["memory"], may: ["truncated", "epoch"] };

/** The machine of a broker loses its power: the broker is started on what the disk held. Its nodes, and who publishes and reads there, live on. */
export async function cutPower(ground: Ground, volume: Volume, broker: Broker, takes: Setting["takes"]): Promise<void> {
  await broker.freeze();
  const held = volume.copy();
  await broker.stop("SIGKILL");
  ground.fault("power cut", "start", takes);
  volume.become(held);
  await broker.start();
  ground.fault("power cut", "stop");
}

/** Nodes and a crowd on a broker, whose power is cut so often in the middle of what is published. */
export async function live(ground: Ground, nodes: Nodes, cut: () => Promise<void>): Promise<void> {
  await nodes.begin();
  await ground.gather({ publishers: 8, paceMs: 4, readers: { sse: 2, websocket: 2, "long-poll": 1 } });
  for (let cuts = 0; cuts < CUTS; cuts++) {
    // A busy machine takes its time for each
    for (let tens = 6 + Math.floor(ground.random.fraction() * 20); tens > 0; tens--) await ground.progress(10);
    await cut();
    await ground.progress(50);
    await ground.whole();
    await ground.current();
  }
  await ground.calm();
}

/** That each ack said its level; that what it takes with it was told to everyone who had some; and that it took something, or nothing, as the setting says. */
export function judgeCuts(ground: Ground, row: string, broker: string, { setting, level, takes }: Setting): void {
  const levels = new Set(ground.history.flatMap((event) => (event.type === "stored" ? [event.level] : [])));
  expect([...levels], `what acks say at ${setting}`).toEqual([level]);
  const isLosing = takes.loses?.includes(level) === true;
  if (takes.may === undefined) expect(ground.gaps, `gaps at ${setting}`).toEqual([]);
  const { counts } = judge(ground, {
    row,
    what: `The power of ${broker} is cut while messages are published, and it starts on what its disk held: ${setting}.`,
    broker,
    setting,
    level,
    told: ground.gaps.length,
    ...(ground.gaps.length > 0
      ? { control: `planted: the gap of a reader taken out of the history, each of ${silence(ground)}: all found` }
      : {}),
  });
  if (isLosing) expect(counts.lost, `acknowledged messages lost at ${setting}`).toBeGreaterThan(0);
  else expect(counts.lost).toBe(0);
  console.log(
    `${broker}, ${setting}: acks say ${level}; ${counts.lost} of ${counts.stored} lost in ${CUTS} cuts, ${ground.gaps.length} told`,
  );
}
