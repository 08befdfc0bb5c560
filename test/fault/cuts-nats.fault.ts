import { test } from "vitest";
import { isNats, NATS_KEEPS_COPIES, NATS_VERSION } from "../support/nats-version.ts";
import { CUTS, cutPower, judgeCuts, live, NOTHING, type Setting, WHAT_IS_IN_MEMORY } from "./broker-cuts.ts";
import { Ground } from "./ground.ts";
import { MEMBERS, NatsBroker } from "./nats-broker.ts";
import { Nodes } from "./nodes.ts";
import type { BrokerOptions } from "./server-child.ts";
import { Volume } from "./volume.ts";

const NODES = 2;
const PATIENCE_MS = 120_000 + CUTS * 60_000;
/** `sync_interval` came with it. */
const CAN_SYNC = isNats("2.10");

interface NatsSetting extends Setting {
  readonly jetstream: string;
  readonly broker: BrokerOptions;
}

const SETTINGS: readonly NatsSetting[] = [
  { setting: "as it comes", level: "memory", takes: WHAT_IS_IN_MEMORY, jetstream: "", broker: {} },
  CAN_SYNC
    ? { setting: "sync_interval always", level: "disk", takes: NOTHING, jetstream: "sync_interval: always", broker: { synced: true } }
    : // an ack does not say what the operator vouches for and this one cannot do
      { setting: "synced, of which it is too old", level: "memory", takes: WHAT_IS_IN_MEMORY, jetstream: "", broker: { synced: true } },
];

for (const setting of SETTINGS) {
  test(`[D3] [D4] ${CUTS} power cuts of a NATS ${setting.setting} take what its acks do not vouch for and nothing else, and everyone who had some is told`, {
    timeout: PATIENCE_MS,
  }, async () => {
    const ground = new Ground();
    const volume = new Volume(ground);
    const broker = new NatsBroker(ground, { directory: volume.path, jetstream: setting.jetstream });
    await broker.start();
    const nodes = new Nodes(ground, NODES, NatsBroker.urlOf, setting.broker);
    await live(ground, nodes, () => cutPower(ground, volume, broker, setting.takes));
    judgeCuts(ground, "D5 NATS", `nats-server v${NATS_VERSION}`, setting);
  });
}

if (NATS_KEEPS_COPIES) {
  test(`[D4] ${CUTS} power cuts of a NATS that is one of three, whose logs have three copies, take nothing that was acknowledged, and nobody is told anything`, {
    timeout: PATIENCE_MS,
  }, async () => {
    const ground = new Ground();
    const setting: Setting = { setting: "replicas 3, the power of one server", level: "replicated", takes: NOTHING };
    const members = MEMBERS.map((member) => {
      const volume = new Volume(ground, 128, `volume-${member}`);
      return { volume, broker: new NatsBroker(ground, { directory: volume.path, member }) };
    });
    await Promise.all(members.map(({ broker }) => broker.start()));
    for (const { broker } of members) await broker.isLed();
    const servers = MEMBERS.map((member) => `${NatsBroker.hostOf(member)}:4222`);
    const nodes = new Nodes(ground, NODES, NatsBroker.urlOf, { replicas: 3, servers });
    await live(ground, nodes, async () => {
      const { volume, broker } = members[Math.floor(ground.random.fraction() * members.length)]!;
      await cutPower(ground, volume, broker, setting.takes);
      // Of two that lack their last writes at a time more is asked than of one
      await broker.isCurrent();
    });
    judgeCuts(ground, "D5 NATS", `nats-server v${NATS_VERSION}`, setting);
  });
}
