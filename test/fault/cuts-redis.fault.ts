import { test } from "vitest";
import { until } from "../support/until.ts";
import { CUTS, cutPower, judgeCuts, live, NOTHING, type Setting, WHAT_IS_IN_MEMORY } from "./broker-cuts.ts";
import { Ground } from "./ground.ts";
import { Nodes } from "./nodes.ts";
import { type Keeping, RedisBroker, UPSTREAM_DROPPED } from "./redis-broker.ts";
import { Volume } from "./volume.ts";

const NODES = 2;
const PATIENCE_MS = 120_000 + CUTS * 60_000;
/** A replica that comes is given all at once, not after the five seconds in which others may come. */
const AT_ONCE: Keeping = { "repl-diskless-sync-delay": "0" };

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
    timeout: PATIENCE_MS,
  }, async () => {
    const ground = new Ground();
    const volume = new Volume(ground);
    const broker = new RedisBroker(ground, "redis", { home: volume.path, keeps: setting.keeps });
    await broker.start();
    await live(ground, new Nodes(ground, NODES, RedisBroker.urlOf), async () => {
      if (setting.keeps["appendonly"] === "no") await snapshot(ground, broker);
      await cutPower(ground, volume, broker, setting.takes);
      // What Redis itself may lose at the second of two crashes is not tried here (docs/redis.md)
      if (setting.keeps["appendonly"] === "yes") await broker.rewrite();
    });
    judgeCuts(ground, "D5 Redis", `Redis ${broker.version}`, setting);
  });
}

/** With `waitReplicas: 1`, each Redis on a machine of its own; the master's loses its power, and comes back as the master. */
const IN_PLACE: readonly (Setting & { readonly keeps: Keeping })[] = [
  {
    ...{ setting: "appendfsync always, waitReplicas 1, the master comes back", level: "replicated", takes: NOTHING },
    keeps: { ...AT_ONCE, save: "", appendonly: "yes", appendfsync: "always" },
  },
  {
    ...{ setting: "appendfsync everysec, waitReplicas 1, the master comes back", level: "replicated" },
    // All of a channel, where it was first written within the last second
    takes: { loses: ["replicated"], may: ["truncated", "epoch"] },
    keeps: { ...AT_ONCE, save: "", appendonly: "yes", appendfsync: "everysec" },
  },
];

for (const setting of IN_PLACE) {
  test(`[D3] [D4] ${CUTS} power cuts of a Redis whose replica follows it when it comes back, with ${setting.setting}`, {
    timeout: PATIENCE_MS,
  }, async () => {
    const ground = new Ground();
    const volume = new Volume(ground);
    const broker = new RedisBroker(ground, "redis", { home: volume.path, keeps: setting.keeps });
    await broker.start();
    await broker.replica("replica");
    await live(ground, new Nodes(ground, NODES, RedisBroker.urlOf, { waitReplicas: 1 }), async () => {
      await cutPower(ground, volume, broker, setting.takes);
      await broker.rewrite();
      await broker.isFollowed();
    });
    judgeCuts(ground, "D5 Redis", `Redis ${broker.version}`, setting);
  });
}

test(`[D3] [D4] ${CUTS} power cuts of a Redis whose replica takes over take nothing that waited for the replica, and who had more is told`, {
  timeout: PATIENCE_MS,
}, async () => {
  const ground = new Ground();
  const setting: Setting = {
    ...{ setting: "appendfsync everysec, waitReplicas 1, the replica takes over", level: "replicated" },
    // What was on its way to the replica is stored in one place, and goes with it
    takes: { loses: ["disk"], may: ["truncated"] },
  };
  let broker = new RedisBroker(ground, "redis-0", { keeps: { ...AT_ONCE, save: "", appendonly: "yes", appendfsync: "everysec" } });
  await broker.start();
  let replica = await broker.replica("redis-1");
  let made = 1;
  await live(ground, new Nodes(ground, NODES, RedisBroker.urlOf, { waitReplicas: 1 }), async () => {
    const { unknown } = ground;
    ground.filter(UPSTREAM_DROPPED);
    await until("the replica lacks something", () => ground.unknown > unknown);
    await broker.stop("SIGKILL");
    ground.fault("power cut", "start", setting.takes);
    replica.promote();
    ground.filter([]);
    broker = replica;
    replica = await broker.replica(`redis-${++made}`);
    ground.fault("power cut", "stop");
  });
  judgeCuts(ground, "D5 Redis", `Redis ${broker.version}`, setting);
});

/** What it goes back to; a little later. */
async function snapshot(ground: Ground, broker: RedisBroker): Promise<void> {
  await broker.snapshot();
  await ground.progress(60 + Math.floor(ground.random.fraction() * 100));
}
