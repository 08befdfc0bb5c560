import { test } from "vitest";
import { CUTS, cutPower, judgeCuts, live, NOTHING, type Setting, WHAT_IS_IN_MEMORY } from "./broker-cuts.ts";
import { Ground } from "./ground.ts";
import { Nodes } from "./nodes.ts";
import { type Keeping, RedisBroker } from "./redis-broker.ts";
import { Volume } from "./volume.ts";

const NODES = 2;

/** Each that an operator may choose; those that do not sync are the control of the one that does. */
const SETTINGS: readonly (Setting & { readonly keeps: Keeping })[] = [
  { setting: "appendfsync always", level: "disk", takes: NOTHING, keeps: { save: "", appendonly: "yes", appendfsync: "always" } },
  {
    ...{ setting: "appendfsync everysec", level: "memory", takes: WHAT_IS_IN_MEMORY },
    keeps: { save: "", appendonly: "yes", appendfsync: "everysec" },
  },
  { setting: "appendfsync no", level: "memory", takes: WHAT_IS_IN_MEMORY, keeps: { save: "", appendonly: "yes", appendfsync: "no" } },
  { setting: "snapshots only", level: "memory", takes: WHAT_IS_IN_MEMORY, keeps: { save: "3600 1", appendonly: "no" } },
];

for (const setting of SETTINGS) {
  test(`[D3] [D4] ${CUTS} power cuts of a Redis with ${setting.setting} take what its acks do not vouch for and nothing else, and everyone who had some is told`, {
    timeout: 60_000 + CUTS * 20_000,
  }, async () => {
    const ground = new Ground();
    const volume = new Volume(ground);
    const broker = new RedisBroker(ground, "redis", { home: volume.path, keeps: setting.keeps });
    await broker.start();
    await live(ground, new Nodes(ground, NODES, RedisBroker.urlOf), async () => {
      if (setting.keeps["appendonly"] === "no") await snapshot(ground, broker);
      await cutPower(ground, volume, broker, setting.takes);
      // what Redis itself may lose at the second of two crashes is not tried here (docs/redis.md)
      if (setting.keeps["appendonly"] === "yes") await broker.rewrite();
    });
    judgeCuts(ground, "D5 Redis", `Redis ${broker.version}`, setting);
  });
}

/** What it goes back to; a little later. */
async function snapshot(ground: Ground, broker: RedisBroker): Promise<void> {
  await broker.snapshot();
  await ground.progress(60 + Math.floor(ground.random.fraction() * 100));
}
