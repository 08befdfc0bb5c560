import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect } from "../../src/client.ts";
import { type Address, type Broker, CLUSTER, engineAt, NATS, REDIS } from "../support/brokers.ts";
import { Guest, WatchReader } from "../support/presence.ts";
import { type ServerOptions, startServer, type TestServer } from "../support/start-server.ts";
import { byToken } from "../support/story.ts";
import { inTime, until } from "../support/until.ts";

const ROOT = join(import.meta.dirname, "../..");
const CHILD = join(ROOT, "node_modules/.cache/throughline/presence-node.mjs");

beforeAll(() =>
  build({
    ...{ absWorkingDir: ROOT, entryPoints: ["test/support/presence-node.ts"], outfile: CHILD },
    ...{ bundle: true, platform: "node", format: "esm", target: "node20", packages: "external", logLevel: "error" },
  }),
);

/** Two heartbeats of the nodes in these tests. */
const LEASE_MS = 2_000;
const GRACE_MS = 2_000;
/** For a broker that must be back, and connected to, within it. */
const LONG_LEASE_MS = 6_000;

/** Nodes on one broker, and whoever is on them: all closed at the end. */
class Town implements AsyncDisposable {
  readonly #address: Address;
  readonly #prefix = `town-${++towns}`;
  readonly #nodes: TestServer[] = [];
  readonly #guests: { close(): void }[] = [];
  readonly #processes: ChildProcess[] = [];

  readonly #leaseMs: number;

  constructor(address: Address, leaseMs = LEASE_MS) {
    this.#address = address;
    this.#leaseMs = leaseMs;
  }

  async node(options: ServerOptions = {}): Promise<TestServer> {
    const engine = () => engineAt(this.#address, { prefix: this.#prefix });
    const node = await startServer(engine, { ...options, limits: { heartbeatSeconds: this.#leaseMs / 2_000 } });
    this.#nodes.push(node);
    return node;
  }

  /** A node in a process of its own. `kill` is SIGKILL. */
  async process(): Promise<{ url: string; kill(): void }> {
    const child = fork(CHILD, [JSON.stringify(this.#address), this.#prefix, String(this.#leaseMs / 2_000)]);
    this.#processes.push(child);
    const [port] = await inTime(once(child, "message"), () => "a node to listen");
    return { url: `http://127.0.0.1:${port}`, kill: () => child.kill("SIGKILL") };
  }

  guest(node: Pick<TestServer, "url">, data?: unknown, over: "sse" | "websocket" = "websocket", client?: string): Guest {
    const guest = new Guest({ url: node.url, over, data, ...(client === undefined ? {} : { client }) });
    this.#guests.push(guest);
    return guest;
  }

  async watcher(node: TestServer): Promise<WatchReader> {
    const watcher = await new WatchReader().open(`${node.url}/presence/chat/lobby`);
    this.#guests.push(watcher);
    return watcher;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) guest.close();
    for (const child of this.#processes) child.kill("SIGKILL");
    for (const node of this.#nodes) await node.dispose();
  }
}

let towns = 0;

describe.each([REDIS, NATS, CLUSTER])("Presence, signals and revocations on two nodes with $name", (kind) => {
  let broker: Broker;

  beforeAll(async () => {
    broker = await kind.begin();
  });
  // A node that begins while a cluster is not whole is refused, as it should be
  beforeEach(() => broker.whole?.());
  afterAll(() => broker.stop());

  test("[D9] everyone sees everyone, and each join, update and leave is told once on both", async () => {
    await using town = new Town(broker.address);
    const [a, b] = [await town.node(), await town.node()];
    const ada = town.guest(a, "ada");
    await ada.seen("ada");
    const eve = town.guest(b, "eve", "sse");
    await ada.seen("ada", "eve");
    await eve.seen("ada", "eve");
    await eve.here.update("eve!");
    await ada.seen("ada", "eve!");
    await eve.here.leave();
    await ada.seen("ada");
    expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'update "eve!"', 'leave "eve!"']);
  });

  test("[D9] a client that is killed has left on the other node too, within two heartbeats", async () => {
    await using town = new Town(broker.address);
    const [a, b] = [await town.node(), await town.node()];
    const ada = town.guest(a, "ada");
    await ada.seen("ada");
    const eve = town.guest(b, "eve");
    await ada.seen("ada", "eve");
    eve.close();
    const killed = performance.now();
    await ada.seen("ada");
    expect(performance.now() - killed).toBeLessThan(LEASE_MS + GRACE_MS);
    expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'leave "eve"']);
  });

  test("[D9] a node that is killed takes its members with it within two heartbeats, but not one who has moved to another", async () => {
    await using town = new Town(broker.address);
    const [a, b] = [await town.process(), await town.node()];
    const watching = await town.watcher(b);
    town.guest(a, "stays");
    const name = "moves";
    const there = town.guest(a, "moves", "sse", name);
    await until("both are there", () => ["stays", "moves"].every((one) => watching.told.join().includes(one)));
    a.kill();
    const killed = performance.now();
    there.close();
    const here = town.guest(b, "moves", "sse", name);
    await until("the other has left", () => watching.told.join().includes("leave"));
    expect(performance.now() - killed).toBeLessThan(LEASE_MS + GRACE_MS);
    await here.seen("moves");
    expect(watching.told.filter((one) => !one.startsWith("members")).sort()).toEqual(['join "moves"', 'join "stays"', 'leave "stays"']);
  });

  test("a signal sent on one node is heard on both, by those who read the channel: once, and in the order of each node", async () => {
    await using town = new Town(broker.address);
    const [a, b] = [await town.node(), await town.node()];
    const [ada, eve] = [town.guest(a), town.guest(b, undefined, "sse")];
    const heard: { by: string; number: number }[][] = [[], []];
    for (const [index, { channel }] of [ada, eve].entries()) channel.on("signal", ({ data }) => void heard[index]?.push(data as never));
    let sent = 0;
    for (const node of [a, b, a, b, a]) {
      const before = sent;
      // Any may be lost: who has just come may not be listened for yet by the other node
      await until("both have heard one of it", () => {
        node.tl.channel("chat/lobby").signal("typing", { by: node.url, number: ++sent });
        return heard.every((one) => one.some(({ number }) => number > before));
      });
    }
    for (const { url } of [a, b]) {
      for (const one of heard) {
        const numbers = one.filter(({ by }) => by === url).map(({ number }) => number);
        expect(numbers).toEqual([...new Set(numbers)].sort((x, y) => x - y));
      }
    }
  });

  test("[D8] whoever is revoked on one node is ended on the other within a second, and nobody else", async () => {
    await using town = new Town(broker.address);
    const [a, b] = [await town.node({ authenticate: byToken }), await town.node({ authenticate: byToken })];
    const [ada, eve] = ["ada", "eve"].map((token) => connect(b.url, { token }));
    const channels = [ada!, eve!].map((client) => client.channel("chat/lobby"));
    try {
      for (const client of [ada!, eve!]) client.on("error", () => {});
      for (const channel of channels) channel.subscribe(() => {});
      await until("both read", () => channels.every(({ state }) => state === "live"));
      await a.tl.open();
      const heard: unknown[] = [];
      channels[0]!.on("signal", ({ event }) => void heard.push(event));
      await until("the one node hears the other", () => {
        a.tl.channel("chat/lobby").signal("there?");
        return heard.length > 0;
      });
      a.tl.revoke("eve");
      await until("she has ended", () => eve!.state === "failed", 1_200);
      expect(ada!.state).toBe("connected");
    } finally {
      for (const client of [ada!, eve!]) client.close();
    }
  });

  test("[D9] while the broker is away the others are kept for the lease; when it is back all are there again", async () => {
    await using town = new Town(broker.address);
    const [a, b] = [await town.node(), await town.node()];
    const ada = town.guest(a, "ada");
    await ada.seen("ada");
    const eve = town.guest(b, "eve");
    await ada.seen("ada", "eve");
    await eve.seen("ada", "eve");
    await broker.kill();
    await ada.seen("ada");
    await eve.seen("eve");
    await broker.start();
    await ada.seen("ada", "eve");
    await eve.seen("ada", "eve");
    expect(ada.told).toEqual(['join "ada"', 'join "eve"', 'leave "eve"', 'join "eve"']);
  });

  test("[D9] a broker that is back within the lease makes nobody leave", async () => {
    await using town = new Town(broker.address, LONG_LEASE_MS);
    const [a, b] = [await town.node(), await town.node()];
    const ada = town.guest(a, "ada");
    const watching = await town.watcher(b);
    await until("it is told", () => watching.told.join().includes("ada"));
    await broker.kill();
    const killed = performance.now();
    await broker.start();
    await until("who was not heard of since would have left", () => performance.now() - killed > LONG_LEASE_MS + 500);
    expect(watching.told.join()).not.toContain("leave");
    await ada.here.update("ada!");
    await until("it is told", () => watching.told.at(-1) === 'update "ada!"');
  });
});
