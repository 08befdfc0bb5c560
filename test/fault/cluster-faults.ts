import { until } from "../support/until.ts";
import type { Faults } from "./campaign.ts";
import type { ClusterBroker } from "./cluster-broker.ts";
import { type ClusterMember, PORT } from "./cluster-member.ts";
import { type Ground, pass } from "./ground.ts";

/** Silence that a member takes for the death of another. */
const SOON_MS = "2000";
const LATE_MS = "60000";
const PATIENCE_MS = 60_000;
/** A master that has not handed over by then, on a busy machine, does not, and is asked again. */
const HANDOVER_MS_MAX = 6_000;
const MOVES = 3;

/** What befalls a Redis Cluster. None of it takes anything that was acknowledged: who takes over has all. */
export function clusterFaults(ground: Ground, broker: ClusterBroker, channels: readonly string[]): Faults {
  const between = (min: number, max: number) => min + ground.random.fraction() * (max - min);
  /** A master that has something of the channels. */
  const serving = () => broker.any(broker.masters.filter((one) => one.has(channels).length > 0));
  const refusedFor = async (act: () => void, undo: () => void) => {
    const { refused } = ground;
    act();
    await until("publishing is refused", () => ground.refused > refused, PATIENCE_MS);
    undo();
  };
  return {
    async "a master is busy"() {
      broker.anyMaster().ask("debug", "sleep", between(0.5, 2).toFixed(1));
    },
    async "the masters drop their subscribers"() {
      for (const one of broker.masters) one.ask("client", "kill", "type", "pubsub");
    },
    async "a master forgets its scripts"() {
      broker.anyMaster().ask("script", "flush");
    },
    async "a master is full"() {
      const one = serving();
      await refusedFor(
        () => one.set("maxmemory", "1"),
        () => one.set("maxmemory", "0"),
      );
    },
    async "a master has too few replicas"() {
      const one = serving();
      await refusedFor(
        () => one.set("min-replicas-to-write", "2"),
        () => one.set("min-replicas-to-write", "0"),
      );
    },
    async "a replica is killed"() {
      const one = broker.replicaOf(broker.anyMaster());
      await one.stop("SIGKILL");
      await pass(between(200, 1_000));
      await one.start();
      await broker.whole();
    },
    async "a master hands over to its replica"() {
      await broker.whole();
      const master = broker.anyMaster();
      const replica = broker.replicaOf(master);
      let askedAt = Number.NEGATIVE_INFINITY;
      const isDone = () => {
        if (replica.isMaster) return !master.isMaster;
        if (performance.now() - askedAt < HANDOVER_MS_MAX) return false;
        replica.ask("cluster", "failover");
        askedAt = performance.now();
        return false;
      };
      await until("it has taken over", isDone, 2 * PATIENCE_MS);
      await broker.whole();
    },
    async "a master stands still, its replica takes over, and it wakes up"() {
      const taken = await takeOver();
      taken.master.thaw();
      await taken.end();
    },
    async "a master stands still, its replica takes over, and all goes on without it"() {
      const taken = await takeOver();
      await ground.onward(channels);
      taken.master.thaw();
      await taken.end();
    },
    async "slots move to another master"() {
      await broker.whole();
      for (let times = 0; times < MOVES; times++) {
        const from = serving();
        const to = broker.any(broker.masters.filter((one) => one !== from));
        await broker.lead(to);
        await move(from.slotOf(broker.any(from.has(channels))), from, to);
      }
      await broker.whole();
    },
    async "a master and its replica are away, and the whole cluster is down"() {
      await away("yes");
    },
    async "a master and its replica are away, and only their slots with them"() {
      await away("no");
    },
  };

  /** So that nothing is lost it takes no write any more, and its replica has all, before it stands still. */
  async function takeOver(): Promise<{ master: ClusterMember; end(): Promise<void> }> {
    await broker.whole();
    const master = broker.anyMaster();
    const replica = broker.replicaOf(master);
    master.ask("client", "pause", "600000", "write");
    await master.isFollowed();
    await master.freeze();
    replica.ask("cluster", "failover", "takeover");
    await until("it has taken over", () => replica.isMaster, PATIENCE_MS);
    return {
      master,
      async end() {
        await until("it knows", () => !master.isMaster, PATIENCE_MS);
        master.ask("client", "unpause");
        await broker.whole();
      },
    };
  }

  /** One key after the other, as `redis-cli --cluster reshard` would, and slowly. */
  async function move(slot: string, from: ClusterMember, to: ClusterMember): Promise<void> {
    to.ask("cluster", "setslot", slot, "importing", from.id);
    from.ask("cluster", "setslot", slot, "migrating", to.id);
    for (let keys = keysIn(from, slot); keys.length > 0; keys = keysIn(from, slot)) {
      await pass(between(0, 200));
      for (const key of keys) from.ask("migrate", to.host, String(PORT), key, "0", "10000");
    }
    await pass(between(0, 200));
    const others = broker.masters.filter((one) => one !== from && one !== to);
    for (const one of [to, from, ...others]) one.ask("cluster", "setslot", slot, "node", to.id);
  }

  /** The others say that it is gone, until it comes back. Its replica comes back when they have heard of that, or it would take over with less. */
  async function away(covered: "yes" | "no"): Promise<void> {
    await broker.whole();
    const master = broker.anyMaster();
    const replica = broker.replicaOf(master);
    const others = broker.members.filter((one) => one !== master && one !== replica);
    const gone = new RegExp(`${master.host}:.* master,fail `);
    const missing = () => others.filter((one) => gone.test(one.ask("cluster", "nodes"))).length;
    for (const one of others) one.set("cluster-require-full-coverage", covered);
    await replica.stop("SIGKILL");
    await master.stop("SIGKILL");
    for (const one of others) one.set("cluster-node-timeout", SOON_MS);
    await until("it is missed", () => missing() === others.length, PATIENCE_MS);
    await pass(between(0, 3_000));
    await master.start();
    await until("it is missed no more", () => missing() === 0, PATIENCE_MS);
    await replica.start();
    for (const one of others) one.set("cluster-node-timeout", LATE_MS);
    for (const one of others) one.set("cluster-require-full-coverage", "yes");
    await broker.whole();
    await master.rewrite();
  }
}

function keysIn(master: ClusterMember, slot: string): string[] {
  return master
    .ask("cluster", "getkeysinslot", slot, "100")
    .split("\n")
    .filter((key) => key !== "");
}
