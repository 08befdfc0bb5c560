import { leads } from "../support/redis-cluster.ts";
import { until } from "../support/until.ts";
import { ClusterMember, PORT } from "./cluster-member.ts";
import type { Ground } from "./ground.ts";
import type { Broker } from "./node-faults.ts";
import type { BrokerOptions, ClusterOptions } from "./server-child.ts";

const SLOTS = 16_384;
const MASTERS = 3;
const PATIENCE_MS = 60_000;

/** A Redis Cluster of three masters with a replica each, in a ground's network. What befalls a broker befalls one of its masters, any. */
export class ClusterBroker implements Broker {
  readonly name = "a master";
  readonly port = PORT;
  readonly members: readonly ClusterMember[];
  readonly #ground: Ground;
  /** Whom it has befallen. */
  #struck: ClusterMember | null = null;

  constructor(ground: Ground) {
    this.#ground = ground;
    this.members = Array.from({ length: 2 * MASTERS }, (_, index) => new ClusterMember(ground, index + 1));
  }

  static urlOf(): string {
    return `redis://127.0.3.1:${PORT}`;
  }

  /** What a node is told of it. */
  optionsOf(library: ClusterOptions["library"]): (node: number) => BrokerOptions {
    return (node) => {
      const members = this.members.map((one) => [`${one.host}:${PORT}`, { host: one.addressFor(node), port: PORT }]);
      return { cluster: { library, members: Object.fromEntries(members) } };
    };
  }

  /** Starts its members, who do not know each other yet, and makes a cluster of them. */
  async begin(): Promise<void> {
    await Promise.all(this.members.map((one) => one.start()));
    const [first] = this.members as [ClusterMember];
    const [masters, replicas] = [this.members.slice(0, MASTERS), this.members.slice(MASTERS)];
    const share = Math.ceil(SLOTS / MASTERS);
    for (const [index, one] of masters.entries()) {
      one.ask("cluster", "addslotsrange", String(index * share), String(Math.min(SLOTS, (index + 1) * share) - 1));
      one.ask("cluster", "set-config-epoch", String(one.index));
    }
    for (const { host } of this.members.slice(1)) first.ask("cluster", "meet", host, String(PORT));
    const known = `cluster_known_nodes:${this.members.length}`;
    await until("they know each other", () => this.members.every((one) => one.ask("cluster", "info").includes(known)), PATIENCE_MS);
    for (const [index, one] of replicas.entries()) one.ask("cluster", "replicate", masters[index]!.id);
    await this.whole();
  }

  /** Waits until all agree, and each replica has what its master has. */
  async whole(): Promise<void> {
    await until("the cluster is whole", () => this.members.every((one) => one.isWhole && (one.isMaster || one.isFollowing)), PATIENCE_MS);
    const masters = this.masters;
    if (masters.length !== MASTERS) throw new Error(`There are ${masters.length} masters.`);
    await Promise.all(masters.map((one) => one.isFollowed()));
  }

  /** Makes a master's word count most, and waits until all know. */
  async lead(master: ClusterMember): Promise<void> {
    const { id } = master;
    const knows = (one: ClusterMember) => leads(id, one.ask("cluster", "nodes"));
    await until(
      "its word counts most",
      () => {
        master.ask("cluster", "bumpepoch");
        return this.members.every(knows);
      },
      PATIENCE_MS,
    );
  }

  get masters(): ClusterMember[] {
    return this.members.filter((one) => one.isMaster);
  }

  anyMaster(): ClusterMember {
    return this.any(this.masters);
  }

  replicaOf({ host }: ClusterMember): ClusterMember {
    return this.members.find((one) => one.masterHost === host)!;
  }

  addressOf(node: number): string {
    return this.anyMaster().addressFor(node);
  }

  async start(): Promise<void> {
    await this.#struck?.start();
    await this.whole();
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#struck = this.anyMaster();
    await this.#struck.stop(signal);
  }

  async crash(): Promise<void> {
    await this.stop("SIGKILL");
    await this.start();
    await this.#struck?.rewrite();
  }

  async freeze(): Promise<void> {
    this.#struck = this.anyMaster();
    await this.#struck.freeze();
  }

  thaw(): void {
    this.#struck?.thaw();
  }

  any<One>(all: readonly One[]): One {
    return all[Math.floor(this.#ground.random.fraction() * all.length)]!;
  }
}
