import { freePort } from "./free-port.ts";
import { RedisServer } from "./redis-server.ts";
import { until } from "./until.ts";

const SLOTS = 16_384;

/** A Redis Cluster of masters without replicas, on loopback. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  /** A node that is silent for `silentMsMax` is taken for lost by the others, which then refuse to be asked. */
  static async start({ count = 3, silentMsMax = 2_000 } = {}): Promise<RedisCluster> {
    const nodes: RedisServer[] = [];
    for (let index = 0; index < count; index++) {
      const [port, bus] = [await freePort(), await freePort()];
      nodes.push(
        new RedisServer({
          port,
          lines: [
            ["cluster-enabled", "yes"],
            ["cluster-port", String(bus)],
            ["cluster-node-timeout", String(silentMsMax)],
          ],
        }),
      );
    }
    const share = Math.ceil(SLOTS / count);
    for (const [index, { ask }] of nodes.entries()) {
      await ask.call("CLUSTER", "ADDSLOTSRANGE", index * share, Math.min(SLOTS, (index + 1) * share) - 1);
      await ask.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
    }
    const first = nodes[0]!;
    for (const { ask, port } of nodes.slice(1)) {
      const bus = await ask.config("GET", "cluster-port");
      await first.ask.call("CLUSTER", "MEET", "127.0.0.1", port, (bus as string[])[1]!);
    }
    const cluster = new RedisCluster(nodes);
    await cluster.whole();
    return cluster;
  }

  /** Also after its nodes were started again: some seconds pass before they agree. */
  async whole(): Promise<void> {
    const { length } = this.nodes;
    const infos = () => Promise.all(this.nodes.map(async ({ ask }) => String(await ask.call("CLUSTER", "INFO"))));
    await until("the cluster is whole", async () => {
      const all = await infos().catch(() => [""]);
      return all.every((info) => info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${length}`));
    });
  }

  get port(): number {
    return this.nodes[0]!.port;
  }

  get url(): string {
    return this.nodes[0]!.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node.stop();
  }
}

/**
 * To one whose `CLUSTER NODES` this is, a master's word counts more than that of any other. Only such a one may be given slots one after the other: else a source that was
 * heard late takes a slot back in the eyes of some, until each member says that another has it.
 */
export function leads(id: string, nodes: string): boolean {
  const masters = nodes
    .trim()
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , flags]) => /master/.test(flags!));
  const epochOf = (words: readonly string[]): number => Number(words[6]);
  const own = masters.find(([one]) => one === id);
  return own !== undefined && masters.every((words) => words === own || epochOf(words) < epochOf(own));
}

let shared: Promise<RedisCluster> | null = null;
let prefixes = 0;

/** One cluster for all tests of a file, each of which brings a prefix of its own. `stopSharedCluster` ends it. */
export async function sharedCluster(): Promise<{ readonly cluster: RedisCluster; readonly prefix: string }> {
  // Nobody ends one of its nodes: one that is silent is kept waiting by a busy machine
  shared ??= RedisCluster.start({ silentMsMax: 60_000 });
  return { cluster: await shared, prefix: `test-${++prefixes}:` };
}

export async function stopSharedCluster(): Promise<void> {
  await (await shared)?.[Symbol.asyncDispose]();
  shared = null;
}
