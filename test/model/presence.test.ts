import { expect, test } from "vitest";
import { seededRandom } from "../support/clock.ts";
import { LEASE_MS, type Node, world } from "../support/presence-world.ts";
import { SEED as ANY } from "../support/seed.ts";

/*
 * Stories of nodes and clients on a virtual clock: clients come, say something else, leave, vanish and move, nodes are killed and started, what connects the nodes
 * loses some of what it carries, or is away, or lets notices overtake each other. The truth is a map; each node is held to it.
 */

const STORIES = Number(process.env["THROUGHLINE_PRESENCE_STORIES"] ?? 150);
const SEED = Number(process.env["THROUGHLINE_PRESENCE_SEED"] ?? ANY);
const CLIENTS = ["a", "b", "c", "d", "e", "f"];
const STEPS = 60;
/** A client says that it is there so often, at least. */
const RENEW_MS = 10_000;
/** After its lease a member has left on its own node; the others are told, or find out by a digest, and ask at most once a second. */
const HEAL_MS = 12_000;

interface Client {
  data: number;
  turn: number;
  saidMs: number;
  /** When it came, or said something else. */
  changedMs: number;
  /** The node that it goes to; a client without one goes to any. */
  home: Node | null;
}

async function tell(seed: number): Promise<{ checks: number }> {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random.fraction() * count);
  const { clock, bus, node, pass } = world();
  const delayMs = below(2) * 2_000;
  bus.delayMs = () => below(delayMs);
  let nodes: Node[] = [node(), node(), node()];
  const there = new Map<string, Client>();
  /** Since when a client is not there any more. */
  const gone = new Map<string, number>();
  /** When the nodes last had trouble to hear each other. */
  let troubledMs = 0;
  let turns = 0;
  let checks = 0;
  /** What each node has told, member by member. */
  const told = new Map<Node, Map<string, boolean>>();

  const say = async (name: string, client: Client): Promise<void> => {
    const home = client.home !== null && nodes.includes(client.home) ? client.home : nodes[below(nodes.length)]!;
    if (client.home !== null) client.home = home;
    client.saidMs = clock.elapsed();
    await home.enter(name, String(client.data), client.turn);
  };

  const acts: (() => Promise<void>)[] = [
    async () => {
      const name = CLIENTS[below(CLIENTS.length)]!;
      const client = there.get(name) ?? {
        data: 0,
        turn: 0,
        saidMs: 0,
        changedMs: 0,
        home: below(2) === 0 ? null : nodes[below(nodes.length)]!,
      };
      client.turn = ++turns;
      client.data = below(3);
      client.changedMs = clock.elapsed();
      there.set(name, client);
      gone.delete(name);
      await say(name, client);
    },
    async () => {
      const [name] = [...there.keys()].slice(below(there.size));
      if (name === undefined) return;
      there.delete(name);
      gone.set(name, clock.elapsed());
      if (below(2) === 0) await nodes[below(nodes.length)]!.leave(name, ++turns);
    },
    async () => {
      if (below(4) > 0) return;
      const [killed] = nodes.splice(below(nodes.length), 1);
      killed!.kill();
      told.delete(killed!);
      nodes.push(node());
      troubledMs = clock.elapsed();
      // Its clients come back, by another
      for (const [name, client] of there) if (client.home === killed) await say(name, client);
    },
    async () => {
      bus.isAway = below(3) === 0;
      bus.loses = below(2) === 0 ? 2 + below(5) : Number.POSITIVE_INFINITY;
    },
    async () => undefined,
  ];

  async function step(): Promise<void> {
    await acts[below(acts.length)]!();
    await pass(below(4_000));
    for (const [name, client] of there) if (clock.elapsed() - client.saidMs > RENEW_MS - 4_000) await say(name, client);
    // Each node is asked, so that it looks at the channel all the while
    for (const one of nodes) await one.who();
    if (bus.isAway || bus.loses !== Number.POSITIVE_INFINITY) troubledMs = clock.elapsed();
    for (const one of nodes) await judge(one);
  }

  async function judge(one: Node): Promise<void> {
    const nowMs = clock.elapsed();
    const known = told.get(one) ?? new Map<string, boolean>();
    told.set(one, known);
    for (const line of one.told()) {
      const [change, name = ""] = line.split(" ");
      expect([line, known.get(name) ?? false], "joins and leaves take turns").toEqual([line, change !== "join"]);
      known.set(name, change !== "leave");
    }
    const members = new Map((await one.who()).map((member) => member.split(" ") as [string, string]));
    const healedMs = nowMs - troubledMs;
    for (const name of members.keys()) {
      const goneMs = gone.get(name);
      // A lease on its node, or that node's own
      if (goneMs !== undefined && healedMs > HEAL_MS) expect(nowMs - goneMs, `${name} is gone`).toBeLessThan(2 * LEASE_MS + HEAL_MS);
      checks++;
    }
    if (healedMs < LEASE_MS + HEAL_MS) return;
    for (const [name, { data, changedMs }] of there) {
      if (nowMs - changedMs < delayMs) continue;
      expect(members.get(name), `${name} is there`).toBe(String(data));
      checks++;
    }
  }

  for (let steps = 0; steps < STEPS; steps++) await step();
  bus.isAway = false;
  bus.loses = Number.POSITIVE_INFINITY;
  troubledMs = clock.elapsed();
  const renew = [...there].map(
    ([name, client]) =>
      () =>
        say(name, client),
  );
  for (let round = 0; round < 16; round++) {
    await pass(5_000, ...renew);
    for (const one of nodes) await one.who();
  }
  const truth = [...there].map(([name, { data }]) => `${name} ${data}`).sort();
  for (const one of nodes) {
    await judge(one);
    expect(await one.who()).toEqual(truth);
  }
  for (const one of nodes) await one.hub.close();
  nodes = [];
  return { checks };
}

test(`[D9] in ${STORIES} stories of three nodes every member is told, and whoever has gone is not, once what was lost is made good`, {
  timeout: 120_000,
}, async () => {
  let checks = 0;
  for (let story = 0; story < STORIES; story++) {
    const seed = SEED + story;
    try {
      checks += (await tell(seed)).checks;
    } catch (error) {
      (error as Error).message += ` (THROUGHLINE_PRESENCE_SEED=${seed})`;
      throw error;
    }
  }
  expect(checks).toBeGreaterThan(100 * STORIES);
});
